import type { DataverseClient } from '../dataverse/client.ts';
import type { DataverseResponse } from '../dataverse/request.ts';
import { activeKey, keyOn, type Table } from '../dataverse/table.ts';
import type { ConnectionUse } from './needs.ts';
import { type Finding, StageError } from './stages.ts';

/** Below this share of the documented 6,000 requests or 1,200 seconds in five minutes the headroom is worth a word. */
const LOW_REQUESTS = 600;
const LOW_SECONDS = 120;

/** Whether the alternate keys that activations address rows by can be used. Throws StageError `keyMissing`, `keyNotActive`. */
export function checkKeys(
  uses: readonly ConnectionUse[],
  tables: ReadonlyMap<string, Table>,
): Finding | { skip: string } {
  const keyed = uses.filter(({ keyColumns }) => keyColumns.length > 0);
  if (keyed.length === 0) return { skip: 'No activation addresses rows of this connection by an alternate key.' };
  const told = new Set<string>();
  for (const { activation, table: name, keyColumns } of keyed) {
    const table = tables.get(name);
    if (!table) continue;
    const where = `${name}(${keyColumns.join(', ')})`;
    const key = keyOn(table, keyColumns);
    if (!activeKey(table, keyColumns)) {
      throw new StageError(
        key ? 'keyNotActive' : 'keyMissing',
        key
          ? `The alternate key on ${where}, which the activation '${activation}' uses, is ${key.status}.`
          : `There is no alternate key on ${where}, which the activation '${activation}' uses.`,
        {
          hint:
            key?.status === 'Failed'
              ? 'Rows with equal values keep the index from being built: remove them, then reactivate the key (Power Apps, Tables, Keys).'
              : key
                ? 'Wait until its index is built; the system job stands in Power Apps, Tables, Keys.'
                : 'Create it (Power Apps, Tables, Keys) and wait until it is Active.',
          facts: { table: name, columns: keyColumns, ...(key && { key: key.logicalName, status: key.status }) },
        },
      );
    }
    told.add(where);
  }
  return { detail: `Alternate keys in use are active: ${[...told].join('; ')}.` };
}

/**
 * How much of the service protection limits is left on the server that answered. The headers are documented for
 * debugging only, so nothing but this sentence depends on them.
 */
export async function checkLimits(client: DataverseClient, signal: AbortSignal): Promise<Finding | { skip: string }> {
  const answer = await client.send({ method: 'GET', path: 'WhoAmI', signal });
  const requests = numberIn(answer, 'x-ms-ratelimit-burst-remaining-xrm-requests');
  const seconds = numberIn(answer, 'x-ms-ratelimit-time-remaining-xrm-requests');
  const parallel = numberIn(answer, 'x-ms-dop-hint');
  if (requests === undefined && seconds === undefined && parallel === undefined)
    return { skip: 'The answers carry no headers about service protection limits.' };
  const left = [
    ...(requests === undefined ? [] : [`${requests} requests`]),
    ...(seconds === undefined ? [] : [`${seconds} s of execution time`]),
  ];
  const low = (requests ?? LOW_REQUESTS) < LOW_REQUESTS || (seconds ?? LOW_SECONDS) < LOW_SECONDS;
  return {
    detail: [
      ...(left.length > 0 ? [`Left in this five-minute window on the server that answered: ${left.join(', ')}.`] : []),
      ...(parallel === undefined ? [] : [`The service recommends ${parallel} requests at a time.`]),
    ].join(' '),
    ...(low && {
      warnings: [
        'The service protection limits are nearly used up: others use the same application user, or a run goes on.',
      ],
    }),
    facts: {
      ...(requests !== undefined && { requests }),
      ...(seconds !== undefined && { seconds }),
      ...(parallel !== undefined && { parallel }),
    },
  };
}

/** The time is written `1,199.99` (UNCONFIRMED), so commas are taken for separators of thousands. */
function numberIn(answer: DataverseResponse, header: string): number | undefined {
  const text = answer.header(header)?.replaceAll(',', '');
  return text === undefined || !/^\d+(\.\d+)?$/.test(text) ? undefined : Number(text);
}
