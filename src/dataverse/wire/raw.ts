/** What requests in the Web API's own form say, as far as it leads to other rows. */

/**
 * What a member of a row is: a column or rows behind a navigation property, rows to bind to, the address of a row, the
 * name of the row's type, something that leads nowhere, or something that is not known.
 */
export type MemberKind = 'value' | 'binding' | 'reference' | 'type' | 'harmless' | 'unknown';

export function memberKind(name: string): MemberKind {
  if (!name.includes('@')) return 'value';
  if (/^[A-Za-z_]\w*@odata\.bind$/.test(name)) return 'binding';
  if (name === '@odata.id') return 'reference';
  if (name === '@odata.type') return 'type';
  return name === '@odata.etag' || name === '@odata.context' ? 'harmless' : 'unknown';
}

/** Whether the name of a type is that of a table's rows. */
export const isTypeOf = (logicalName: string, type: unknown): boolean =>
  type === `Microsoft.Dynamics.CRM.${logicalName}` || type === `#Microsoft.Dynamics.CRM.${logicalName}`;

/** Whether a segment of a path names a bulk message, whose rows are in `Targets`. */
export const isBulkMessage = (segment: string): boolean =>
  /^Microsoft\.Dynamics\.CRM\.(Create|Update|Upsert|Delete)Multiple$/.test(segment);

/** Functions without rows that every user may call. */
export const isHarmlessFunction = (segment: string): boolean => /^(WhoAmI|RetrieveVersion)(\(\))?$/.test(segment);

const ROW = /^\/?(?:api\/data\/v9\.\d\/)?([A-Za-z]\w*)\([^()/?#]*\)$/;

/** The entity set of the row that an address names, absolute or relative; undefined where it is not understood. */
export function setOfReference(address: unknown, root: URL): string | undefined {
  if (typeof address !== 'string') return undefined;
  const own = address.startsWith(`${root.origin}/`) ? address.slice(root.origin.length) : address;
  return ROW.exec(own)?.[1];
}

/** The table that a definition's address names: its logical name, or its MetadataId. */
export const definedTable = (segment: string): string | undefined =>
  /^EntityDefinitions\((?:LogicalName='([a-z]\w*)'|(?:MetadataId=)?([0-9a-f-]{36}))\)$/i
    .exec(segment)
    ?.slice(1)
    .find((name) => name !== undefined);
