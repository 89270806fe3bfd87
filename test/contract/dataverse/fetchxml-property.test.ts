import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Call } from './environment.ts';
import {
  type Combination,
  type Condition,
  compare,
  ENTITY,
  evaluate,
  type Filter,
  folded,
  grouped,
  type Link,
  type Order,
  type Row,
  type Source,
  type Tables,
  type Value,
} from './fetchxml-evaluator.ts';
import { queryEnvironment } from './query-environment.ts';

const text = fc.constantFrom('a', 'A ', 'ab', 'b', 'B_c', 'é', "o'x", '<&">', 'x\ny');
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { freq: 3, nil: null });
const index = maybe(fc.nat(5));
const accounts = fc.array(
  fc.record({
    name: maybe(text),
    tickersymbol: maybe(text),
    numberofemployees: maybe(fc.nat(3)),
    donotemail: fc.boolean(),
    contact: index,
    parent: index,
  }),
  { minLength: 4, maxLength: 9 },
);
const contacts = fc.array(fc.record({ firstname: maybe(text), numberofchildren: maybe(fc.nat(3)), account: index }), {
  minLength: 3,
  maxLength: 9,
});

/** Random rows in the emulator, and the same as the evaluator has them. */
async function fill(call: Call): Promise<Tables> {
  const [people = []] = fc.sample(contacts, 1);
  const [companies = []] = fc.sample(accounts, 1);
  const id = (kind: number, at: number) => `00000000-0000-4000-8000-${String(kind * 100 + at).padStart(12, '0')}`;
  const at = (kind: number, rows: readonly unknown[], place: number | null) =>
    place === null || place >= rows.length ? null : id(kind, place);
  const contact = people.map(({ account, ...row }, place) => ({
    ...row,
    contactid: id(1, place),
    parentcustomerid: at(2, companies, account),
  }));
  const account = companies.map(({ contact: primary, parent, ...row }, place) => ({
    ...row,
    accountid: id(2, place),
    primarycontactid: at(1, people, primary),
    parentaccountid: at(2, companies, parent),
  }));
  const send = async (method: string, path: string, body: unknown) => {
    const answer = await call(method, path, body);
    if (answer.status !== 204) throw new Error(answer.text);
  };
  for (const { parentcustomerid: _, ...row } of contact) await send('POST', 'contacts', row);
  for (const { primarycontactid, parentaccountid: _, ...row } of account) {
    const bind = primarycontactid === null ? {} : { 'primarycontactid@odata.bind': `/contacts(${primarycontactid})` };
    await send('POST', 'accounts', { ...row, ...bind });
  }
  for (const { contactid, parentcustomerid } of contact) {
    if (parentcustomerid === null) continue;
    await send('PATCH', `contacts(${contactid})`, {
      'parentcustomerid_account@odata.bind': `/accounts(${parentcustomerid})`,
    });
  }
  for (const { accountid, parentaccountid } of account) {
    if (parentaccountid === null) continue;
    await send('PATCH', `accounts(${accountid})`, { 'parentaccountid@odata.bind': `/accounts(${parentaccountid})` });
  }
  return { account, contact };
}

const environment = queryEnvironment({}, fill);

const TEXTS = { account: ['name', 'tickersymbol'], contact: ['firstname'] } as const;
const NUMBERS = { account: ['numberofemployees'], contact: ['numberofchildren'] } as const;
type Name = keyof typeof TEXTS;
const KEYS = { account: 'accountid', contact: 'contactid' } as const;

const conditionOn = (name: Name): fc.Arbitrary<Condition> =>
  fc.oneof(
    fc.record({
      attribute: fc.constantFrom(...TEXTS[name]),
      operator: fc.constantFrom('eq', 'ne', 'gt', 'ge', 'lt', 'le', 'begins-with', 'not-begin-with', 'ends-with'),
      values: fc.tuple(text),
    }),
    fc.record({
      attribute: fc.constantFrom(...TEXTS[name]),
      operator: fc.constant('like'),
      values: fc.tuple(fc.constantFrom('%a%', "%'x%", '%b%', '%é%')),
    }),
    fc.record({
      attribute: fc.constantFrom(...NUMBERS[name]),
      operator: fc.constantFrom('eq', 'ne', 'gt', 'ge', 'lt', 'le'),
      values: fc.tuple(fc.nat(3)),
    }),
    fc.record({
      attribute: fc.constantFrom(...NUMBERS[name]),
      operator: fc.constantFrom('in', 'not-in', 'between', 'not-between'),
      values: fc.tuple(fc.nat(3), fc.nat(3)),
    }),
    fc.record({
      attribute: fc.constantFrom<string>(...TEXTS[name], ...NUMBERS[name]),
      operator: fc.constantFrom('null', 'not-null'),
      values: fc.constant([]),
    }),
    ...(name === 'account'
      ? [
          fc.record({
            attribute: fc.constant('name'),
            operator: fc.constantFrom('eq', 'ne', 'gt', 'ge', 'lt', 'le'),
            values: fc.constant([]),
            otherColumn: fc.constant('tickersymbol'),
          }),
        ]
      : []),
  );

