import { BridgeError } from '../../shared/errors.ts';
import type { NewId } from '../../shared/ids.ts';
import type { DataverseClient } from '../client.ts';
import { DataverseError, errorFromAnswer } from '../errors.ts';
import type { DataverseRequest, DataverseResponse } from '../request.ts';
import { asErrorAnswer, readArrived, writeBatch } from '../wire/batch.ts';
import { CONTINUE_ON_ERROR } from '../wire/headers.ts';
import type { WriteKind } from './decisions.ts';
import type { Sendable, WireForm } from './wire-form.ts';

/** How rows travel: as a bulk message, as operations of a `$batch`, or one by itself. */
export type Form = 'bulk' | 'batch' | 'single';

/**
 * What became of one row: `done`, refused with an error, `open` where the answer broke off before it, or `again` where
 * it was refused and only a request of its own tells why.
 */
export type Verdict = 'done' | 'open' | 'again' | DataverseError;

/** One verdict for each row, or the failure of the request as a whole. */
export type Sent = { readonly verdicts: readonly Verdict[] } | { readonly error: BridgeError };

export interface SendContext {
  readonly client: DataverseClient;
  readonly apiPath: string;
  readonly wire: WireForm;
  readonly newId: NewId;
}

/** Sends rows in one request. Throws only what is no failure of the request: an abort, a fault of ours. */
export async function sendRows(
  context: SendContext,
  form: Form,
  kind: WriteKind,
  rows: readonly Sendable[],
  options: Partial<DataverseRequest>,
  onBody: (bytes: number) => void,
): Promise<Sent> {
  const request = requestFor(context, form, kind, rows);
  onBody(Buffer.byteLength(request.body ?? ''));
  let response: DataverseResponse;
  try {
    response = await context.client.send({ ...options, ...request });
  } catch (error) {
    if (!(error instanceof BridgeError)) throw error;
    const statuses = error instanceof DataverseError ? error.facts.rowStatuses : undefined;
    if (!statuses) return { error };
    const done = new Set(statuses.filter(({ status }) => status < 300).map(({ index }) => index));
    return { verdicts: rows.map((_, at) => (done.has(at) ? 'done' : 'again')) };
  }
  return form === 'batch' ? readVerdicts(response, rows.length) : { verdicts: rows.map(() => 'done') };
}

function requestFor(
  { apiPath, wire, newId }: SendContext,
  form: Form,
  kind: WriteKind,
  rows: readonly Sendable[],
): DataverseRequest {
  const [first] = rows;
  const message = wire.message(kind);
  if (form === 'bulk' && message) return wire.bulk(message, kind, rows);
  if (form === 'single' && first) return wire.operation(kind, first);
  const operations = rows.map((row) => wire.operation(kind, row));
  const { contentType, body } = writeBatch(operations, apiPath, `batch_${newId()}`);
  return { method: 'POST', path: '$batch', headers: { ...CONTINUE_ON_ERROR, 'content-type': contentType }, body };
}

function readVerdicts(response: DataverseResponse, rows: number): Sent {
  try {
    const { answers } = readArrived(response.header('content-type') ?? '', response.text);
    const verdicts = Array.from({ length: rows }, (_, at): Verdict => {
      const answer = answers[at];
      if (!answer) return 'open';
      return answer.status < 400 ? 'done' : errorFromAnswer(asErrorAnswer(answer));
    });
    return { verdicts };
  } catch (error) {
    if (error instanceof BridgeError) return { error };
    throw error;
  }
}
