import { notEmulated, tooManyConditions, tooManyLinks } from '../errors.ts';
import {
  AGGREGATES,
  type Attribute,
  type Condition,
  DATE_PARTS,
  EXISTS_TYPES,
  type Fetch,
  FILTER_TYPES,
  type Filter,
  JOIN_TYPES,
  type Link,
  type LinkType,
  type Order,
  type Source,
} from './ast.ts';
import {
  invalidAggregate,
  invalidAlias,
  invalidLinkType,
  invalidNode,
  invalidValue,
  missingAttribute,
  missingElement,
  notPositive,
  topBesidePaging,
} from './errors.ts';
import { parseXml, tagOf, type XmlElement } from './xml.ts';

/** Documentation, "Join tables using FetchXml" and "Filter rows using FetchXml". */
const LINKS_MAX = 15;
const CONDITIONS_MAX = 500;
const TOP_MAX = 5000;

/** What has been met so far of what the service limits. */
interface Counter {
  links: number;
  conditions: number;
}

const ENTITY_NODES = 'filter, order, link-entity, attribute, all-attributes, no-attrs';

/** Parses FetchXML. Throws WireError 400, and 501 for what is not emulated. Unknown attributes are passed over. */
export function parseFetch(text: string): Fetch {
  const root = parseXml(text);
  if (root.name !== 'fetch') throw missingElement('fetch');
  checkChildren(root, ['entity'], 'entity');
  const [entity, second] = root.children;
  if (!entity) throw missingElement('entity');
  if (second) throw invalidNode('entity', second.name, tagOf(second));
  if (root.attributes.get('datasource') === 'retained') throw notEmulated('datasource="retained"');

  const top = positive(root, 'top');
  const count = positive(root, 'count');
  const page = positive(root, 'page');
  const returnTotalRecordCount = flag(root, 'returntotalrecordcount');
  if (top !== undefined) {
    if (count !== undefined || page !== undefined || returnTotalRecordCount) throw topBesidePaging();
    if (top > TOP_MAX) throw invalidValue('top', String(top));
  }
  return {
    entity: sourceOf(entity, { links: 0, conditions: 0 }),
    aggregate: flag(root, 'aggregate'),
    distinct: flag(root, 'distinct'),
    top,
    count,
    page,
    pagingCookie: root.attributes.get('paging-cookie') || undefined,
    returnTotalRecordCount,
    aggregateLimit: positive(root, 'aggregatelimit'),
    rawOrder: flag(root, 'useraworderby'),
  };
}

function sourceOf(element: XmlElement, counter: Counter): Source {
  checkChildren(element, ['filter', 'order', 'link-entity', 'attribute', 'all-attributes', 'no-attrs'], ENTITY_NODES);
  // In the order of the text, in which links are numbered.
  const filters: Filter[] = [];
  const links: Link[] = [];
  for (const child of element.children) {
    if (child.name === 'filter') filters.push(filterOf(child, counter));
    else if (child.name === 'link-entity') links.push(linkOf(child, counter, [...JOIN_TYPES, ...EXISTS_TYPES]));
  }
  const all = (name: string) => element.children.filter((child) => child.name === name);
  return {
    name: required(element, 'name'),
    attributes: all('attribute').map(attributeOf),
    allAttributes: all('all-attributes').length > 0,
    noAttributes: all('no-attrs').length > 0,
    filters,
    links,
    orders: all('order').map(orderOf),
  };
}

function linkOf(element: XmlElement, counter: Counter, types: readonly LinkType[]): Link {
  counter.links += 1;
  if (counter.links > LINKS_MAX) throw tooManyLinks();
  countCondition(counter);
  const ordinal = counter.links;
  const written = element.attributes.get('link-type') ?? 'inner';
  const type = types.find((one) => one === written);
  if (!type) throw invalidLinkType(written);
  return {
    ...sourceOf(element, counter),
    kind: 'link',
    type,
    from: element.attributes.get('from'),
    to: element.attributes.get('to'),
    alias: aliasOf(element),
    ordinal,
  };
}

