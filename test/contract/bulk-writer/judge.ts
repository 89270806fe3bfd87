import type { OutcomeKind, RowOutcome } from '../../../src/dataverse/bulk/outcomes.ts';
import { type Case, nameOf, type Planned, type Stored, targetOf } from './cases.ts';
import type { Others } from './trial.ts';

export interface Evidence {
  readonly drawn: Case;
  readonly ledger: ReadonlyMap<number, RowOutcome>;
  readonly stored: readonly Stored[];
  readonly others: Pick<Others, 'created' | 'deleted'>;
  /** The write was broken off: outcomes may be missing, but those there are have to be true. */
  readonly broken: boolean;
  /** What was left open then was written again: of a row that is gone nobody knows any more who deleted it. */
  readonly repeated?: boolean;
}

/** Says in words what of the ledger is not as it is stored: rows lost, doubled or misreported. */
export function judge(evidence: Evidence): string[] {
  const { drawn, stored } = evidence;
  const wrong: string[] = [];
  const byTarget = new Map<number, Stored[]>();
  for (const row of stored) {
    const target = targetOf(drawn, row);
    if (target === undefined) wrong.push(`a row without a key is stored: ${JSON.stringify(row)}`);
    else byTarget.set(target, [...(byTarget.get(target) ?? []), row]);
  }
  const targets = new Set([...drawn.rows.map(({ target }) => target), ...drawn.before.map(({ target }) => target)]);
  for (const target of byTarget.keys())
    if (!targets.has(target) && !evidence.others.created.has(target)) wrong.push(`nobody wrote ${target}`);
  for (const target of targets) {
    const rows = drawn.rows.map((row, index) => ({ ...row, index })).filter((row) => row.target === target);
    wrong.push(
      ...judgeTarget(evidence, target, rows, byTarget.get(target) ?? []).map((text) => `target ${target}: ${text}`),
    );
  }
  return wrong;
}

type Sent = Planned & { readonly index: number };

const written = ({ same, index }: Sent): string => (same ? 'before' : nameOf(index));

function judgeTarget(evidence: Evidence, target: number, rows: readonly Sent[], found: readonly Stored[]): string[] {
  const { drawn, ledger, others, broken, repeated = false } = evidence;
  const wrong: string[] = [];
  const tell = (row: Sent, text: string): void => {
    const { outcome, id, error } = ledger.get(row.index) ?? {};
    wrong.push(
      `row ${row.index} is ${outcome} ${id ?? ''} ${error?.code ?? ''} ${error?.message ?? ''}, but ${text}; stored ${JSON.stringify(found)}`,
    );
  };
  const isAmbiguous = drawn.ambiguous.has(target);
  if (found.length > (isAmbiguous ? 2 : 1)) wrong.push(`stored ${found.length} times: doubled`);
  const names = new Set(found.map((row) => row['name']));
  let last: Sent | undefined;
  for (const row of rows) {
    const outcome = ledger.get(row.index);
    const isWritten = outcome?.outcome === 'created' || outcome?.outcome === 'updated';
    if (isWritten) last = row;
    if (outcome && !isWritten && names.has(nameOf(row.index)) && outcome.error?.code !== 'outcomeUnknown') {
      tell(row, 'it is written');
    }
    if (isWritten && row.bad) tell(row, 'the service refuses it');
    if (outcome?.outcome === 'created' && found[0] && !others.deleted.has(target)) {
      const id = drawn.address === 'id' ? row.row.key['id'] : row.row.newId;
      if (found[0]['accountid'] !== id) tell(row, 'somebody else created it');
    }
    if (
      outcome?.id !== undefined &&
      found[0] &&
      !others.deleted.has(target) &&
      found[0]['accountid'] !== outcome.id &&
      !isAmbiguous
    ) {
      tell(row, 'its id is another');
    }
  }
  const isGone = others.deleted.has(target);
  if (last && !isGone) {
    if (found.length === 0) tell(last, 'it is not stored: lost');
    else if (!broken && !names.has(written(last))) tell(last, 'its values are not stored: lost');
    else if (broken && !rows.some((row) => row.index >= (last?.index ?? 0) && names.has(written(row))))
      tell(last, 'its values are not stored: lost');
  }
  if (!broken) wrong.push(...misreported(evidence, target, rows, repeated));
  return wrong;
}

/** Goes through the rows of one target in their order, and says where an outcome is not what it has to be. */
function misreported(
  { drawn, ledger, others }: Evidence,
  target: number,
  rows: readonly Sent[],
  repeated: boolean,
): string[] {
  const wrong: string[] = [];
  const { mode } = drawn;
  let exists = drawn.before.some((each) => each.target === target) || others.created.has(target);
  let wasCreated = false;
  for (const row of rows) {
    const said = ledger.get(row.index);
    if (!said) continue;
    const due = drawn.ambiguous.has(target) ? ['rejected' as const] : outcomesDue(drawn, row, exists);
    const maybeGone = others.deleted.has(target);
    if (repeated && mode === 'delete') due.push('skipped');
    // Of rows under one id of their caller's nobody can tell after a restart which of them created it.
    if (repeated && drawn.address === 'id' && wasCreated) due.push('created');
    // Whoever comes after somebody else's delete finds the row, or does not.
    if (maybeGone) due.push(...outcomesDue(drawn, row, !exists));
    if (!due.includes(said.outcome)) {
      wrong.push(
        `row ${row.index} (${JSON.stringify(row.row.key)}${row.bad ? ', bad' : ''}) is ${said.outcome} ${said.error?.code ?? ''} ${said.error?.message ?? ''}, but ought to be ${due.join(' or ')}`,
      );
    }
    if (
      row.bad &&
      said.outcome === 'rejected' &&
      exists &&
      mode !== 'create' &&
      !drawn.ambiguous.has(target) &&
      !maybeGone &&
      said.error?.code !== '0x80040265'
    ) {
      wrong.push(`row ${row.index} is rejected with ${said.error?.code} instead of the service's own code`);
    }
    if (said.outcome === 'created') exists = wasCreated = true;
    if (said.outcome === 'updated' && mode === 'upsert') exists = true;
    if (said.outcome === 'deleted' || (repeated && mode === 'delete')) exists = false;
  }
  return wrong;
}

/** What may be said of a row, given whether its target is there. */
function outcomesDue({ mode, resolve }: Case, { bad, same }: Sent, exists: boolean): OutcomeKind[] {
  switch (mode) {
    case 'upsert':
      if (bad) return ['rejected'];
      // Without a look-up nobody knows what an upsert did.
      if (!resolve) return exists ? ['updated', 'unchanged'] : ['updated', 'created'];
      return [exists ? (same ? 'unchanged' : 'updated') : 'created'];
    case 'create':
      return [bad || exists ? 'rejected' : 'created'];
    case 'update':
      if (!exists || bad) return ['rejected'];
      return [same ? 'unchanged' : 'updated'];
    default:
      return [exists ? 'deleted' : 'skipped'];
  }
}
