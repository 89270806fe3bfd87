import { badQuery, methodNotAllowed, notEmulated } from '../errors.ts';
import { isJsonObject } from '../json-object.ts';
import type { Definition } from '../metadata.ts';
import type { ExpandItem, QueryOptions, RowOptions } from '../odata/ast.ts';
import { jsonReply, type Reply } from '../reply.ts';
import type { Operation } from '../request.ts';
import type { Work } from '../work.ts';
import { optionNotSupported } from './errors.ts';
import { compareValues, holds } from './filter.ts';
import { type DefinitionType, definitionType, isKindOf, navigationTarget, type PropertyKind } from './types.ts';

/** Definitions of one type, and how the answer's context names them (what stands behind `$metadata#`). */
export interface DefinitionSource {
  readonly type: DefinitionType;
  readonly context: string;
}

/** A list of definitions; there is no paging (documented). */
export function definitionsReply(
  work: Work,
  { options }: Operation,
  source: DefinitionSource,
  definitions: readonly Definition[],
): Reply {
  refuseUnknown(options);
  const kept = filtered(work, source.type, definitions, options);
  const total = kept.length;
  const value = ordered(work, source, kept, options).map((one) => project(work, source, one, options));
  return jsonReply(200, {
    '@odata.context': `${work.root}$metadata#${source.context}${selection(options)}`,
    ...(options.count ? { '@odata.count': total } : {}),
    value,
  });
}

/** One definition. */
export function oneDefinitionReply(
  work: Work,
  { options }: Operation,
  source: DefinitionSource,
  definition: Definition,
): Reply {
  refuseUnknown(options);
  if (options.filter || options.top !== undefined || options.orderby || options.count) {
    throw optionNotSupported(options.filter ? '$filter' : options.orderby ? '$orderby' : '$top');
  }
  return jsonReply(200, {
    '@odata.context': `${work.root}$metadata#${source.context}${selection(options)}/$entity`,
    ...project(work, source, definition, options),
  });
}

/** Throws WireError when anything but `$select` and `$expand` is asked of a set that knows no filter. */
export function refuseQuery({ options }: Operation): void {
  // Recorded: GlobalOptionSetDefinitions answers 405 to a $filter.
  if (options.filter) throw methodNotAllowed('$filter on GlobalOptionSetDefinitions');
}

const DECLINED = ['apply', 'fetchXml', 'savedQuery', 'userQuery', 'skiptoken', 'deltatoken'] as const;

function refuseUnknown(options: QueryOptions): void {
  for (const name of DECLINED) {
    if (options[name] !== undefined)
      throw optionNotSupported(name.endsWith('Query') || name === 'fetchXml' ? name : `$${name}`);
  }
  const unknown = options.unknown.find(({ name }) => name.startsWith('$'));
  if (unknown) throw optionNotSupported(unknown.name);
}

/** `$top`, `$orderby` and `$count` are refused unless the assumption says that they are answered. */
function ordered(
  work: Work,
  { type }: DefinitionSource,
  definitions: readonly Definition[],
  { orderby, top, count }: RowOptions & { count?: boolean },
): readonly Definition[] {
  if (!orderby && top === undefined && !count) return definitions;
  if (work.env.assumptions.definitionOptions === 'refused') {
    throw optionNotSupported(orderby ? '$orderby' : top === undefined ? '$count' : '$top');
  }
  const sorted = [...definitions];
  for (const { path, direction } of [...(orderby ?? [])].reverse()) {
    const [name = '', ...rest] = path.segments;
    if (rest.length > 0 || !isPlain(type.properties.get(name)))
      throw badQuery(`Cannot sort by '${path.segments.join('/')}'.`);
    sorted.sort((a, b) => (direction === 'desc' ? -1 : 1) * compareValues(a[name] ?? null, b[name] ?? null));
  }
  return sorted.slice(0, top);
}

function filtered(
  work: Work,
  type: DefinitionType,
  definitions: readonly Definition[],
  { filter }: RowOptions,
): readonly Definition[] {
  if (!filter) return definitions;
  // A filter that does not fit is refused even where there is nothing to filter.
  holds(work, type, {}, filter);
  return definitions.filter((one) => holds(work, type, one, filter));
}

const isPlain = (kind: PropertyKind | undefined): boolean =>
  kind !== undefined && (/^(?:text|integer|long|number|boolean|guid|time)$/.test(kind) || kind.startsWith('enum '));

const selection = ({ select, expand = [] }: RowOptions): string => {
  const inner = (item: ExpandItem): string => (item.select ? `(${item.select.join(',')})` : '');
  const names = [...(select ?? []), ...expand.map((item) => `${item.navigation}${inner(item)}`)];
  return names.length === 0 ? '' : `(${names.join(',')})`;
};

