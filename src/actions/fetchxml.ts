import * as z from 'zod';
import { DataverseError } from '../dataverse/errors.ts';
import { type FetchCookie, pageOf, parseFetchXml, readCookie, withPage, writeXml } from '../dataverse/fetch-xml.ts';
import type { RequestLimits } from '../dataverse/find-row.ts';
import { InputError } from '../dataverse/input-error.ts';
import type { Metadata } from '../dataverse/metadata.ts';
import { LONGEST_IN_BATCH, type Reader, readJson } from '../dataverse/read-json.ts';
import { type Row, readRow } from '../dataverse/read-row.ts';
import { metadataVersion } from '../dataverse/wire/annotations.ts';
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

export interface FetchContext extends Reader {
  readonly metadata: Metadata;
  readonly allowedTables: ReadonlySet<string> | undefined;
  readonly limits: RequestLimits;
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
  const { metadata, limits } = context;
  const query = parseFetchXml(request.xml);
  const cookie = request.cookie === undefined ? undefined : readCookie(request.cookie);
  const paged = withPage(query.root, { page: request.page, pageSize: request.pageSize, cookie });
  const table = await metadata.shape(request.table, limits.signal);
  if (query.table !== table.logicalName) {
    throw new InputError('xml', 'tableDiffers', `The query reads '${query.table}', not '${table.logicalName}'.`, {
      hint: 'Name the same table in the entity element and in table.',
    });
  }
  await assertReachable(context, query.tables);
  const path = fetchPath(table.entitySetName, writeXml(paged));
  if (path.length > LONGEST_IN_BATCH) {
    throw new InputError(
      'xml',
      'xmlInvalid',
      `The query is longer than ${LONGEST_IN_BATCH} characters once it is encoded.`,
    );
  }
  const headers = { ...fetchAnnotations(request.annotations), ...actingAs(request.impersonate) };
  const found = await readJson(context, path, headers, context.limits);
  metadata.noteVersion(metadataVersion(found));
  const { data: value } = rows.safeParse(found['value']);
  if (!value) throw new DataverseError('notDataverse', 'The answer to a query holds no rows.');
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
  const { allowedTables, metadata, limits } = context;
  if (!allowedTables) return;
  for (const table of tables) if (!allowedTables.has(table)) await metadata.shape(table, limits.signal);
}

function nextCookie(annotation: string | undefined, sent: FetchCookie | undefined): string | undefined {
  if (annotation === undefined) return undefined;
  const next = cookieIn(annotation);
  if (next === sent?.text) throw new RepeatedPageError();
  return next;
}

function cookieIn(annotation: string): string {
  try {
    return readCookie(annotation).text;
  } catch (cause) {
    throw new DataverseError('notDataverse', 'The cookie of the next page is not understood.', {}, { cause });
  }
}

const rows = z.array(z.record(z.string(), z.unknown()));
