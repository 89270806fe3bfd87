import type { FilterExpression, Operand } from './odata/ast.ts';
import type { Operation, OperationFacts } from './request.ts';

/** What one HTTP request made the service do; {@link modelledMs} of `service-model.ts` turns it into time. */
export interface Effort {
  /** Rows made, changed and deleted, those included that were refused. */
  creates: number;
  updates: number;
  deletes: number;
  /** The same, where an alternate key names the row. */
  keyedCreates: number;
  keyedUpdates: number;
  keyedDeletes: number;
  /** Operations inside a `$batch`. */
  batchOperations: number;
  /** Retrievals of one row or of a page. */
  queries: number;
  rowsRead: number;
  /** Values by which rows are looked for: those of `eq` and `In` in a filter, and the alternate key of one row. */
  keysLookedUp: number;
}

export const newEffort = (): Effort => ({
  creates: 0,
  updates: 0,
  deletes: 0,
  keyedCreates: 0,
  keyedUpdates: 0,
  keyedDeletes: 0,
  batchOperations: 0,
  queries: 0,
  rowsRead: 0,
  keysLookedUp: 0,
});

const WRITES = {
  create: { byId: 'creates', byKey: 'keyedCreates' },
  update: { byId: 'updates', byKey: 'keyedUpdates' },
  delete: { byId: 'deletes', byKey: 'keyedDeletes' },
} as const;

/** Notes that a row is about to be written. */
export function countWrite(effort: Effort, kind: keyof typeof WRITES, byKey: boolean): void {
  effort[WRITES[kind][byKey ? 'byKey' : 'byId']] += 1;
}

/** Notes what a retrieval of rows has read; for anything else nothing. */
export function countRead(effort: Effort, operation: Operation, facts: OperationFacts): void {
  if (operation.method !== 'GET' || facts.table === undefined) return;
  const { filter, fetchXml } = operation.options;
  const [first] = operation.segments;
  effort.queries += 1;
  effort.rowsRead += facts.rows ?? 1;
  if (first?.kind === 'name' && first.predicate?.kind === 'named') effort.keysLookedUp += 1;
  if (filter) effort.keysLookedUp += keysIn(filter);
  if (fetchXml !== undefined) effort.keysLookedUp += keysInFetch(fetchXml);
}

function keysIn(filter: FilterExpression): number {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return filter.operands.reduce((sum, one) => sum + keysIn(one), 0);
    case 'not':
      return keysIn(filter.operand);
    case 'comparison':
      return filter.operator === 'eq' ? 1 : 0;
    case 'function':
      return filter.name === 'In' ? valuesOf(filter.arguments.get('PropertyValues')) : 0;
    case 'lambda':
      return filter.body ? keysIn(filter.body.predicate) : 0;
    default:
      return 0;
  }
}

const valuesOf = (operand: Operand | undefined): number =>
  operand?.kind === 'literal' && operand.literal.kind === 'json' && Array.isArray(operand.literal.value)
    ? operand.literal.value.length
    : 1;

/** Counted in the text: each `<value>`, and each condition with the operator `eq`. */
const keysInFetch = (fetchXml: string): number =>
  [...fetchXml.matchAll(/<value[\s>]|\boperator\s*=\s*["']eq["']/g)].length;