function project(
  work: Work,
  { type, context }: DefinitionSource,
  definition: Definition,
  { select, expand = [] }: RowOptions,
): Definition {
  const concrete = definitionType(definition['@odata.type']);
  const actual = concrete && isKindOf(concrete, type) ? concrete : type;
  const result: Record<string, unknown> = {};
  // As with minimal metadata: only where it differs from what the context says.
  if (actual !== type) result['@odata.type'] = `#Microsoft.Dynamics.CRM.${actual.name}`;
  const names = select ?? [...actual.properties].filter(([, kind]) => !navigationTarget(kind)).map(([name]) => name);
  for (const name of names) {
    const kind = propertyOf(type, select ? name : '', actual, name);
    result[name] = shown(kind, definition[name]);
  }
  result['MetadataId'] = definition['MetadataId'];
  for (const item of expand) expandInto(work, result, { type, context }, definition, item);
  return result;
}

function propertyOf(type: DefinitionType, selected: string, actual: DefinitionType, name: string): PropertyKind {
  const kind = (selected === '' ? actual : type).properties.get(name);
  if (kind === undefined) throw unknownDefinitionProperty(type, name);
  if (navigationTarget(kind)) throw badQuery(`The navigation property '${name}' has to be expanded.`);
  return kind;
}

/** What the service says of a name that a type of definitions does not have. */
export const unknownDefinitionProperty = (type: DefinitionType, name: string) =>
  badQuery(`Could not find a property named '${name}' on type 'Microsoft.Dynamics.CRM.${type.name}'.`);

function expandInto(
  work: Work,
  result: Record<string, unknown>,
  { type, context }: DefinitionSource,
  definition: Definition,
  item: ExpandItem,
): void {
  const kind = type.properties.get(item.navigation);
  const navigation = kind && navigationTarget(kind);
  if (!navigation) throw unknownDefinitionProperty(type, item.navigation);
  if (item.ref) throw notEmulated(`$expand=${item.navigation}/$ref of definitions`);
  const [unknown] = item.unknown;
  if (unknown !== undefined) throw optionNotSupported(unknown);
  const value = definition[item.navigation];
  const inner = `${context}(${definition['MetadataId']})/${item.navigation}`;
  const source: DefinitionSource = { type: navigation.target, context: inner };
  result[`${item.navigation}@odata.context`] =
    `${work.root}$metadata#${inner}${selection(item)}${navigation.many ? '' : '/$entity'}`;
  if (navigation.many) {
    const all = Array.isArray(value) ? value.filter(isJsonObject) : [];
    const kept = filtered(work, source.type, all, item);
    result[item.navigation] = ordered(work, source, kept, item).map((one) => project(work, source, one, item));
  } else {
    if (item.filter) throw optionNotSupported('$filter');
    result[item.navigation] = isJsonObject(value) ? project(work, source, value, item) : null;
  }
}

const NO_LABEL = { LocalizedLabels: [], UserLocalizedLabel: null };

/** A property's value with what the exports leave out: empty labels, the members of options, nulls. */
function shown(kind: PropertyKind, value: unknown): unknown {
  if (kind === 'label') return shownLabel(value);
  if (kind === 'options') return Array.isArray(value) ? value.filter(isJsonObject).map(shownOption) : [];
  if (kind === 'option') return isJsonObject(value) ? shownOption(value) : null;
  return value ?? null;
}

function shownLabel(label: unknown): unknown {
  if (!isJsonObject(label)) return NO_LABEL;
  const own = isJsonObject(label['UserLocalizedLabel']) ? label['UserLocalizedLabel'] : undefined;
  const all = Array.isArray(label['LocalizedLabels'])
    ? label['LocalizedLabels'].filter(isJsonObject)
    : own
      ? [own]
      : [];
  return { LocalizedLabels: all.map(localized), UserLocalizedLabel: own ? localized(own) : null };
}

const localized = (label: Definition): Definition => ({
  Label: label['Label'],
  LanguageCode: label['LanguageCode'],
  IsManaged: label['IsManaged'] ?? true,
  MetadataId: label['MetadataId'] ?? null,
  HasChanged: null,
});

const shownOption = (option: Definition): Definition => ({
  ...option,
  Value: option['Value'],
  Label: shownLabel(option['Label']),
  Description: shownLabel(option['Description']),
  Color: option['Color'] ?? null,
  IsManaged: option['IsManaged'] ?? true,
  ExternalValue: option['ExternalValue'] ?? null,
  ParentValues: option['ParentValues'] ?? [],
  Tag: null,
  IsHidden: false,
  MetadataId: null,
  HasChanged: null,
});
