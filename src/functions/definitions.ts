import * as z from 'zod';
import { describeColumn, type Expansion, listColumns } from '../actions/columns.ts';
import { createKey, listKeys, type NewKey } from '../actions/keys.ts';
import { describeTable, listTables, TABLE_MEMBERS } from '../actions/tables.ts';
import type { RequestLimits } from '../dataverse/find-row.ts';
import { COLUMN_TYPES, createSchema, type Schema } from '../dataverse/schema.ts';
import { memberOf, propertyOf, textOf } from '../dataverse/schema-form.ts';
import { parseBody } from '../http/input.ts';
import { RequestError } from '../http/problem.ts';
import { connectionName, flag, nameList, pageSize, pageToken } from '../http/query-values.ts';
import { type Incoming, json, type Route, route } from '../http/routes.ts';
import { nearest } from '../shared/nearest.ts';
import type { Services } from './services.ts';

const label = z.string().nullable();
const table = z.looseObject({
  logicalName: z.string(),
  schemaName: z.string(),
  entitySetName: label,
  displayName: label,
  isCustom: z.boolean(),
  primaryId: label,
  primaryName: label,
  metadataId: z.guid(),
  defaultSelected: z.boolean().optional(),
});
const column = z.looseObject({
  logicalName: z.string().optional(),
  schemaName: z.string().optional(),
  displayName: label.optional(),
  type: z.string().optional(),
  requiredLevel: z.string().optional(),
  metadataId: z.guid(),
});
const key = z.looseObject({
  logicalName: z.string(),
  schemaName: z.string(),
  displayName: label,
  columns: z.array(z.string()),
  status: z.enum(['Pending', 'InProgress', 'Active', 'Failed']),
  metadataId: z.guid(),
});

/** Names of properties, ours or the service's. */
const names = (what: string) =>
  nameList()
    .refine((names) => names.length > 0 && names.every((name) => /^[A-Za-z]\w{0,99}$/.test(name)), {
      error: 'It must be names with commas between them.',
    })
    .optional()
    .describe(what);

const tablesQuery = z.object({
  connection: connectionName(),
  name: nameList()
    .default([])
    .describe('Names or labels of tables, with commas between them, in upper or lower case; `*` stands for any part.'),
  includeCustom: flag(true).describe(
    'Lists custom tables even when `name` leaves them out; with false only those that it names.',
  ),
  topLevelOnly: flag().describe('Leaves out tables that are parts of others (`isChild`), whatever else is asked for.'),
  details: flag().describe('Tells more of each table.'),
  select: names('Members to tell; left out, all.'),
  defaultSelected: nameList()
    .optional()
    .describe('Names or labels of tables that are to be marked with `defaultSelected: true`.'),
  pageSize: pageSize({ fallback: 5000, largest: 5000 }),
  page: pageToken().optional(),
});

const EXPANSION = /^\s*([A-Za-z]\w{0,99})\s*(?:\(\s*\$?select=([\w\s,]{1,500})\))?\s*$/;

/** What belongs to columns, as in OData: `OptionSet($select=Options),GlobalOptionSet`. */
const expansions = z
  .string()
  .max(2_000)
  .transform((text, context): Expansion[] =>
    text.split(/,(?![^(]*\))/).map((part) => {
      const [, member, select = ''] = EXPANSION.exec(part) ?? [];
      if (member === undefined) {
        context.addIssue({ code: 'custom', message: 'It must be such as OptionSet($select=Options).' });
        return z.NEVER;
      }
      return { member, select: select.split(',').flatMap((name) => name.trim() || []) };
    }),
  )
  .optional()
  .meta({ description: 'What to tell besides, such as `OptionSet($select=Options)`.', parameter: { type: 'string' } });

const columnQuery = z.object({
  connection: connectionName(),
  type: z
    .enum(COLUMN_TYPES, { error: `It must be one of ${COLUMN_TYPES.join(', ')}.` })
    .optional()
    .describe('The type of column, which opens the properties that only it has.'),
  details: flag().describe(
    'Tells the labels of all languages, the choices where the type is known, and in lists all that a column has.',
  ),
  select: names('Members to tell, by their names here or in Dataverse; left out, the usual ones.'),
  expand: expansions,
});
const columnsQuery = columnQuery.extend({
  filter: z
    .string()
    .min(1)
    .max(8_000)
    .optional()
    .describe('A condition on Dataverse’s own properties, such as `IsCustomAttribute eq true`.'),
});

const schemaName = z
  .string()
  .max(100)
  .regex(/^[A-Za-z][A-Za-z0-9]*_[A-Za-z0-9_]+$/, 'It must be a name with the publisher’s prefix, such as new_Balance.');

const newColumn = z
  .looseObject({ SchemaName: schemaName, AttributeType: z.string().max(40).optional() })
  .describe(
    'The column’s definition in Dataverse’s own form. Types of labels and of the column itself may be left out.',
  );

