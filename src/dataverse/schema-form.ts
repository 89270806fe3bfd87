/**
 * Definitions in users' terms: member names in camelCase, labels as text in the application user's language, managed
 * properties (`{ Value, CanBeChanged, … }`) as their value.
 */
export type Definition = Readonly<Record<string, unknown>>;

/** Properties whose member has another name than theirs in camelCase. */
const RENAMED: Readonly<Record<string, string>> = {
  IsCustomEntity: 'isCustom',
  IsCustomAttribute: 'isCustom',
  IsChildEntity: 'isChild',
  PrimaryIdAttribute: 'primaryId',
  PrimaryNameAttribute: 'primaryName',
  AttributeType: 'type',
  KeyAttributes: 'columns',
  EntityKeyIndexStatus: 'status',
};

/** The type's other name, which `type` is made from. */
const TYPE_NAME = 'AttributeTypeName';

/** The member of our answers that a property of the service's becomes. */
export const memberOf = (property: string): string =>
  RENAMED[property] ?? property.charAt(0).toLowerCase() + property.slice(1);

/** The property that a member of a column is read from. Takes the service's own name too. */
export function propertyOf(member: string): string {
  if (member === 'isCustom') return 'IsCustomAttribute';
  return member === 'type' ? 'AttributeType' : member.charAt(0).toUpperCase() + member.slice(1);
}

/**
 * A definition as users see it. With `languages` each label is told in all its languages besides, as
 * `<member>Labels: { "1033": "Account" }`.
 */
export function readDefinition(wire: Definition, { languages = false } = {}): Definition {
  const definition: Record<string, unknown> = {};
  for (const [property, value] of Object.entries(wire)) {
    if (property.includes('@') || property === TYPE_NAME) continue;
    const member = memberOf(property);
    definition[member] = property === 'AttributeType' ? typeOf(wire) : readValue(value, languages);
    if (languages && isLabel(value)) definition[`${member}Labels`] = labelsOf(value);
  }
  return definition;
}

/** A column's type. `Virtual` stands for several types, which only the type's name tells apart. */
export function typeOf(wire: Definition): string {
  const type = String(wire['AttributeType']);
  const name = wire[TYPE_NAME];
  const exact = isObject(name) ? String(name['Value']).replace(/Type$/, '') : type;
  return type === 'Virtual' ? exact : type;
}

const isObject = (value: unknown): value is Definition =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function readValue(value: unknown, languages: boolean): unknown {
  if (Array.isArray(value)) return value.map((each) => readValue(each, languages));
  if (!isObject(value)) return value;
  if (isLabel(value)) return textOf(value);
  return isManaged(value) ? value['Value'] : readDefinition(value, { languages });
}

const MANAGED = new Set(['Value', 'CanBeChanged', 'ManagedPropertyLogicalName']);

const isManaged = (value: Definition): boolean =>
  'Value' in value && Object.keys(value).every((name) => MANAGED.has(name) || name.startsWith('@'));

const isLabel = (value: unknown): value is Definition =>
  isObject(value) && (Array.isArray(value['LocalizedLabels']) || isObject(value['UserLocalizedLabel']));

/** The text of a label in the user's language, or in any; null where there is none. */
export function textOf(label: unknown): string | null {
  if (!isLabel(label)) return null;
  const [first] = localized(label);
  const own = label['UserLocalizedLabel'];
  const text = isObject(own) ? own['Label'] : first?.['Label'];
  return typeof text === 'string' ? text : null;
}

const localized = (label: Definition): Definition[] =>
  Array.isArray(label['LocalizedLabels']) ? label['LocalizedLabels'].filter(isObject) : [];

const labelsOf = (label: Definition): Record<string, unknown> =>
  Object.fromEntries(localized(label).map((each) => [String(each['LanguageCode']), each['Label']]));