function filterOf(element: XmlElement, counter: Counter): Filter {
  checkChildren(element, ['filter', 'condition', 'link-entity'], 'filter, condition, link-entity');
  const type = element.attributes.get('type') ?? 'and';
  if (type !== 'and' && type !== 'or') throw invalidValue('the type of a filter', type);
  const items = element.children.map((child) => {
    if (child.name === 'filter') return filterOf(child, counter);
    return child.name === 'condition' ? conditionOf(child, counter) : linkOf(child, counter, FILTER_TYPES);
  });
  return { kind: 'filter', type, items };
}

function conditionOf(element: XmlElement, counter: Counter): Condition {
  countCondition(counter);
  checkChildren(element, ['value'], 'value');
  for (const child of element.children) checkChildren(child, [], 'none', true);
  const value = element.attributes.get('value');
  const values = element.children.map((child) => child.text);
  return {
    kind: 'condition',
    attribute: required(element, 'attribute'),
    operator: required(element, 'operator'),
    entityName: element.attributes.get('entityname') || undefined,
    values: values.length === 0 && value !== undefined ? [value] : values,
    otherColumn: element.attributes.get('valueof'),
  };
}

function countCondition(counter: Counter): void {
  counter.conditions += 1;
  if (counter.conditions > CONDITIONS_MAX) throw tooManyConditions();
}

function attributeOf(element: XmlElement): Attribute {
  checkChildren(element, [], 'none');
  const written = element.attributes.get('aggregate');
  const aggregate = AGGREGATES.find((one) => one === written);
  if (written !== undefined && !aggregate) throw invalidAggregate(`Invalid aggregate: ${written}.`);
  const grouping = element.attributes.get('dategrouping');
  if (grouping === 'fiscal-period' || grouping === 'fiscal-year') throw notEmulated(`dategrouping="${grouping}"`);
  const dateGrouping = DATE_PARTS.find((one) => one === grouping);
  if (grouping !== undefined && !dateGrouping) throw invalidValue('dategrouping', grouping);
  if (element.attributes.has('rowaggregate')) throw notEmulated('rowaggregate');
  return {
    name: required(element, 'name'),
    alias: aliasOf(element),
    aggregate,
    groupBy: flag(element, 'groupby'),
    dateGrouping,
    distinct: flag(element, 'distinct'),
  };
}

function orderOf(element: XmlElement): Order {
  checkChildren(element, [], 'none');
  const attribute = element.attributes.get('attribute');
  const alias = element.attributes.get('alias');
  if (attribute === undefined && alias === undefined) throw missingAttribute('order', 'attribute');
  return {
    attribute,
    alias,
    descending: flag(element, 'descending'),
    entityName: element.attributes.get('entityname') || undefined,
  };
}

function checkChildren(element: XmlElement, names: readonly string[], valid: string, mayHaveText = false): void {
  const wrong = element.children.find(({ name }) => !names.includes(name));
  if (wrong) throw invalidNode(valid, wrong.name, tagOf(wrong));
  const text = element.text.trim();
  if (text !== '' && !mayHaveText) throw invalidNode(valid, '#text', text.slice(0, 100));
}

function required(element: XmlElement, name: string): string {
  const value = element.attributes.get(name);
  if (value === undefined || value === '') throw missingAttribute(element.name, name);
  return value;
}

function aliasOf(element: XmlElement): string | undefined {
  const alias = element.attributes.get('alias');
  if (alias === undefined || alias === '') return undefined;
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(alias)) throw invalidAlias(alias);
  return alias;
}

const FLAGS: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['1', true],
  ['false', false],
  ['0', false],
]);

function flag(element: XmlElement, name: string): boolean {
  const written = element.attributes.get(name);
  if (written === undefined) return false;
  const value = FLAGS.get(written.toLowerCase());
  if (value === undefined) throw invalidValue(name, written);
  return value;
}

function positive(element: XmlElement, name: string): number | undefined {
  const written = element.attributes.get(name);
  if (written === undefined) return undefined;
  if (!/^\d{1,9}$/.test(written) || Number(written) === 0) throw notPositive(name, written);
  return Number(written);
}