const columnChanges = z
  .record(z.string().max(200), z.unknown())
  .refine((changes) => Object.keys(changes).length > 0, { error: 'It must change something.' })
  .describe('What is to change, in Dataverse’s own form. Labels of languages that are not named stay as they are.');

const keyColumns = z
  .array(z.string().regex(/^[a-z][a-z0-9_]{0,127}$/, 'It must be a logical name.'))
  .min(1)
  .max(16);
const newKey = z.strictObject({
  schemaName,
  displayName: z.string().min(1).max(200).optional(),
  columns: keyColumns,
});
/** The same in Dataverse's own form. */
const newKeyDefinition = z.looseObject({ SchemaName: schemaName, KeyAttributes: keyColumns });

const changeQuery = z.object({
  connection: connectionName(),
  solution: z
    .string()
    .regex(/^\w{1,100}$/, 'It must be the unique name of a solution.')
    .optional()
    .describe('Unique name of the solution that what is made belongs to.'),
});

export function definitionRoutes(services: Services): readonly Route[] {
  const schemas = new Map<string, Schema>();
  const schemaOf = (name: string): Schema => {
    const { client, metadata, settings } = services.connections.get(name);
    const schema =
      schemas.get(name) ??
      createSchema({ client, metadata, allowedTables: settings.allowedTables, clock: services.clock });
    schemas.set(name, schema);
    return schema;
  };
  const schemaToChange = (name: string): Schema => {
    services.connections.get(name).assertWritable();
    return schemaOf(name);
  };

  return [
    route({
      name: 'listTables',
      methods: ['GET'],
      route: 'tables',
      access: 'use',
      tag: 'definitions',
      summary: 'List tables.',
      description:
        'In the order of their logical names, as far as the connection may touch them. The list may be a minute old.',
      query: tablesQuery,
      answers: {
        200: {
          description: 'A page of tables.',
          schema: z.object({ value: z.array(table), nextPage: z.string().optional() }),
        },
      },
      example: { query: { name: 'account,contact', includeCustom: 'false' }, status: 200 },
      async handler({ query: { connection, name, page, select, ...query }, signal }) {
        const { value, last } = await listTables(
          schemaOf(connection),
          { ...query, names: name, select: select && knownMembers(select), after: page && afterPage(page) },
          signal,
        );
        return json({ value, ...(last !== undefined && { nextPage: nextPage(last) }) });
      },
    }),
    route({
      name: 'getTable',
      methods: ['GET'],
      route: 'tables/{table}',
      access: 'use',
      tag: 'definitions',
      summary: 'Get the definition of a table.',
      query: z.object({
        connection: connectionName(),
        lookupLogicalNames: flag(true).describe(
          'Finds the table by its logical name too; with false only by its entity set name or MetadataId.',
        ),
      }),
      answers: { 200: { description: 'The whole definition.', schema: table } },
      example: { path: { table: 'account' }, status: 200 },
      async handler({ path, query: { connection, lookupLogicalNames }, ...call }) {
        return json(
          await describeTable(schemaOf(connection), path['table'] ?? '', { lookupLogicalNames, ...limitsOf(call) }),
        );
      },
    }),
    route({
      name: 'listColumns',
      methods: ['GET'],
      route: 'tables/{table}/columns',
      access: 'use',
      tag: 'definitions',
      summary: 'List or query the columns of a table.',
      query: columnsQuery,
      answers: {
        200: { description: 'Columns by logical name.', schema: z.object({ value: z.array(column) }) },
      },
      example: { path: { table: 'account' }, query: { type: 'Money' }, status: 200 },
      async handler({ path, query: { connection, ...query }, ...call }) {
        const value = await listColumns(schemaOf(connection), path['table'] ?? '', query, limitsOf(call));
        return json({ value });
      },
    }),
    route({
      name: 'getColumn',
      methods: ['GET'],
      route: 'tables/{table}/columns/{column}',
      access: 'use',
      tag: 'definitions',
      summary: 'Get the definition of a column.',
      query: columnQuery,
      answers: { 200: { description: 'The definition.', schema: column } },
      example: { path: { table: 'account', column: 'revenue' }, status: 200 },
      async handler({ path, query: { connection, ...query }, ...call }) {
        const { table = '', column = '' } = path;
        return json(await describeColumn(schemaOf(connection), table, column, query, limitsOf(call)));
      },
    }),
    route({
      name: 'createColumn',
      methods: ['POST'],
      route: 'tables/{table}/columns',
      access: 'admin',
      tag: 'definitions',
      summary: 'Create a column.',
      query: changeQuery,
      body: newColumn,
      answers: {
        201: {
          description: 'The column is there.',
          schema: z.object({ metadataId: z.guid().optional(), logicalName: z.string() }),
          headers: { location: 'The column’s own address.' },
        },
      },
      example: {
        path: { table: 'account' },
        query: { connection: 'admin' },
        body: {
          SchemaName: 'new_Discount',
          AttributeType: 'Decimal',
          DisplayName: { LocalizedLabels: [{ Label: 'Discount', LanguageCode: 1033 }] },
          RequiredLevel: { Value: 'None' },
          Precision: 2,
          MinValue: 0,
          MaxValue: 100,
        },
        status: 201,
      },
      async handler({ path, query: { connection, solution }, body, request, ...call }) {
        const { table = '' } = path;
        const metadataId = await schemaToChange(connection).createColumn(table, body, { solution, ...limitsOf(call) });
        const logicalName = body.SchemaName.toLowerCase();
        return json(
          { ...(metadataId !== undefined && { metadataId }), logicalName },
          { status: 201, headers: { location: `${new URL(request.url).pathname}/${logicalName}` } },
        );
      },
    }),
    route({
      name: 'updateColumn',
      methods: ['PUT'],
      route: 'tables/{table}/columns/{column}',
      access: 'admin',
      tag: 'definitions',
      summary: 'Change the definition of a column.',
      description: 'The changes are put into the current definition, which Dataverse takes as a whole only.',
      query: changeQuery,
      body: columnChanges,
      answers: { 204: { description: 'The definition is changed.' } },
      example: {
        path: { table: 'account', column: 'tickersymbol' },
        query: { connection: 'admin' },
        body: { RequiredLevel: { Value: 'Recommended' } },
        status: 204,
      },
      async handler({ path, query: { connection, solution }, body, ...call }) {
        const { table = '', column = '' } = path;
        await schemaToChange(connection).updateColumn(table, column, body, { solution, ...limitsOf(call) });
        return { status: 204 };
      },
    }),
    route({
      name: 'listKeys',
      methods: ['GET'],
      route: 'tables/{table}/keys',
      access: 'use',
      tag: 'definitions',
      summary: 'List the alternate keys of a table.',
      description: 'Only a key whose status is `Active` addresses rows.',
      query: z.object({ connection: connectionName() }),
      answers: { 200: { description: 'All keys.', schema: z.object({ value: z.array(key) }) } },
      example: { path: { table: 'account' }, status: 200 },
      async handler({ path, query: { connection }, ...call }) {
        return json({ value: await listKeys(schemaOf(connection), path['table'] ?? '', limitsOf(call)) });
      },
    }),
    route({
      name: 'createKey',
      methods: ['POST'],
      route: 'tables/{table}/keys',
      access: 'admin',
      tag: 'definitions',
      summary: 'Create an alternate key.',
      description:
        'Its index is built in the background: the key is `Pending` first, and addresses rows once it is `Active`. Dataverse’s own form of the definition is taken too.',
      query: changeQuery,
      body: z.record(z.string().max(200), z.unknown()),
      bodySchema: newKey,
      answers: {
        201: {
          description: 'The key is there.',
          schema: key.partial(),
          headers: { location: 'The address of the table’s keys.' },
        },
      },
      example: {
        path: { table: 'account' },
        query: { connection: 'admin' },
        body: { schemaName: 'new_TickerKey', displayName: 'Ticker symbol', columns: ['tickersymbol'] },
        status: 201,
      },
      async handler({ path, query: { connection, solution }, body, request, ...call }) {
        const change = { solution, ...limitsOf(call) };
        const key = await createKey(schemaToChange(connection), path['table'] ?? '', keyIn(body), change);
        return json(key, { status: 201, headers: { location: new URL(request.url).pathname } });
      },
    }),
  ];
}

