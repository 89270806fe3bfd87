import * as z from 'zod';
import { readMetadataFile } from './metadata.ts';
import type { WriteRow } from './platform-rows.ts';
import { derivedGuid } from './store.ts';

// Messages of the bulk kind are newer than the documentation that the list of messages is from. The service never lists
// UpsertMultiple; a table has it when it has these two.
const BULK_MESSAGES = ['CreateMultiple', 'UpdateMultiple'];
/** Tables that are known to lack them. */
const WITHOUT_BULK_MESSAGES: ReadonlySet<string> = new Set(['queue', 'team']);
const ROW_MESSAGES = ['Create', 'Update', 'Delete', 'Retrieve', 'RetrieveMultiple', 'Assign', 'Upsert'];

const messagesFile = z.record(z.string(), z.record(z.string(), z.unknown()));
let documentedMessages: z.infer<typeof messagesFile> | undefined;

/** The names of the messages that a table has. */
export function messagesOf(logicalName: string): ReadonlySet<string> {
  documentedMessages ??= messagesFile.parse(readMetadataFile('sdkmessages.json'));
  const names = new Set(Object.keys(documentedMessages[logicalName] ?? {}));
  if (documentedMessages[logicalName] === undefined) for (const name of ROW_MESSAGES) names.add(name);
  const hasBulk = names.has('Create') && names.has('Update') && !WITHOUT_BULK_MESSAGES.has(logicalName);
  if (hasBulk) for (const name of BULK_MESSAGES) names.add(name);
  return names;
}

/** Writes the messages of a table, which steps are registered on. */
export function writeMessages(logicalName: string, write: WriteRow): void {
  for (const name of messagesOf(logicalName)) {
    write('sdkmessage', { sdkmessageid: messageId(name), name, isactive: 1, isprivate: 0 });
    write('sdkmessagefilter', {
      sdkmessagefilterid: derivedGuid(`sdkmessagefilter/${logicalName}/${name}`),
      sdkmessageid: messageId(name),
      primaryobjecttypecode: logicalName,
      secondaryobjecttypecode: 'none',
      iscustomprocessingstepallowed: 1,
    });
  }
}

const messageId = (name: string): string => derivedGuid(`sdkmessage/${name}`);
