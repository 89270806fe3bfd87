import type { HttpResponseInit } from '@azure/functions';
import { noOutcomes, type OutcomeCounts, type RowOutcome } from '../dataverse/bulk/outcomes.ts';
import { messageOf } from '../shared/errors.ts';
import { keepingTrace } from '../telemetry/trace.ts';
import { problemOf } from './problem.ts';
import type { Incoming } from './routes.ts';

/** The most that one answer holds: the platform takes it as fast as it is made, whatever the caller reads. */
const LARGEST_ANSWER_BYTES = 100 * 1024 * 1024;

/** Makes the summary of what was streamed. `cutOff` = the answer grew too large, so the rest was not taken. */
export type Summary = (counts: OutcomeCounts, input: number, cutOff: boolean) => unknown;

/**
 * One line for each outcome and a last one with the summary, as NDJSON; or the same as one JSON document
 * `{ rows, summary }` for callers that accept `application/json`. What fails on the way ends the stream with a line
 * `{ problem }` instead of a summary, for the status is already sent.
 */
export function streamRows(call: Incoming, outcomes: AsyncIterable<RowOutcome>, summary: Summary): HttpResponseInit {
  const asDocument = prefersDocument(call.request.headers.get('accept'));
  const form = asDocument ? documentForm : lineForm;
  return {
    status: 200,
    headers: { 'content-type': asDocument ? 'application/json' : 'application/x-ndjson' },
    body: ReadableStream.from(keepingTrace(encode(form, call, outcomes, summary))),
  };
}

interface Form {
  readonly open: string;
  row(text: string, first: boolean): string;
  close(member: 'summary' | 'problem', text: string): string;
}

const lineForm: Form = {
  open: '',
  row: (text) => `${text}\n`,
  close: (member, text) => `{"${member}":${text}}\n`,
};

const documentForm: Form = {
  open: '{"rows":[',
  row: (text, first) => (first ? text : `,${text}`),
  close: (member, text) => `],"${member}":${text}}`,
};

async function* encode(
  form: Form,
  call: Incoming,
  outcomes: AsyncIterable<RowOutcome>,
  summary: Summary,
): AsyncGenerator<Uint8Array> {
  const counts = noOutcomes();
  let input = 0;
  let bytes = 0;
  const chunk = (text: string): Uint8Array => {
    const encoded = Buffer.from(text);
    bytes += encoded.length;
    return encoded;
  };
  if (form.open) yield chunk(form.open);
  try {
    for await (const outcome of outcomes) {
      counts[outcome.outcome] += 1;
      yield chunk(form.row(JSON.stringify(outcome), input === 0));
      input += 1;
      if (bytes >= LARGEST_ANSWER_BYTES) break;
    }
    yield chunk(form.close('summary', JSON.stringify(summary(counts, input, bytes >= LARGEST_ANSWER_BYTES))));
  } catch (error) {
    call.log('an answer broke off', { requestId: call.requestId, reason: messageOf(error) });
    yield chunk(form.close('problem', JSON.stringify(problemOf(error, call.requestId))));
  }
}

function prefersDocument(accept: string | null): boolean {
  const wanted = (accept ?? '').toLowerCase();
  return wanted.includes('application/json') && !wanted.includes('application/x-ndjson');
}
