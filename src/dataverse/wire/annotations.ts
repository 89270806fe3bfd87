/**
 * Names that the Web API adds to rows, and the properties that lookups are read through (Web API documentation,
 * "Request annotations" and "Lookup properties").
 */

const FORMATTED = 'OData.Community.Display.V1.FormattedValue';
const LOOKUP_TABLE = 'Microsoft.Dynamics.CRM.lookuplogicalname';
const METADATA_VERSION = 'Microsoft.Dynamics.CRM.globalmetadataversion';
const COUNT_LIMITED = 'Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded';

/** The annotations that reading rows needs, as the preference's value; formatted values cost the most and only on request. */
export const rowAnnotations = (formatted: boolean): string =>
  `odata.include-annotations="${[LOOKUP_TABLE, METADATA_VERSION, COUNT_LIMITED, ...(formatted ? [FORMATTED] : [])].join(',')}"`;

type WireObject = Readonly<Record<string, unknown>>;

const textIn = (object: WireObject, name: string): string | undefined => {
  const value = object[name];
  return typeof value === 'string' ? value : undefined;
};

/** Whether a property tells about a row or about another property. */
export const isAnnotation = (property: string): boolean => property.includes('@');

/** A value as people read it: a choice's label, the name of a lookup's row, an amount with its currency. */
export const formattedValue = (row: WireObject, property: string): string | undefined =>
  textIn(row, `${property}@${FORMATTED}`);

/** The logical name of the table that a lookup's value is a row of. */
export const lookupTable = (row: WireObject, property: string): string | undefined =>
  textIn(row, `${property}@${LOOKUP_TABLE}`);

/** A row's version, as `If-Match` takes it. */
export const etagOf = (row: WireObject): string | undefined => textIn(row, '@odata.etag');

/** Where a collection goes on, as an absolute address. `property` names one inside a row; left out, the answer's own. */
export const nextLink = (object: WireObject, property = ''): string | undefined =>
  textIn(object, `${property}@odata.nextLink`);

/** Whether a link leads to rows that were left out; others repeat the same rows (expanded collections have such ones). */
export const leadsFurther = (link: string | undefined): boolean => link !== undefined && /[?&]\$skiptoken=/i.test(link);

/** How many rows fit a query, counted up to 5000. */
export const totalCount = (answer: WireObject): number | undefined => {
  const count = answer['@odata.count'];
  return typeof count === 'number' ? count : undefined;
};

/** Changes with every change of any definition in the environment. */
export const metadataVersion = (answer: WireObject): string | undefined => textIn(answer, `@${METADATA_VERSION}`);

/** The property that a lookup column is read through. */
export const lookupProperty = (column: string): string => `_${column}_value`;

/** The lookup column that a property reads, the alias of a FetchXML link before it kept. */
export const lookupColumn = (property: string): string | undefined => {
  const [, alias = '', column] = /^(.*\.)?_(.+)_value$/.exec(property) ?? [];
  return column === undefined ? undefined : alias + column;
};