const limitsOf = ({
  signal,
  deadline,
  requestId,
}: Pick<Incoming, 'signal' | 'deadline' | 'requestId'>): RequestLimits => ({
  signal,
  deadline,
  clientRequestId: requestId,
});

/** A key of either form. */
function keyIn(body: Readonly<Record<string, unknown>>): NewKey {
  if (!('SchemaName' in body)) return parseBody(newKey, body);
  const { SchemaName, KeyAttributes, DisplayName } = parseBody(newKeyDefinition, body);
  return { schemaName: SchemaName, displayName: textOf(DisplayName) ?? undefined, columns: KeyAttributes };
}

function knownMembers(select: readonly string[]): readonly string[] {
  const members = select.map((name) => memberOf(propertyOf(name)));
  const unknown = members.find((member) => !TABLE_MEMBERS.includes(member));
  if (unknown === undefined) return members;
  const near = nearest(unknown, TABLE_MEMBERS);
  const message = `A table has no member '${unknown}'.`;
  throw new RequestError(400, 'queryInvalid', message, {
    hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : undefined,
    errors: [{ path: 'select', code: 'memberUnknown', message }],
  });
}

/** A page begins behind the last table of the one before, so that it stays right when tables come and go. */
const nextPage = (last: string): string => Buffer.from(`tables:${last}`).toString('base64url');

function afterPage(page: string): string {
  const after = /^tables:([a-z][a-z0-9_]{0,127})$/.exec(Buffer.from(page, 'base64url').toString('latin1'))?.[1];
  if (after !== undefined && nextPage(after) === page) return after;
  const message = 'There is no such page.';
  throw new RequestError(400, 'pageInvalid', message, {
    hint: 'Give what the page before told as nextPage.',
    errors: [{ path: 'page', code: 'pageInvalid', message }],
  });
}
