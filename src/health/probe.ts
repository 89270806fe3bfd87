import * as z from 'zod';
import { sendChangeSet } from '../dataverse/change-set.ts';
import type { DataverseClient } from '../dataverse/client.ts';
import { DataverseError, errorFromAnswer } from '../dataverse/errors.ts';
import type { Table } from '../dataverse/table.ts';
import { asErrorAnswer, type BatchOperation } from '../dataverse/wire/batch.ts';
import { UPDATE_ONLY } from '../dataverse/wire/headers.ts';
import { synchronousStepsPath } from '../dataverse/wire/principal.ts';
import type { NewId } from '../shared/ids.ts';
import type { Right } from './needs.ts';
import { StageError } from './stages.ts';

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

export interface ProbedTable extends Pick<Table, 'entitySetName' | 'primaryId' | 'primaryName' | 'logicalName'> {
  /** `Standard`, `Elastic`, `Virtual`, … */
  readonly type: string;
  /** Names of its privileges. */
  readonly privileges: ReadonlyMap<Right, string>;
}

/** Operations of a change set, with the right that each needs. */
type Attempt = readonly { readonly right: Right; readonly operation: BatchOperation }[];

const rows = z.object({ value: z.array(z.record(z.string(), z.unknown())) });

/** Reads one row, or fails to. Resolves with its id where there is one. Throws DataverseError but for a refusal. */
export async function probeRead(
  { client, signal }: ProbeOptions,
  { entitySetName, primaryId }: Pick<Table, 'entitySetName' | 'primaryId'>,
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
 * front of an update of a row that does not exist, so that the change set is always undone. Throws DataverseError, and
 * StageError `probeNotUndone` if one was carried out nevertheless.
 */
export async function probeTable(options: ProbeOptions, table: ProbedTable, mode: ProbeMode): Promise<TableProbe> {
  const read = await probeRead(options, table);
  const obstacle = await whyNotTried(options, table, mode);
  if (obstacle !== undefined) return { read: read.shown, notTried: obstacle };
  const made = options.newId();
  const creation = { right: 'create', operation: createOf(table, made) } as const;
  const create = await tryWrite(options, table, [creation]);
  // What is changed and deleted is a row of the same change set, or else one that is there.
  const id = create === 'allowed' ? made : read.id;
  if (id === undefined)
    return { read: read.shown, create, notTried: 'there is no row that could be changed or deleted' };
  const before = create === 'allowed' ? [creation] : [];
  const write = await tryWrite(options, table, [...before, { right: 'write', operation: updateOf(table, id) }]);
  const deletion = { right: 'delete', operation: deleteOf(table, id) } as const;
  return { read: read.shown, create, write, delete: await tryWrite(options, table, [...before, deletion]) };
}

async function whyNotTried(
  { client, signal }: ProbeOptions,
  { logicalName, type }: ProbedTable,
  mode: ProbeMode,
): Promise<string | undefined> {
  if (mode === 'never') return 'writes were not to be tried';
  // Others, such as elastic tables, know no transactions: nothing would be undone.
  if (type !== 'Standard') return `it is of the type ${type}, whose writes cannot be undone`;
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

const deleteOf = ({ entitySetName }: ProbedTable, id: string): BatchOperation => ({
  method: 'DELETE',
  path: `${entitySetName}(${id})`,
});

const updateOf = ({ entitySetName, primaryName }: ProbedTable, id: string): BatchOperation => ({
  method: 'PATCH',
  path: `${entitySetName}(${id})`,
  headers: UPDATE_ONLY,
  body: JSON.stringify(primaryName === '' ? {} : { [primaryName]: 'Dataverse Bridge: test of privileges' }),
});

/**
 * Tries the last of the operations. The change set's one error tells which operation stopped it, by the id of the row
 * that does not exist or by the name of the privilege that is missing: UNCONFIRMED which of several failing operations
 * the service names, so an answer that fits neither is `unclear`.
 */
async function tryWrite(
  { client, apiPath, newId, signal }: ProbeOptions,
  table: ProbedTable,
  attempt: Attempt,
): Promise<Shown> {
  const nowhere = newId();
  const operations = [...attempt.map(({ operation }) => operation), updateOf(table, nowhere)];
  const failed = await sendChangeSet(client, apiPath, operations, { boundary: newId(), signal });
  if (!failed) {
    throw new StageError('probeNotUndone', `A change set on ${table.logicalName} that had to fail was carried out.`, {
      hint: `Look at ${operations.map(({ path }) => path).join(', ')} in Dataverse, and test with ?probe=never.`,
    });
  }
  const error = errorFromAnswer(asErrorAnswer(failed));
  if (error.code === 'notFound' && error.message.toLowerCase().includes(nowhere)) return 'allowed';
  const missing = error.code === 'forbidden' ? /\bprv\w+/.exec(error.message)?.[0]?.toLowerCase() : undefined;
  if (missing === undefined) return 'unclear';
  const at = attempt.findIndex(({ right }) => table.privileges.get(right)?.toLowerCase() === missing);
  // Not one of those in front: the update at the end was refused, so they had passed.
  if (at < 0) return attempt.every(({ right }) => table.privileges.has(right)) ? 'allowed' : 'unclear';
  return at === attempt.length - 1 ? 'refused' : 'unclear';
}
