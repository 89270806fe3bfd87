import { encode } from './literals.ts';
import { Utf8Text } from './utf8-text.ts';

/**
 * Bulk messages (Dataverse, "Use bulk operation messages"). Their bodies are put together from the texts of rows, each
 * of which is written once: for a large load that is most of what the client does.
 */
export type BulkMessage = 'CreateMultiple' | 'UpdateMultiple' | 'UpsertMultiple' | 'DeleteMultiple';

/** The address of a bulk message below the Web API's root. */
export const bulkPath = (entitySetName: string, message: BulkMessage): string =>
  `${entitySetName}/Microsoft.Dynamics.CRM.${message}`;

/** What each target begins with: the name of its table. The text of its members follows, and a closing brace. */
export const targetHead = (logicalName: string): string =>
  `{"@odata.type":${JSON.stringify(`Microsoft.Dynamics.CRM.${logicalName}`)}`;

/** The member that names a target by the address of its row, `accounts(accountnumber='A')`. */
export const targetAddress = (path: string): string => `"@odata.id":${JSON.stringify(path)}`;

/** The body of a bulk message with these targets; `add` adds the text of one. `expected` is a guess at the bytes. */
export function targetsBody<T>(
  targets: readonly T[],
  expected: number,
  add: (text: Utf8Text, target: T) => void,
): Buffer {
  const text = new Utf8Text(expected);
  text.add('{"Targets":[');
  let isFirst = true;
  for (const target of targets) {
    if (!isFirst) text.add(',');
    isFirst = false;
    add(text, target);
  }
  text.add(']}');
  return text.bytes;
}

/** Asks elastic tables to tell in an error what became of each target (Dataverse, "Use elastic tables with bulk operations"). */
export const WITH_ROW_STATUS = { prefer: 'odata.include-annotations="*"' };

/** What became of one target of a bulk message without a transaction. */
export interface RowStatus {
  /** The target's position. */
  readonly index: number;
  /** An HTTP status. */
  readonly status: number;
}

/**
 * The states of targets in the error of a bulk message on an elastic table. The SDK names them
 * `Plugin.BulkApiErrorDetails`; which annotation carries them over the Web API is not documented, so any with that end
 * is taken. Undefined where there is none, and the rows have to be sent one by one.
 */
export function rowStatuses(error: Readonly<Record<string, unknown>>): readonly RowStatus[] | undefined {
  const name = Object.keys(error).find((each) => /^@.*BulkApiErrorDetails$/i.test(each));
  const value = name === undefined ? undefined : error[name];
  const list = typeof value === 'string' ? parsed(value) : value;
  if (!Array.isArray(list)) return undefined;
  return list.flatMap((each: unknown): RowStatus[] => {
    if (typeof each !== 'object' || each === null) return [];
    const { RequestIndex: index, StatusCode: status } = each as { RequestIndex?: unknown; StatusCode?: unknown };
    return typeof index === 'number' && typeof status === 'number' ? [{ index, status }] : [];
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The address of a row of an elastic table, whose partition is not the default one (Dataverse, "Create elastic tables"). */
export const inPartition = (path: string, partition: unknown): string =>
  typeof partition === 'string' ? `${path}?partitionId=${encode(partition)}` : path;

/** Messages that a table supports, by the filters that say so; UpsertMultiple is never listed. */
export const supportPath = (logicalName: string): string =>
  'sdkmessagefilters?$select=sdkmessagefilterid&$expand=sdkmessageid($select=name)' +
  `&$filter=primaryobjecttypecode%20eq%20%27${logicalName}%27%20and%20` +
  '(sdkmessageid/name%20eq%20%27CreateMultiple%27%20or%20sdkmessageid/name%20eq%20%27UpdateMultiple%27)';
