import { parseFetchXml, writeXml } from '../../dataverse/fetch-xml.ts';
import { InputError } from '../../dataverse/input-error.ts';
import type { Metadata } from '../../dataverse/metadata.ts';
import { buildQuery } from '../../dataverse/query/build.ts';
import type { TableShape } from '../../dataverse/table.ts';
import { lookupColumn } from '../../dataverse/wire/annotations.ts';
import {
  definedTable,
  isBulkMessage,
  isHarmlessFunction,
  isTypeOf,
  memberKind,
  setOfReference,
} from '../../dataverse/wire/raw.ts';
import { isExactNumber } from '../../shared/exact-json.ts';
import type { RawAddress } from './address.ts';

/** A request as a connection with `allowedTables` sends it. */
export interface Narrowed {
  readonly query: ReadonlyMap<string, string>;
}

export interface ReachContext {
  readonly metadata: Metadata;
  /** The Web API's address. */
  readonly root: URL;
  readonly signal?: AbortSignal | undefined;
}

/** Rows are nested no deeper in what can be created at once. */
const DEEPEST = 10;

const refuse = (path: string, message: string): never => {
  throw new InputError(
    path,
    'notUnderstood',
    `${message} It is not sent, since the connection may touch certain tables only.`,
    {
      hint: 'Use the routes for rows, or a connection without allowedTables.',
    },
  );
};

/**
 * Makes sure that a raw request reaches allowed tables only: by its path, by what its query expands, filters and joins,
 * and by the rows that its body creates or binds to. What is not understood is refused. Resolves with the query as it
 * was understood, so that nothing else is sent. Throws InputError `notUnderstood` and those of queries, and
 * DataverseError `tableNotAllowed`.
 */
export async function narrow(context: ReachContext, { segments, query }: RawAddress, body: unknown): Promise<Narrowed> {
  const [first = '', ...rest] = segments;
  if (isHarmlessFunction(first) && rest.length === 0 && query.size === 0 && body === undefined) return { query };
  const defined = definedTable(first);
  if (defined !== undefined) {
    await context.metadata.shape(defined, context.signal);
    return { query };
  }
  const place = await follow(context, segments);
  if (body !== undefined) await assertBody(context, place, body);
  return { query: await narrowQuery(context, place, query) };
}

/** Where a path ends. */
interface Place {
  readonly table: TableShape;
  /** What it ends in: rows, one of their columns, references to rows, or a message for many rows. */
  readonly end: 'rows' | 'column' | 'reference' | 'message';
}

const SEGMENT = /^([A-Za-z_]\w*)(?:\([^()]*\))?$/;

async function follow({ metadata, signal }: ReachContext, [first = '', ...rest]: readonly string[]): Promise<Place> {
  const set = SEGMENT.exec(first)?.[1] ?? refuse('path', `The path begins with '${shown(first)}'.`);
  let table = await metadata.shape(set, signal);
  if (table.entitySetName !== set) refuse('path', `'${shown(set)}' is no entity set.`);
  for (const [at, segment] of rest.entries()) {
    const after = rest.slice(at + 1).join('/');
    if (segment === '$ref' && after === '') return { table, end: 'reference' };
    if (segment === '$count' && after === '') return { table, end: 'rows' };
    if (isBulkMessage(segment) && after === '') return { table, end: 'message' };
    const column = lookupColumn(segment) ?? segment;
    const navigation = (await metadata.navigations(table.logicalName, 'all', signal)).get(
      SEGMENT.exec(segment)?.[1] ?? '',
    );
    if (navigation) table = await metadata.shape(navigation.table, signal);
    else if (table.columns.has(column) && (after === '' || after === '$value')) return { table, end: 'column' };
    else refuse('path', `The path goes on with '${shown(segment)}'.`);
  }
  return { table, end: 'rows' };
}

const shown = (text: string): string => text.slice(0, 60);

/** Options that lead nowhere. */
const PLAIN: ReadonlyMap<string, RegExp> = new Map([
  ['$top', /^\d{1,6}$/],
  ['$count', /^(true|false)$/],
  ['$skiptoken', /^/],
  ['$deltatoken', /^/],
  ['tag', /^/],
  ['partitionId', /^/],
]);

const BUILT: Readonly<Record<string, 'select' | 'filter' | 'orderBy' | 'expand'>> = {
  $select: 'select',
  $filter: 'filter',
  $orderby: 'orderBy',
  $expand: 'expand',
};