/** Joins from one table to another; those `toOne` find at most one row. */
const JOINS: readonly { of: Name; name: Name; from: string; to: string; toOne: boolean }[] = [
  { of: 'account', name: 'contact', from: 'contactid', to: 'primarycontactid', toOne: true },
  { of: 'account', name: 'contact', from: 'parentcustomerid', to: 'accountid', toOne: false },
  { of: 'account', name: 'account', from: 'accountid', to: 'parentaccountid', toOne: true },
  { of: 'account', name: 'account', from: 'parentaccountid', to: 'accountid', toOne: false },
  { of: 'account', name: 'contact', from: 'firstname', to: 'name', toOne: false },
  { of: 'contact', name: 'account', from: 'accountid', to: 'parentcustomerid', toOne: true },
  { of: 'contact', name: 'account', from: 'primarycontactid', to: 'contactid', toOne: false },
];

const filterOn = (name: Name, depth: number, withLinks: boolean): fc.Arbitrary<Filter> =>
  fc.record({
    type: fc.constantFrom('and', 'or'),
    conditions: fc.array(conditionOn(name), { maxLength: 2 }),
    links: depth > 0 && withLinks ? fc.array(filterLink(name, depth - 1), { maxLength: 1 }) : fc.constant([]),
    filters: depth > 0 ? fc.array(filterOn(name, depth - 1, withLinks), { maxLength: 2 }) : fc.constant([]),
  });

const linkOf = (of: Name, types: readonly string[], depth: number, toOne: boolean): fc.Arbitrary<Link> =>
  fc
    .record({
      join: fc.constantFrom(...JOINS.filter((one) => one.of === of && (!toOne || one.toOne))),
      type: fc.constantFrom(...types),
    })
    .chain(({ join, type }) => {
      const isRow = type === 'inner' || type === 'outer';
      const nested = depth > 0 && type !== 'matchfirstrowusingcrossapply';
      return fc.record({
        name: fc.constant(join.name),
        from: fc.constant(join.from),
        to: fc.constant(join.to),
        type: fc.constant(type),
        alias: fc.constant(''),
        attributes: fc.constant(isRow ? [KEYS[join.name], TEXTS[join.name][0]] : []),
        filter: fc.option(filterOn(join.name, 1, nested), { nil: undefined }),
        links: nested
          ? fc.array(
              linkOf(join.name, isRow ? ['inner', 'outer', 'exists'] : ['inner', 'exists'], depth - 1, toOne).map(
                (link) => (isRow ? link : bare(link)),
              ),
              { maxLength: 1 },
            )
          : fc.constant([]),
      });
    });

/** Links of sub-queries have no attributes. */
const bare = (link: Link): Link => ({ ...link, attributes: [], links: link.links.map(bare) });

const filterLink = (of: Name, depth: number): fc.Arbitrary<Link> =>
  linkOf(of, ['any', 'not any', 'all', 'not all'], depth, false).map(bare);

const entityOf = (toOne: boolean): fc.Arbitrary<Source> =>
  fc
    .record({
      name: fc.constant('account'),
      attributes: fc.constant(['name', 'numberofemployees']),
      filter: fc.option(filterOn('account', 2, true), { nil: undefined }),
      links: fc.array(linkOf('account', ['inner', 'outer', 'exists', 'in', 'matchfirstrowusingcrossapply'], 1, toOne), {
        maxLength: 2,
      }),
      after: fc.option(fc.tuple(conditionOn('account'), conditionOn('contact')), { nil: undefined }),
    })
    .map(({ after, ...entity }) => afterJoin(numbered(entity), after));

/** Gives each link an alias of its own. */
function numbered(entity: Source): Source {
  let count = 0;
  const link = (one: Link): Link => {
    count += 1;
    const alias = `l${count}`;
    return { ...one, alias, links: one.links.map(link), filter: one.filter && filter(one.filter) };
  };
  const filter = (one: Filter): Filter => ({ ...one, links: one.links.map(link), filters: one.filters.map(filter) });
  return { ...entity, links: entity.links.map(link), filter: entity.filter && filter(entity.filter) };
}

