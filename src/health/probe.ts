import { z } from 'zod';
import { sendChangeSet } from '../dataverse/change-set.ts';
import type { DataverseClient } from '../dataverse/client.ts';
import { DataverseError, errorFromAnswer } from '../dataverse/errors.ts';
import type { Table } from '../dataverse/table.ts';
import { asErrorAnswer, type BatchOperation } from '../dataverse/wire/batch.ts';
import { UPDATE_ONLY } from '../dataverse/wire/headers.ts';
import { synchronousStepsPath } from '../dataverse/wire/principal.ts';
import type { NewId } from '../shared/ids.ts';
import type { Right } from './needs.ts';

/**
 * `careful`: writes are tried where no synchronous step runs inside them · `forced`: there too · `never`: nothing is
 * written, privileges are only asked for.
 */
export type ProbeMode = 'never' | 'careful' | 'forced';

/** What a real request showed. `unclear` is an answer that says neither. */
export type Shown = 'allowed' | 'refused' | 'unclear';

export interface TableProbe {
  readonly read: Shown;
  readonly create?: Shown;
  readonly write?: Shown;
  readonly delete?: Shown;
  /** Why no write was tried. */
  readonly notTried?: string;
}

export interface ProbeOptions {
  readonly client: DataverseClient;
  readonly apiPath: string;
  readonly newId: NewId;
  readonly signal: AbortSignal;
}

type ProbedTable = Pick<Table, 'entitySetName' | 'primaryId' | 'primaryName' | 'logicalName'>;

const rows = z.object({ value: z.array(z.record(z.string(), z.unknown())) });

/** Reads one row, or fails to. Resolves with its id where there is one. Throws DataverseError but for a refusal. */
export async function probeRead(
  { client, signal }: ProbeOptions,
  { entitySetName, primaryId }: Pick<ProbedTable, 'entitySetName' | 'primaryId'>,
): Promise<{ shown: Shown; id?: string }> {
  try {
    const path = `${entitySetName}?$select=${primaryId}&$top=1`;
    const [row] = rows.parse((await client.send({ method: 'GET', path, signal })).json()).value;
    const id = row?.[primaryId];
    return { shown: 'allowed', ...(typeof id === 'string' && { id }) };
  } catch (error) {
    if (error instanceof DataverseError && error.code === 'forbidden') return { shown: 'refused' };
    throw error;
  }
}

/**
 * Shows what the application user can do with a table's rows, and leaves no trace: each write stands in a change set in
 * front of an update of a row that does not exist, so that the change set is always undone. `privilegeNames` gives the
 * names of the table's privileges by right.
 */
export async function probeTable(
  options: ProbeOptions,
  table: ProbedTable,
  mode: ProbeMode,
  privilegeNames: ReadonlyMap<Right, string>,
): Promise<TableProbe> {
  const read = await probeRead(options, table);
  const obstacle = await whyNotTried(options, table, mode);
  if (obstacle !== undefined) return { read: read.shown, notTried: obstacle };
  const attempt = (right: Right, operations: readonly BatchOperation[]): Promise<Shown> =>
    tryWrite(options, table, privilegeNames.get(right), operations);
  const made = options.newId();
  const creation = createOf(table, made);
  const create = await attempt('create', [creation]);
  // What is changed and deleted is a row of the same change set, or else one that is there.
  const id = create === 'allowed' ? made : read.id;
  if (id === undefined) return { read: read.shown, create, notTried: 'there is no row to change' };
  const before = create === 'allowed' ? [creation] : [];
  const write = await attempt('write', [...before, updateOf(table, id)]);
  const remove = await attempt('delete', [...before, { method: 'DELETE', path: `${table.entitySetName}(${id})` }]);
  return { read: read.shown, create, write, delete: remove };
}

async function whyNotTried(
  { client, signal }: ProbeOptions,
  { logicalName }: ProbedTable,
  mode: ProbeMode,
): Promise<string | undefined> {
  if (mode === 'never') return 'writes were not to be tried';
  if (mode === 'forced') return undefined;
  try {
    const answer = await client.send({ method: 'GET', path: synchronousStepsPath(logicalName), signal });
    const steps = rows.parse(answer.json()).value.length;
    return steps === 0 ? undefined : 'synchronous steps run inside its writes; ?probe=forced tries nevertheless';
  } catch (error) {
    if (!(error instanceof DataverseError)) throw error;
    return 'it could not be read whether synchronous steps run inside its writes; ?probe=forced tries nevertheless';
  }
}

const createOf = ({ entitySetName, primaryId }: ProbedTable, id: string): BatchOperation => ({
  method: 'POST',
  path: entitySetName,
  body: JSON.stringify({ [primaryId]: id }),
});

const updateOf = ({ entitySetName, primaryName }: ProbedTable, id: string): BatchOperation => ({
  method: 'PATCH',
  path: `${entitySetName}(${id})`,
  headers: UPDATE_ONLY,
  body: JSON.stringify(primaryName === '' ? {} : { [primaryName]: 'Dataverse Bridge: test of privileges' }),
});

/**
 * The change set's one error tells which operation stopped it, by the id of the row that does not exist or by the name
 * of the privilege that is missing: UNCONFIRMED which of several failing operations the service names, so an answer that
 * fits neither is `unclear`.
 */
async function tryWrite(
  { client, apiPath, newId, signal }: ProbeOptions,
  table: ProbedTable,
  privilege: string | undefined,
  operations: readonly BatchOperation[],
): Promise<Shown> {
  const nowhere = newId();
  const failed = await sendChangeSet(client, apiPath, [...operations, updateOf(table, nowhere)], {
    boundary: newId(),
    signal,
  });
  // Cannot be: the last operation names a row that does not exist. Nothing is concluded from it.
  if (!failed) return 'unclear';
  const error = errorFromAnswer(asErrorAnswer(failed));
  if (error.code === 'notFound' && error.message.toLowerCase().includes(nowhere)) return 'allowed';
  if (error.code !== 'forbidden') return 'unclear';
  const missing = /\bprv\w+/.exec(error.message)?.[0];
  if (missing === undefined || privilege === undefined) return 'unclear';
  if (missing.toLowerCase() === privilege.toLowerCase()) return 'refused';
  // The update at the end was refused: what stands in front of it had passed, unless it needs that privilege as well.
  return operations.length === 1 ? 'allowed' : 'unclear';
}