async function narrowQuery(
  context: ReachContext,
  { table, end }: Place,
  query: ReadonlyMap<string, string>,
): Promise<ReadonlyMap<string, string>> {
  const { metadata, signal, root } = context;
  const narrowed = new Map<string, string>();
  const selection = new Map<string, string>();
  for (const [name, value] of query) {
    const part = BUILT[name];
    if (part) selection.set(part, value);
    else if (PLAIN.get(name)?.test(value)) narrowed.set(name, value);
    else if (name === '$id' && end === 'reference') {
      await assertSet(context, setOfReference(value, root), 'query.$id');
      narrowed.set(name, value);
    } else if (name === 'fetchXml' && end === 'rows') narrowed.set(name, await narrowFetch(context, value));
    else refuse(`query.${name}`, `The query option '${name}' is not understood.`);
  }
  const { select, ...texts } = Object.fromEntries(selection);
  const names = select?.split(',').flatMap((each) => each.trim() || []);
  const { parts } = await buildQuery(metadata, table, { ...texts, select: names }, signal);
  for (const [name, part] of Object.entries(BUILT)) {
    const text = parts[part];
    if (text !== undefined) narrowed.set(name, text);
  }
  return narrowed;
}

async function narrowFetch({ metadata, signal }: ReachContext, xml: string): Promise<string> {
  const { root, tables } = parseFetchXml(xml);
  for (const table of tables) await metadata.shape(table, signal);
  return writeXml(root);
}

async function assertSet({ metadata, signal }: ReachContext, set: string | undefined, path: string): Promise<void> {
  const table = await metadata.shape(set ?? refuse(path, 'It is no address of a row.'), signal);
  if (table.entitySetName !== set) refuse(path, `'${shown(set ?? '')}' is no entity set.`);
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

async function assertBody(context: ReachContext, { table, end }: Place, body: unknown): Promise<void> {
  if (!isObject(body)) return refuse('data', 'The body is no object.');
  if (end !== 'message') return assertRow(context, table, body, 'data', 1);
  const { Targets: targets, ...others } = body;
  if (!Array.isArray(targets) || Object.keys(others).length > 0)
    return refuse('data', 'The body is no list of Targets.');
  for (const [at, target] of targets.entries()) {
    const path = `data.Targets.${at}`;
    if (!isObject(target)) return refuse(path, 'It is no row.');
    await assertRow(context, table, target, path, 1);
  }
}

async function assertRow(
  context: ReachContext,
  table: TableShape,
  row: Readonly<Record<string, unknown>>,
  within: string,
  depth: number,
): Promise<void> {
  if (depth > DEEPEST) refuse(within, `Rows are nested more than ${DEEPEST} levels deep.`);
  for (const [name, value] of Object.entries(row)) {
    const path = `${within}.${shown(name)}`;
    switch (memberKind(name)) {
      case 'value':
        if (typeof value === 'object' && value !== null) await assertRelated(context, table, name, value, path, depth);
        break;
      case 'binding':
        for (const address of Array.isArray(value) ? value : value === null ? [] : [value]) {
          await assertSet(context, setOfReference(address, context.root), path);
        }
        break;
      case 'reference':
        await assertSet(context, setOfReference(value, context.root), path);
        break;
      case 'type':
        if (!isTypeOf(table.logicalName, value)) refuse(path, `It is no type of '${table.logicalName}'.`);
        break;
      case 'harmless':
        break;
      case 'unknown':
        refuse(path, `The member '${shown(name)}' is not understood.`);
    }
  }
}

/** Rows that are created together with the one that they belong to. Exact numbers are objects too, and lead nowhere. */
async function assertRelated(
  context: ReachContext,
  table: TableShape,
  name: string,
  value: object,
  path: string,
  depth: number,
): Promise<void> {
  if (isExactNumber(value)) return;
  const { metadata, signal } = context;
  const navigation = (await metadata.navigations(table.logicalName, 'all', signal)).get(name);
  const target = await metadata.shape(
    (navigation ?? refuse(path, `'${shown(name)}' is no navigation property.`)).table,
    signal,
  );
  for (const [at, row] of (Array.isArray(value) ? value : [value]).entries()) {
    if (!isObject(row)) return refuse(`${path}.${at}`, 'It is no row.');
    await assertRow(context, target, row, path, depth + 1);
  }
}