/** Adds a condition on the first joined link, looked at after the join. */
function afterJoin(entity: Source, conditions: readonly [Condition, Condition] | undefined): Source {
  const link = entity.links.find(({ type }) => type === 'outer' || type === 'inner');
  if (!link || !conditions) return entity;
  const condition = { ...conditions[link.name === 'account' ? 0 : 1], entityName: link.alias };
  const own = entity.filter ? [entity.filter] : [];
  return { ...entity, filter: { type: 'and', conditions: [condition], links: [], filters: own } };
}

const orders = fc
  .array(
    fc.record({
      attribute: fc.constantFrom('name', 'numberofemployees', 'tickersymbol', 'donotemail'),
      descending: fc.boolean(),
    }),
    { maxLength: 2 },
  )
  .filter((all) => new Set(all.map(({ attribute }) => attribute)).size === all.length);

// --- as XML ---

const escaped = (value: unknown) => String(value).replace(/[&<>"'\n]/g, (character) => `&#${character.charCodeAt(0)};`);

function sourceXml(source: Source, inside: string): string {
  const attributes = source.attributes.map((name) => `<attribute name="${name}"/>`).join('');
  return attributes + source.links.map(linkXml).join('') + (source.filter ? filterXml(source.filter) : '') + inside;
}

const linkXml = (link: Link): string =>
  `<link-entity name="${link.name}" from="${link.from}" to="${link.to}" link-type="${link.type}" alias="${link.alias}">` +
  `${sourceXml(link, '')}</link-entity>`;

const filterXml = ({ type, conditions, links, filters }: Filter): string =>
  `<filter type="${type}">${conditions.map(conditionXml).join('')}${links.map(linkXml).join('')}${filters.map(filterXml).join('')}</filter>`;

function conditionXml({ attribute, operator, values, entityName, otherColumn }: Condition): string {
  const start = `<condition attribute="${attribute}" operator="${operator}"${entityName === undefined ? '' : ` entityname="${entityName}"`}`;
  if (otherColumn !== undefined) return `${start} valueof="${otherColumn}"/>`;
  if (values.length === 1) return `${start} value="${escaped(values[0])}"/>`;
  return `${start}>${values.map((value) => `<value>${escaped(value)}</value>`).join('')}</condition>`;
}

const orderXml = (all: readonly Order[]) =>
  all.map(({ attribute, descending }) => `<order attribute="${attribute}" descending="${descending}"/>`).join('');

const fetchXml = (entity: Source, inside = '', options = '') =>
  `<fetch${options}><entity name="${entity.name}">${sourceXml(entity, inside)}</entity></fetch>`;

async function get(xml: string) {
  const answer = await environment.call('GET', `accounts?fetchXml=${encodeURIComponent(xml)}`, undefined, {
    Prefer:
      'odata.include-annotations="Microsoft.Dynamics.CRM.fetchxmlpagingcookie,Microsoft.Dynamics.CRM.morerecords"',
  });
  if (answer.status !== 200) throw new Error(`${answer.text} for ${xml}`);
  return answer.json;
}

/** A combination as the Web API shows it, without what it adds by itself. */
function shown(entity: Source, row: Combination): Record<string, Value> {
  const json: Record<string, Value> = {};
  const add = (source: Source, alias: string) => {
    const values = row.get(alias);
    for (const name of [...source.attributes, ...(alias === ENTITY ? ['accountid'] : [])]) {
      const value = values?.[name] ?? null;
      if (value !== null) json[alias === ENTITY ? name : `${alias}.${name}`] = value;
    }
    for (const link of source.links) if (link.type === 'inner' || link.type === 'outer') add(link, link.alias);
  };
  add(entity, ENTITY);
  return json;
}

const bareRow = ({ '@odata.etag': _, ...row }: Record<string, Value>) => row;
const asText = (row: Record<string, Value>) => JSON.stringify(Object.entries(row).sort());
const sorted = (rows: readonly Record<string, Value>[]) => rows.map(asText).sort();

const sortKey = (all: readonly Order[], row: Row) => [
  ...all.map(({ attribute }) => folded(row[attribute] ?? null)),
  row['accountid'] ?? null,
];

function byOrders(all: readonly Order[]) {
  return (one: Combination, other: Combination) => {
    const [left, right] = [one, other].map((row) => sortKey(all, row.get(ENTITY) ?? {}));
    for (const [place, value] of (left ?? []).entries()) {
      const order = compare(value, right?.[place] ?? null);
      if (order !== 0) return all[place]?.descending ? -order : order;
    }
    return 0;
  };
}

const RUNS = { numRuns: 150 };

describe('random FetchXML', () => {
  test('finds the rows that a naive evaluation finds, in its order', async () => {
    await fc.assert(
      fc.asyncProperty(entityOf(false), orders, async (entity, order) => {
        const tables = environment.rows;
        const expected = evaluate(tables, entity).sort(byOrders(order));
        const json = await get(fetchXml(entity, orderXml(order)));
        const rows: Record<string, Value>[] = json.value.map(bareRow);
        expect(sorted(rows), JSON.stringify(tables)).toEqual(sorted(expected.map((row) => shown(entity, row))));
        // Rows of one account may come in any order among themselves.
        expect(rows.map(({ accountid }) => accountid)).toEqual(expected.map((row) => row.get(ENTITY)?.['accountid']));
      }),
      RUNS,
    );
  });

  test('aggregates what a naive evaluation aggregates', async () => {
    const groupBy = fc.subarray(['name', 'numberofemployees', 'primarycontactid', 'donotemail']);
    await fc.assert(
      fc.asyncProperty(entityOf(false), groupBy, async (given, groups) => {
        const entity = withoutAttributes(given);
        const xml = fetchXml(
          entity,
          groups.map((name) => `<attribute name="${name}" alias="by_${name}" groupby="true"/>`).join('') +
            ['count', 'countcolumn', 'sum', 'avg', 'min', 'max']
              .map((method) => `<attribute name="numberofemployees" alias="${method}" aggregate="${method}"/>`)
              .join('') +
            '<attribute name="name" alias="names" aggregate="countcolumn" distinct="true"/>',
          ' aggregate="true"',
        );
        const found = evaluate(environment.rows, entity);
        const rows = found.map((row) => row.get(ENTITY) ?? {});
        const keyOf = (row: Combination) => groups.map((name) => folded(row.get(ENTITY)?.[name] ?? null));
        const all = groups.length === 0 ? [found] : grouped(found, keyOf);
        const expected = all.map((group) => aggregated(groups, group, rows));
        const { value } = await get(xml);
        expect(sorted(value.map(foldNames)), JSON.stringify(environment.rows)).toEqual(sorted(expected));
      }),
      { numRuns: 100 },
    );
  });

  test('pages through every row once, with cookies and by number', async () => {
    await fc.assert(
      fc.asyncProperty(entityOf(true), orders, fc.integer({ min: 1, max: 4 }), async (entity, order, size) => {
        const whole = (await get(fetchXml(entity, orderXml(order)))).value.map(bareRow);
        expect(await pages(entity, order, size, true)).toEqual(whole);
        expect(await pages(entity, order, size, false)).toEqual(whole);
      }),
      { numRuns: 40 },
    );
  });
});

async function pages(entity: Source, order: readonly Order[], size: number, withCookie: boolean) {
  const rows: Record<string, Value>[] = [];
  let cookie = '';
  for (let page = 1; ; page += 1) {
    const json = await get(fetchXml(entity, orderXml(order), ` count="${size}" page="${page}"${cookie}`));
    rows.push(...json.value.map(bareRow));
    if (!json['@Microsoft.Dynamics.CRM.morerecords']) return rows;
    const [, encoded = ''] = /pagingcookie="([^"]*)"/.exec(json['@Microsoft.Dynamics.CRM.fetchxmlpagingcookie']) ?? [];
    if (withCookie) cookie = ` paging-cookie="${escaped(decodeURIComponent(decodeURIComponent(encoded)))}"`;
  }
}

