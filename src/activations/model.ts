import * as z from 'zod';
import type { Clock } from '../shared/clock.ts';
import { messageOf } from '../shared/errors.ts';
import { type Engine, sqlText } from './engine.ts';
import { ActivationError } from './errors.ts';

/** A column that the model yields; `type` in DuckDB's words. */
export interface ModelColumn {
  readonly name: string;
  readonly type: string;
}

/** Table functions that make rows out of their arguments alone. */
const TABLE_FUNCTIONS = new Set(['unnest', 'range', 'generate_series']);
/** Kinds of relations in DuckDB's syntax tree; a kind that is not listed (SHOW_REF, …) is refused. */
const RELATIONS = new Set([
  'BASE_TABLE',
  'SUBQUERY',
  'JOIN',
  'EMPTY',
  'EMPTY_FROM',
  'TABLE_FUNCTION',
  'EXPRESSION_LIST',
  'PIVOT',
]);
/** Functions that look out of the rows: at the environment, at settings, at the database itself, or into its log. */
const OUTWARD_FUNCTION =
  /^(getenv|getvariable|current_(setting|query|query_id|connection_id|transaction_id|database|schema|schemas|catalog|role|user)|txid_current|version|write_log|parse_duckdb_log_message|nextval|currval|(pg_)?sleep(_ms)?|session_user|user|in_search_path|has_.*_privilege|pg_.*)$/;

/**
 * Runs the model over `source` into `bridge.model`, in the order that it yields, and returns the columns.
 *
 * From here on the engine reaches no file, no network and no extension, and no setting changes any more. Throws
 * ActivationError `modelInvalid` for anything but one SELECT over `source`, and `modelTimeout` after `timeoutMs`.
 */
export async function runModel(
  engine: Engine,
  model: string,
  { clock, timeoutMs }: { clock: Clock; timeoutMs: number },
): Promise<readonly ModelColumn[]> {
  const select = await parseModel(engine, model);
  await engine.run('set enable_external_access = false');
  await engine.run('set lock_configuration = true');
  await withTimeout(engine, clock, timeoutMs, async () => {
    try {
      await engine.run(`create table bridge.model as ${select}`);
    } catch (error) {
      throw refusedModel(error);
    }
  });
  const columns = await engine.all(
    `select column_name, data_type from duckdb_columns()
     where schema_name = 'bridge' and table_name = 'model' order by column_index`,
  );
  return columns.map((column) => ({ name: String(column['column_name']), type: String(column['data_type']) }));
}

/** Ends `work` by an interrupt when it takes longer. */
async function withTimeout(engine: Engine, clock: Clock, ms: number, work: () => Promise<void>): Promise<void> {
  const finished = new AbortController();
  let late = false;
  const watch = clock.sleep(ms, finished.signal).then(
    () => {
      late = true;
      engine.interrupt();
    },
    () => undefined,
  );
  try {
    await work();
  } catch (error) {
    if (!late) throw error;
    throw new ActivationError('modelTimeout', `The model ran for more than ${Math.round(ms / 1000)} seconds.`, {
      cause: error,
      hint: 'Simplify the model, or prepare the data before it is put into the source.',
    });
  } finally {
    finished.abort();
    await watch;
  }
}

const tree = z.object({
  error: z.boolean(),
  error_message: z.string().optional(),
  statements: z.array(z.unknown()).optional(),
});

/** The model as one SELECT in DuckDB's own spelling, which has neither comments nor semicolons. */
async function parseModel(engine: Engine, model: string): Promise<string> {
  const [row] = await engine.all(`select json_serialize_sql(${sqlText(model)})::varchar as tree`);
  const parsed = tree.parse(JSON.parse(String(row?.['tree'])));
  if (parsed.error) throw invalid(`The model is not a SELECT: ${parsed.error_message ?? 'it cannot be parsed'}`);
  if (parsed.statements?.length !== 1) throw invalid('The model has to be one statement.');
  requireSelfContained(parsed.statements);
  const [text] = await engine.all(`select json_deserialize_sql(json_serialize_sql(${sqlText(model)})) as text`);
  return String(text?.['text']);
}

/** Walks the syntax tree; everything that reaches beyond `source` is refused, and what is not known too. */
function requireSelfContained(statements: readonly unknown[]): void {
  const relations = new Set(['source']);
  visit(statements, (node) => {
    if (!Array.isArray(node['map'])) return;
    for (const entry of node['map']) if (isNode(entry) && 'value' in entry) relations.add(lower(entry['key']));
  });
  visit(statements, (node) => {
    for (const part of ['from_table', 'left', 'right', 'source']) {
      const relation = node[part];
      const kind = isNode(relation) && 'sample' in relation ? String(relation['type']) : undefined;
      // The halves of a UNION or of a recursive query are queries and are looked into themselves.
      if (kind === undefined || kind.endsWith('_NODE') || RELATIONS.has(kind)) continue;
      throw invalid(`The model cannot read from ${kind}.`);
    }
    if (node['type'] === 'BASE_TABLE') requireKnown(node, relations);
    if (node['type'] === 'TABLE_FUNCTION') {
      const name = isNode(node['function']) ? lower(node['function']['function_name']) : '';
      if (!TABLE_FUNCTIONS.has(name)) throw invalid(`The model cannot use the table function '${name}'.`);
    }
    const called = lower(node['function_name']);
    if (OUTWARD_FUNCTION.test(called)) throw invalid(`The model cannot use the function '${called}'.`);
  });
}

function requireKnown(node: Node, relations: ReadonlySet<string>): void {
  const name = lower(node['table_name']);
  if (!node['schema_name'] && !node['catalog_name'] && relations.has(name)) return;
  const full = [node['catalog_name'], node['schema_name'], node['table_name']].filter(Boolean).join('.');
  throw invalid(`The model cannot read '${full}'.`);
}

type Node = Readonly<Record<string, unknown>>;

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && !Array.isArray(value);

const lower = (value: unknown): string => (typeof value === 'string' ? value.toLowerCase() : '');

function visit(value: unknown, look: (node: Node) => void): void {
  if (Array.isArray(value)) for (const each of value) visit(each, look);
  if (!isNode(value)) return;
  look(value);
  for (const each of Object.values(value)) visit(each, look);
}

const invalid = (message: string, cause?: unknown): ActivationError =>
  new ActivationError('modelInvalid', message, {
    cause,
    hint: 'A model is one SELECT in DuckDB’s SQL; its only relation is `source`, all columns of which are text.',
  });

/** DuckDB's word on the model without the values that it quotes: errors hold no data. */
function refusedModel(error: unknown): unknown {
  if (!(error instanceof Error) || error.name === 'AbortError') return error;
  const [first = ''] = messageOf(error).split('\n', 1);
  const message = /^(Parser|Binder|Catalog) Error/.test(first) ? first : first.replace(/(['"]).*\1/g, '…');
  return invalid(`The model cannot be run: ${message}`, error);
}
