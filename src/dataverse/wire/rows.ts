/** What a lookup is written as: the property that binds it, and the address of the row it is bound to; null unbinds it. */
export function binding(navigationProperty: string, path: string | null): { property: string; value: string | null } {
  return { property: `${navigationProperty}@odata.bind`, value: path && `/${path}` };
}

/** The condition that a column has one of the values that the alias `@v` lists; the column's name is in the alias `@c`. */
export const IN_CONDITION = 'Microsoft.Dynamics.CRM.In(PropertyName=@c,PropertyValues=@v)';

/** The segment behind a table's columns that narrows them to one type and opens that type's own properties. */
export const columnType = (type: string): string => `Microsoft.Dynamics.CRM.${type}AttributeMetadata`;
