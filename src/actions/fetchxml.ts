import { z } from 'zod';
import { sendBatch } from '../dataverse/batch.ts';
import type { DataverseClient, DataverseRequest } from '../dataverse/client.ts';
import { DataverseError, errorFromAnswer } from '../dataverse/errors.ts';
import { type FetchCookie, pageOf, parseFetchXml, readCookie, withPage, writeXml } from '../dataverse/fetch-xml.ts';
import { InputError } from '../dataverse/input-error.ts';
import type { Metadata } from '../dataverse/metadata.ts';
import { type Row, readRow } from '../dataverse/read-row.ts';
import { asErrorAnswer } from '../dataverse/wire/batch.ts';
import {
  actingAs,
  annotationsIn,
  fetchAnnotations,
  fetchPath,
  type Impersonated,
  pageFacts,
  wantsFormatted,
} from '../dataverse/wire/fetch.ts';
import { BridgeError } from '../shared/errors.ts';
import { parseExactJson } from '../shared/exact-json.ts';
import type { NewId } from '../shared/ids.ts';

export interface FetchRequest {
  /** Logical name, entity set name or MetadataId of the table whose rows the query reads. */
  readonly table: string;
  readonly xml: string;
  /** Annotations to tell by their names, `*` for all; people's forms of values come as `_formatted`, others as `_annotations`. */
  readonly annotations: readonly string[];
  readonly page?: number | undefined;
  readonly pageSize?: number | undefined;
  /** As an answer gave it, or as Dataverse itself does. */
  readonly cookie?: string | undefined;
  /** The user whose rights the query has besides the connection's own. */
  readonly impersonate?: Impersonated | undefined;
}

export interface FetchResult {
  readonly value: readonly Row[];
  readonly moreRecords: boolean;
  /** Number of this page. */
  readonly page: number;
  /** To be given for the next page. Left out on the last one, and where the query's order allows none. */
  readonly cookie?: string;
  /** How many rows there are in all, where the query has `returntotalrecordcount`. */
  readonly count?: number;
}

export interface FetchContext {
  readonly client: DataverseClient;
  readonly metadata: Metadata;
  /** The path part of the Web API's address, `/api/data/v9.2/`. */
  readonly apiPath: string;
  readonly allowedTables: ReadonlySet<string> | undefined;
  readonly newId: NewId;
  readonly signal?: AbortSignal | undefined;
  readonly deadline?: number | undefined;
}

/** Dataverse gave a page whose cookie is that of the page before: who goes on would read the same rows without end. */
export class RepeatedPageError extends BridgeError<'pageRepeated'> {
  readonly status = 502;

  constructor() {
    super('pageRepeated', 'Dataverse gave the cookie of the page before once more.', {
      hint: 'Order the query by a column whose values differ, such as the primary id.',
    });
  }
}

/**
 * One page of a FetchXML query. Throws InputError for a query or cookie that is not understood, DataverseError
 * `tableNotAllowed` when it reads a table that the connection may not touch, RepeatedPageError, and what the client
 * throws.
 */
export async function fetchRows(context: FetchContext, request: FetchRequest): Promise<FetchResult> {
  const { metadata, signal } = context;
  const query = parseFetchXml(request.xml);
  const cookie = request.cookie === undefined ? undefined : readCookie(request.cookie);
  const paged = withPage(query.root, { page: request.page, pageSize: request.pageSize, cookie });
  const table = await metadata.shape(request.table, signal);
  if (query.table !== table.logicalName) {
    throw new InputError('xml', 'tableDiffers', `The query reads '${query.table}', not '${table.logicalName}'.`, {
      hint: 'Name the same table in the entity element and in table.',
    });
  }
  await assertReachable(context, query.tables);
  const found = await send(context, fetchPath(table.entitySetName, writeXml(paged)), {
    ...fetchAnnotations(request.annotations),
    ...actingAs(request.impersonate),
  });
  const { value } = rows.parse(found);
  const facts = pageFacts(found);
  const next = nextCookie(facts.cookie, cookie);
  const formatted = wantsFormatted(request.annotations);
  return {
    value: value.map((row) => {
      const others = annotationsIn(row, request.annotations);
      const told = Object.keys(others).length > 0 && { _annotations: others };
      return { ...readRow(table, row, { formatted }), ...told };
    }),
    moreRecords: facts.moreRecords,
    page: pageOf(paged),
    ...(facts.moreRecords && next !== undefined && { cookie: next }),
    ...(facts.total !== undefined && { count: facts.total }),
  };
}

/** Names in a query are logical names; one that is not among the allowed is told for what it is. */
async function assertReachable(context: FetchContext, tables: readonly string[]): Promise<void> {
  const { allowedTables, metadata, signal } = context;
  if (!allowedTables) return;
  for (const table of tables) if (!allowedTables.has(table)) await metadata.shape(table, signal);
}

function nextCookie(annotation: string | undefined, sent: FetchCookie | undefined): string | undefined {
  if (annotation === undefined) return undefined;
  const { text } = readCookie(annotation);
  if (text === sent?.text) throw new RepeatedPageError();
  return text;
}

/** A GET may be longer, but what stands between may cut it off; a request in a batch has no such limit. */
const LONGEST_PATH = 8_000;

async function send(
  context: FetchContext,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<Record<string, unknown>> {
  const { client, apiPath, newId, signal, deadline } = context;
  const request: DataverseRequest = { method: 'GET', path, headers, signal, deadline };
  if (path.length <= LONGEST_PATH) return answer.parse((await client.send(request)).json());
  const operation = { method: 'GET', path, headers: { accept: 'application/json', ...headers } } as const;
  const options = { boundary: newId(), repeatable: true, signal, deadline };
  const [part] = await sendBatch(client, apiPath, [operation], options);
  if (!part) throw new DataverseError('notDataverse', 'A batch was answered with no part.');
  if (part.status >= 300) throw errorFromAnswer(asErrorAnswer(part));
  return answer.parse(parseExactJson(part.text));
}

const answer = z.record(z.string(), z.unknown());
const rows = z.object({ value: z.array(answer) });
