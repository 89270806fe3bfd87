/** What a lookup is written as: the property that binds it, and the row it is bound to; null unbinds it. */
export function binding(
  navigationProperty: string,
  target: { readonly entitySetName: string; readonly id: string } | null,
): { property: string; value: string | null } {
  return { property: `${navigationProperty}@odata.bind`, value: target && `/${target.entitySetName}(${target.id})` };
}

/** A row as one of a bulk message's targets, which each name their table. */
export const bulkTarget = (
  logicalName: string,
  values: Readonly<Record<string, unknown>>,
): Record<string, unknown> => ({
  '@odata.type': `Microsoft.Dynamics.CRM.${logicalName}`,
  ...values,
});

/** The address of a bulk message below the Web API's root. */
export const bulkPath = (entitySetName: string, message: string): string =>
  `${entitySetName}/Microsoft.Dynamics.CRM.${message}`;

/** The condition that a column has one of the values that the alias `@v` lists; the column's name is in the alias `@c`. */
export const IN_CONDITION = 'Microsoft.Dynamics.CRM.In(PropertyName=@c,PropertyValues=@v)';

/** The segment behind a table's columns that narrows them to one type and opens that type's own properties. */
export const columnType = (type: string): string => `Microsoft.Dynamics.CRM.${type}AttributeMetadata`;
