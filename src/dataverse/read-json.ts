import { parseExactJson } from '../shared/exact-json.ts';
import type { NewId } from '../shared/ids.ts';
import { sendBatch } from './batch.ts';
import type { DataverseClient } from './client.ts';
import { DataverseError, errorFromAnswer } from './errors.ts';
import type { RequestLimits } from './find-row.ts';
import { InputError } from './input-error.ts';
import { asErrorAnswer } from './wire/batch.ts';
import { REQUEST_HEADERS } from './wire/headers.ts';

/** What sends reads that may be longer than an address. */
export interface Reader {
  readonly client: DataverseClient;
  /** The path part of the Web API's address, `/api/data/v9.2/`. */
  readonly apiPath: string;
  readonly newId: NewId;
}

/** An object that the service answered with. */
export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * Addresses have 32,768 characters at most, inside a batch 65,536 (Web API documentation, "Query data": limits). What
 * stands between may allow less, so that batches begin earlier.
 */
const LONGEST_ADDRESS = 8_000;
export const LONGEST_IN_BATCH = 64_000;

/**
 * Reads a JSON object, through a batch where the address is long. Throws what the client throws, DataverseError
 * `notDataverse` for another answer, and InputError `queryTooLong`.
 */
export async function readJson(
  { client, apiPath, newId }: Reader,
  path: string,
  headers: Readonly<Record<string, string>>,
  limits: RequestLimits,
): Promise<JsonObject> {
  if (path.length <= LONGEST_ADDRESS) {
    return asObject((await client.send({ method: 'GET', path, headers, ...limits })).json());
  }
  if (path.length > LONGEST_IN_BATCH) {
    throw new InputError(
      'filter',
      'queryTooLong',
      `The query is longer than ${LONGEST_IN_BATCH} characters once it is encoded.`,
      {
        hint: 'Ask in several parts.',
      },
    );
  }
  const operation = { method: 'GET', path, headers: { ...REQUEST_HEADERS, ...headers } } as const;
  const [answer] = await sendBatch(client, apiPath, [operation], { boundary: newId(), repeatable: true, ...limits });
  if (!answer) throw new DataverseError('notDataverse', 'A batch was answered without its part.');
  if (answer.status !== 200) throw errorFromAnswer(asErrorAnswer(answer));
  return asObject(parseExactJson(answer.text));
}

function asObject(value: unknown): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw new DataverseError('notDataverse', 'Dataverse answered with something other than an object.');
}
