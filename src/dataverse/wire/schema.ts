import { isExactNumber } from '../../shared/exact-json.ts';
import { encode, stringLiteral } from './literals.ts';
import { columnType } from './rows.ts';

/**
 * Requests for whole definitions and for changes of them (Web API documentation, "Query schema definitions", "Create
 * and update column definitions using the Web API", "Work with alternate keys").
 */

type Definition = Readonly<Record<string, unknown>>;

/** Query options of a request for definitions; each is encoded, so that none can become another. */
export interface DefinitionOptions {
  readonly select?: readonly string[] | undefined;
  readonly filter?: string | undefined;
  readonly expand?: string | undefined;
}

function queryOf({ select, filter, expand }: DefinitionOptions): string {
  const options = [
    select && `$select=${select.map(encode).join(',')}`,
    filter && `$filter=${encode(filter)}`,
    expand && `$expand=${encode(expand)}`,
  ].filter((option) => option);
  return options.length > 0 ? `?${options.join('&')}` : '';
}

/** All tables. The service gives them in one answer: it does not page definitions. */
export const tablesPath = (properties: readonly string[]): string =>
  `EntityDefinitions${queryOf({ select: properties })}`;

export const tablePath = (logicalName: string): string =>
  `EntityDefinitions(LogicalName=${encode(stringLiteral(logicalName))})`;

/** A table's columns; `type` opens the properties that only columns of that type have. */
export const columnsPath = (table: string, type?: string, options: DefinitionOptions = {}): string =>
  `${tablePath(table)}/Attributes${cast(type)}${queryOf(options)}`;

export interface ColumnAddress {
  readonly table: string;
  /** Logical name, or MetadataId. */
  readonly column: string;
  readonly isId: boolean;
  readonly type?: string | undefined;
}

export const columnPath = ({ table, column, isId, type }: ColumnAddress, options: DefinitionOptions = {}): string => {
  const name = isId ? column : `LogicalName=${encode(stringLiteral(column))}`;
  return `${tablePath(table)}/Attributes(${name})${cast(type)}${queryOf(options)}`;
};

const cast = (type: string | undefined): string => (type === undefined ? '' : `/${columnType(type)}`);

const KEY_PROPERTIES = ['LogicalName', 'SchemaName', 'DisplayName', 'KeyAttributes', 'EntityKeyIndexStatus'];

/** A table's alternate keys, or one of them by its MetadataId. */
export const keysPath = (table: string, id?: string): string =>
  `${newKeyPath(table)}${id === undefined ? '' : `(${id})`}${queryOf({ select: KEY_PROPERTIES })}`;

/** Where a table's alternate keys are made. */
export const newKeyPath = (table: string): string => `${tablePath(table)}/Keys`;

/** Reads past the service's caches of definitions, which may be half a minute old. */
export const UNCACHED = { consistency: 'Strong' };
/** Keeps labels of languages that a changed definition does not name. */
export const MERGE_LABELS = { 'mscrm.mergelabels': 'true' };
/** Puts what is made into a solution. */
export const inSolution = (uniqueName: string | undefined): Record<string, string> =>
  uniqueName === undefined ? {} : { 'mscrm.solutionuniquename': uniqueName };

/** The id in the address that `OData-EntityId` gives for what was made. */
export const idOfAddress = (address: string | undefined): string | undefined =>
  /\(([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\)$/i.exec(address ?? '')?.[1]?.toLowerCase();

const CRM = 'Microsoft.Dynamics.CRM.';

/** A label in one language, in the form that definitions take. */
export const labelIn = (text: string, languageCode: number): Definition =>
  withTypes({ LocalizedLabels: [{ Label: text, LanguageCode: languageCode }] });

/**
 * A definition in which the types are named that the service wants to see, where its author left them out: of the
 * column, by its AttributeType, and of labels.
 */
export function withTypes(definition: Definition): Definition {
  const type = definition['AttributeType'];
  const named =
    typeof type === 'string' && /^[A-Za-z]{1,40}$/.test(type)
      ? `${CRM}${type === 'Uniqueidentifier' ? 'UniqueIdentifier' : type}AttributeMetadata`
      : undefined;
  return { ...(named !== undefined && { '@odata.type': named }), ...withLabelTypes(definition) };
}

function withLabelTypes(definition: Definition): Definition {
  const own = Object.entries(definition).map(([name, value]) => [name, labelTyped(value, name)]);
  const isLabel = Array.isArray(definition['LocalizedLabels']);
  return { ...(isLabel && { '@odata.type': `${CRM}Label` }), ...Object.fromEntries(own) };
}

function labelTyped(value: unknown, name: string): unknown {
  if (Array.isArray(value)) return value.map((each) => labelTyped(each, name));
  if (!isObject(value) || isExactNumber(value)) return value;
  const typed = withLabelTypes(value);
  return name === 'LocalizedLabels' ? { '@odata.type': `${CRM}LocalizedLabel`, ...typed } : typed;
}

/** The type that a column's definition names, without what stands around it: `Money`. */
export const typeOfColumn = (definition: Definition): string | undefined =>
  /^#?Microsoft\.Dynamics\.CRM\.(\w+)AttributeMetadata$/.exec(String(definition['@odata.type'] ?? ''))?.[1];

/** A definition as it is sent back: without what the service says about its answer. */
export const withoutContext = (definition: Definition): Definition =>
  Object.fromEntries(Object.entries(definition).filter(([name]) => !name.startsWith('@') || name === '@odata.type'));

const isObject = (value: unknown): value is Definition =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * A definition with changes put into it: objects member by member, labels language by language, anything else as a
 * whole. `UserLocalizedLabel` repeats one of the labels and is left out where labels change.
 */
export function mergeDefinition(current: Definition, changes: Definition): Definition {
  const merged = new Map(Object.entries(current));
  for (const [name, change] of Object.entries(changes)) {
    const before = merged.get(name);
    if (name === 'LocalizedLabels' && Array.isArray(change)) {
      merged.set(name, mergeLabels(before, change));
      if (!('UserLocalizedLabel' in changes)) merged.delete('UserLocalizedLabel');
    } else
      merged.set(
        name,
        isObject(before) && isObject(change) && !isExactNumber(change) ? mergeDefinition(before, change) : change,
      );
  }
  return Object.fromEntries(merged);
}

function mergeLabels(before: unknown, changes: readonly unknown[]): unknown[] {
  const language = (label: unknown): unknown => (isObject(label) ? label['LanguageCode'] : undefined);
  const changed = new Set(changes.map(language));
  const kept = Array.isArray(before) ? before.filter((label) => !changed.has(language(label))) : [];
  return [...kept, ...changes];
}
