import * as z from 'zod';
import type { TableNeeds } from '../dataverse/metadata.ts';
import { ActivationError, type DefinitionFault } from './errors.ts';
import { scheduleFault } from './schedule.ts';

/** Containers that hold the app's or the platform's own state; no source may read them. */
const OWN_CONTAINERS = /^(activations|webhook-.*|azure-webjobs-.*)$/;
// The container's name as Azure takes it, then a blob path in which * and ? stay within one folder.
const SOURCE_PATH = /^([a-z0-9](?:-?[a-z0-9])+)\/([^\\#]+)$/;

const columnName = z.string().regex(/^[a-z_][a-z0-9_]{0,99}$/, 'A column is named by its logical name, in lower case.');

const only = <T extends string>(name: string, value: T) =>
  z.literal(value, { error: `Only '${value}' is available for ${name} in this version.` });

const source = z.strictObject({
  kind: only('source.kind', 'blob'),
  path: z
    .string()
    .max(1024)
    .regex(SOURCE_PATH, 'A source is container/path, where the path may hold * and ?.')
    .refine((path) => !OWN_CONTAINERS.test(sourceLocation(path).container), 'This container holds the app’s own state.')
    .describe('Container and path of the blob; `*` and `?` stand for characters within one folder.'),
  take: only('source.take', 'newest')
    .default('newest')
    .describe('The blob modified last; of several with the same time the last by name.'),
});

const keyColumns = z
  .array(columnName)
  .min(1)
  .max(16)
  .refine((columns) => new Set(columns).size === columns.length, 'A column is named twice.');

const key = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({ kind: z.literal('id') }),
    z.strictObject({ kind: z.literal('alternateKey'), columns: keyColumns }),
    z
      .strictObject({ kind: z.literal('match'), columns: keyColumns })
      .describe(
        'For tables without a key: the row that has these values. Nothing keeps another program from creating a second one, and of several that have them none is touched.',
      ),
  ],
  { error: "The kind of a key is 'id', 'alternateKey' or 'match'." },
);

const mapped = z.union(
  [
    z.string().min(1).max(200).describe('A column of the model.'),
    z.strictObject({
      from: z.string().min(1).max(200),
      truncate: z.boolean().default(false).describe('Cut text to the length that the column takes.'),
    }),
    z.strictObject({ value: z.union([z.string().max(4000), z.number(), z.boolean(), z.null()]) }),
  ],
  { error: 'A column is mapped to a column of the model, { from, truncate? } or { value }.' },
);

const schedule = z
  .strictObject({ cron: z.string().min(1).max(200), timeZone: z.string().min(1).max(64).default('UTC') })
  .superRefine((value, context) => {
    const fault = scheduleFault(value);
    if (fault) context.addIssue({ code: 'custom', path: [fault.path], message: fault.message });
  });

/** The one schema of an activation's definition: for validation and for the API's description. */
export const definitionSchema = z
  .strictObject({
    name: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, 'A name is lower-case letters, digits and hyphens, 63 at most.'),
    connection: z
      .string()
      .regex(/^[a-z][a-z0-9]{0,23}$/, 'A connection is named by lower-case letters and digits, 24 at most.')
      .default('default'),
    source,
    model: z
      .string()
      .min(1)
      .max(20_000)
      .default('select * from source')
      .describe('One SELECT in DuckDB’s SQL over the relation `source`, whose columns are all text.'),
    table: z.string().regex(/^[a-z_][a-z0-9_]{0,127}$/, 'A table is named by its logical name, in lower case.'),
    key,
    mapping: z
      .record(columnName, mapped)
      .refine((columns) => Object.keys(columns).length > 0, 'At least one column has to be mapped.')
      .refine((columns) => Object.keys(columns).length <= 1000, 'At most 1,000 columns can be mapped.'),
    mode: z
      .enum(['create', 'update', 'upsert'], {
        error: "Only 'create', 'update' and 'upsert' are available for mode in this version.",
      })
      .default('upsert'),
    deletes: z
      .strictObject({ kind: only('deletes.kind', 'none'), maxShare: z.number().min(0).max(1).default(0.1) })
      .prefault({ kind: 'none' }),
    nulls: z
      .enum(['ignore', 'clear'])
      .default('ignore')
      .describe('What an empty value does: leave the column alone, or clear it.'),
    schedule: schedule.optional(),
  })
  .superRefine((definition, context) => {
    if (definition.key.kind === 'id') return;
    for (const [position, column] of definition.key.columns.entries()) {
      if (Object.hasOwn(definition.mapping, column)) continue;
      const message = `The key's column '${column}' is not mapped.`;
      context.addIssue({ code: 'custom', path: ['key', 'columns', position], message });
    }
  });

/** A definition with its defaults filled in. */
export type ActivationDefinition = z.infer<typeof definitionSchema>;
export type MappedColumn = z.infer<typeof mapped>;

/**
 * Reads a definition that is to be stored under `name`. Throws ActivationError `definitionInvalid` with every fault
 * that it has.
 */
export function parseDefinition(name: string, body: unknown): ActivationDefinition {
  const parsed = definitionSchema.safeParse(body);
  const faults: DefinitionFault[] = (parsed.error?.issues ?? []).flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => fault([...issue.path, key], issue.code, 'There is no such member.'))
      : [fault(issue.path, issue.code, issue.message)],
  );
  if (parsed.success && parsed.data.name !== name) {
    faults.push(fault(['name'], 'custom', `The name differs from '${name}', under which it is to be stored.`));
  }
  if (parsed.success && faults.length === 0) return parsed.data;
  const count = faults.length === 1 ? 'one fault' : `${faults.length} faults`;
  throw new ActivationError('definitionInvalid', `The definition has ${count}.`, {
    faults,
    hint: faults.map(({ path, message }) => `${path || 'The definition'}: ${message}`).join(' '),
  });
}

const fault = (path: readonly PropertyKey[], code: string, message: string): DefinitionFault => ({
  path: path.map(String).join('.'),
  code,
  message,
});

/** The container of a source path and the pattern of blob paths in it. */
export function sourceLocation(path: string): { readonly container: string; readonly pattern: string } {
  const slash = path.indexOf('/');
  return { container: path.slice(0, slash), pattern: path.slice(slash + 1) };
}

/** The columns that a definition writes, and those that an alternate key has to be on. */
export const tableNeeds = ({ key, mapping }: ActivationDefinition): TableNeeds => ({
  columns: Object.keys(mapping),
  keyColumns: key.kind === 'alternateKey' ? key.columns : [],
});