const withoutAttributes = (entity: Source): Source => ({ ...entity, attributes: [], links: entity.links.map(bare) });

function aggregated(
  groups: readonly string[],
  group: readonly Combination[],
  all: readonly Row[],
): Record<string, Value> {
  const rows = group.map((row) => row.get(ENTITY) ?? {});
  const numbers = rows.map((row) => row['numberofemployees']).filter((value) => typeof value === 'number');
  const sum = numbers.reduce((total, value) => total + value, 0);
  const names = new Set(rows.map((row) => folded(row['name'] ?? null)).filter((name) => name !== null));
  const by = groups.map((name): [string, Value] => [`by_${name}`, folded(rows[0]?.[name] ?? null)]);
  const computed: [string, Value][] = [
    ['count', rows.length],
    ['countcolumn', numbers.length],
    ['sum', sum],
    ['avg', numbers.length === 0 ? null : Math.trunc(sum / numbers.length)],
    ['min', numbers.length === 0 ? null : Math.min(...numbers)],
    ['max', numbers.length === 0 ? null : Math.max(...numbers)],
    ['names', names.size],
  ];
  if (all.length === 0 && groups.length > 0) throw new Error('No rows make no groups');
  return Object.fromEntries([...by, ...computed].filter(([, value]) => value !== null));
}

/** Of texts that compare equal any one may stand for the group. */
const foldNames = (row: Record<string, Value>): Record<string, Value> =>
  row['by_name'] === undefined ? row : { ...row, by_name: folded(row['by_name']) };
