import { beforeAll, describe, expect, test } from 'vitest';
import { refusal, type World } from './world.ts';

const CITIES = ['Bonn', 'Cork', 'Bonn', 'Cork', 'Bonn', 'Oslo', 'Bonn'];

/** Rows in numbers: OData queries, counts, FetchXML, views. */
export function describeQueries(world: World): void {
  const mine = () => `startswith(name,'${world.mark} query')`;
  const nameOf = (at: number) => `${world.mark} query ${at}`;
  let accounts: string[] = [];
  let contact = '';

  beforeAll(async () => {
    contact = await world.create('contacts', { firstname: 'Ann', lastname: `${world.mark} query` });
    const { value } = { value: [] as string[] };
    for (const [at, city] of CITIES.entries()) {
      const data = { name: nameOf(at), address1_city: city, numberofemployees: at * 10 };
      const lookup = at === 0 ? { 'primarycontactid@odata.bind': `/contacts(${contact})` } : {};
      value.push(await world.create('accounts', { ...data, ...lookup }));
    }
    accounts = value;
  });

  const names = (rows: readonly { name?: string }[] = []) => rows.map(({ name }) => name);

  describe('a query', () => {
    test('filters, sorts, counts and limits', async () => {
      const { client } = world;
      const page = await client.retrieveMultiple({
        collection: 'accounts',
        select: ['name', 'numberofemployees'],
        filter: `${mine()} and address1_city eq 'Bonn' and numberofemployees gt 0`,
        orderBy: ['numberofemployees desc'],
        count: true,
      });
      expect(names(page.value)).toEqual([nameOf(6), nameOf(4), nameOf(2)]);
      expect(page.oDataCount).toBe(3);
      expect(page.oDataContext).toBe(`${world.apiUrl}$metadata#accounts(name,numberofemployees)`);
      const first = await client.retrieveMultiple({
        collection: 'accounts',
        select: ['name'],
        filter: mine(),
        orderBy: ['address1_city', 'name desc'],
        top: 2,
      });
      expect(names(first.value)).toEqual([nameOf(6), nameOf(4)]);
    });

    test('expands rows and shows labels', async () => {
      const { value } = await world.client.retrieveMultiple({
        collection: 'accounts',
        select: ['name', 'statecode'],
        filter: `${mine()} and primarycontactid/lastname eq '${world.mark} query'`,
        expand: [
          {
            property: 'primarycontactid',
            select: ['fullname'],
            expand: [{ property: 'account_primary_contact', select: ['name'], filter: mine() }],
          },
        ],
        includeAnnotations: 'OData.Community.Display.V1.FormattedValue',
      });
      expect(value).toMatchObject([
        {
          accountid: accounts[0],
          statecode_Formatted: 'Active',
          primarycontactid: { contactid: contact, account_primary_contact: [{ name: nameOf(0) }] },
        },
      ]);
    });

    test('takes parameters', async () => {
      const { value } = await world.client.retrieveMultiple({
        collection: 'accounts',
        select: ['name'],
        filter: 'name eq @name',
        queryParams: [`@name='${encodeURIComponent(nameOf(3))}'`],
      });
      expect(names(value)).toEqual([nameOf(3)]);
    });

    test('goes on page by page behind the link of the answer', async () => {
      const { client } = world;
      const query = { collection: 'accounts', select: ['name'], filter: mine(), orderBy: ['name'], maxPageSize: 3 };
      const first = await client.retrieveMultiple(query);
      expect(names(first.value)).toEqual([0, 1, 2].map(nameOf));
      const second = await client.retrieveMultiple(query, first.oDataNextLink);
      expect(names(second.value)).toEqual([3, 4, 5].map(nameOf));
      const all = await client.retrieveAll(query);
      expect(names(all.value)).toEqual(accounts.map((_, at) => nameOf(at)));
    });

    test('is sent in a batch by the client when it is too long for a URL', async () => {
      const any = accounts.map((id) => `accountid eq ${id}`).join(' or ');
      const filter = `${mine()} and (${Array.from({ length: 6 }, () => `(${any})`).join(' and ')})`;
      expect(filter.length).toBeGreaterThan(2000);
      const { value } = await world.client.retrieveMultiple({ collection: 'accounts', select: ['name'], filter });
      expect(value).toHaveLength(accounts.length);
    });

    test('groups and adds up', async () => {
      const { value } = await world.client.retrieveMultiple({
        collection: 'accounts',
        apply: `filter(${mine()})/groupby((address1_city),aggregate(numberofemployees with sum as employees,$count as number))`,
      });
      const byCity = value.sort((one, other) => (one.address1_city < other.address1_city ? -1 : 1));
      expect(byCity).toMatchObject([
        { address1_city: 'Bonn', employees: 120, number: 4 },
        { address1_city: 'Cork', employees: 40, number: 2 },
        { address1_city: 'Oslo', employees: 50, number: 1 },
      ]);
    });

    test('counts', async () => {
      const { client } = world;
      expect(await client.count({ collection: 'accounts', filter: mine() })).toBe(accounts.length);
      expect(await client.count({ collection: 'accounts' })).toBeGreaterThanOrEqual(accounts.length);
      const counted = client.countAll({ collection: 'accounts', filter: mine(), select: ['name'] });
      expect(await counted).toBe(accounts.length);
    });

    test('is refused when it does not fit the table', async () => {
      const request = world.client.retrieveMultiple({ collection: 'accounts', select: ['Name'] });
      await expect(request).rejects.toMatchObject({
        status: 400,
        message: "Could not find a property named 'Name' on type 'Microsoft.Dynamics.CRM.account'.",
      });
      expect(await refusal(world.client.retrieveMultiple({ collection: 'accounts', filter: 'name eq' }))).toMatch(
        /^400 /,
      );
    });
  });

  describe('FetchXML', () => {
    const byName = (options: string) =>
      `<fetch ${options}><entity name="account"><attribute name="name"/><order attribute="name"/>` +
      `<filter><condition attribute="name" operator="begins-with" value="${world.mark} query"/></filter>` +
      '<link-entity name="contact" from="contactid" to="primarycontactid" link-type="outer" alias="person">' +
      '<attribute name="lastname"/></link-entity></entity></fetch>';
    const includeAnnotations = '*';

    test('goes on page by page behind the cookie', async () => {
      const { client } = world;
      const query = { collection: 'accounts', fetchXml: byName('count="3"'), includeAnnotations };
      const first = await client.fetch(query);
      expect(names(first.value)).toEqual([0, 1, 2].map(nameOf));
      expect(first.value?.[0]).toMatchObject({ 'person.lastname': `${world.mark} query` });
      const { cookie = '', nextPage = 0 } = first.PagingInfo ?? {};
      expect(nextPage).toBe(2);
      const second = await client.fetch({ ...query, pageNumber: nextPage, pagingCookie: cookie });
      expect(names(second.value)).toEqual([3, 4, 5].map(nameOf));
      const all = await client.fetchAll(query);
      expect(names(all.value)).toEqual(accounts.map((_, at) => nameOf(at)));
    });

    test('finds the first rows, and sums of all', async () => {
      const { client } = world;
      const top = await client.fetch({ collection: 'accounts', fetchXml: byName('top="2"'), includeAnnotations });
      expect(names(top.value)).toEqual([0, 1].map(nameOf));
      const sum = await client.fetch({
        collection: 'accounts',
        fetchXml:
          '<fetch aggregate="true"><entity name="account"><attribute name="numberofemployees" alias="total" aggregate="sum"/>' +
          `<filter><condition attribute="name" operator="begins-with" value="${world.mark} query"/></filter></entity></fetch>`,
      });
      expect(sum.value).toMatchObject([{ total: 210 }]);
    });

    test('is refused when it does not fit the table', async () => {
      const fetchXml = '<fetch><entity name="account"><attribute name="nonsense"/></entity></fetch>';
      expect(await refusal(world.client.fetch({ collection: 'accounts', fetchXml }))).toMatch(/^400 0x80041103$/);
    });
  });

  test('a personal view is run by its id', async () => {
    const fetchxml =
      '<fetch><entity name="account"><attribute name="name"/>' +
      `<filter><condition attribute="name" operator="eq" value="${nameOf(5)}"/></filter></entity></fetch>`;
    const userQuery = await world.create('userqueries', {
      name: `${world.mark} view`,
      fetchxml,
      returnedtypecode: 'account',
      querytype: 0,
    });
    expect(names((await world.client.retrieve({ collection: 'accounts', userQuery })).value)).toEqual([nameOf(5)]);
  });
}
