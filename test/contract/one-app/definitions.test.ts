import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, KEYS, type TestApp } from '../../support/app.ts';
import { sharedApp } from '../../support/shared-app.ts';

let app: TestApp;

beforeAll(async () => {
  app = await sharedApp();
});
afterAll(() => app.assertNoSecret());

/** The custom tables of the local cloud. */
const CUSTOM = ['contoso_sensordata', 'msevtmgt_event'];

const names = (answer: { json: { value: { logicalName: string }[] } }): string[] =>
  answer.json.value.map(({ logicalName }) => logicalName);

describe('the list of tables', () => {
  test('has what the connection may touch, by logical name', async () => {
    const answer = await app.call('GET', 'tables');
    expect(names(answer)).toEqual(['account', 'contact', 'lead']);
    expect(answer.json.value[0]).toEqual({
      logicalName: 'account',
      schemaName: 'Account',
      entitySetName: 'accounts',
      displayName: 'Account',
      isCustom: false,
      primaryId: 'accountid',
      primaryName: 'name',
      metadataId: '70816501-edb9-4740-a16c-6a5efbc05d84',
    });
  });

  test.each([
    ['a logical name', 'account', ['account', ...CUSTOM]],
    ['names in any case', 'ACCOUNT,Contact', ['account', 'contact', ...CUSTOM]],
    ['a label', 'Bulk Delete Operation', ['bulkdeleteoperation', ...CUSTOM]],
    ['a part of a name', 'Account*', ['account', 'accountleads', ...CUSTOM]],
    ['nothing that there is', 'nowhere', CUSTOM],
  ])('is narrowed by %s, custom tables besides', async (_, name, found) => {
    const answer = await app.call('GET', `tables?connection=open&name=${encodeURIComponent(name)}`);
    expect(names(answer)).toEqual(found);
  });

  test('leaves out custom tables that no name fits where they are not wanted', async () => {
    const all = await app.call('GET', 'tables?connection=open&includeCustom=false');
    expect(names(all)).not.toContain('msevtmgt_event');
    const named = await app.call('GET', 'tables?connection=open&includeCustom=false&name=msevtmgt_event,account');
    expect(names(named)).toEqual(['account', 'msevtmgt_event']);
  });

  test('leaves out tables that are parts of others, whatever else is asked for', async () => {
    const details = await app.call('GET', 'tables?connection=open&details=true');
    const parts = details.json.value.filter((table: { isChild: boolean | null }) => table.isChild === true);
    expect(parts.length).toBeGreaterThan(0);
    const [{ logicalName }] = parts;
    const query = `connection=open&topLevelOnly=true&name=${logicalName},account`;
    expect(names(await app.call('GET', `tables?${query}`))).toEqual(['account', ...CUSTOM]);
  });

  test('tells details, the members that are wanted, and which tables are marked', async () => {
    const details = await app.call('GET', 'tables?details=true&name=account');
    expect(details.json.value[0]).toMatchObject({
      ownershipType: 'UserOwned',
      isActivity: false,
      isAuditEnabled: false,
    });
    const chosen = await app.call('GET', 'tables?select=logicalName,OwnershipType&defaultSelected=ACCOUNT');
    expect(chosen.json.value[0]).toEqual({ logicalName: 'account', ownershipType: 'UserOwned', defaultSelected: true });
    expect(chosen.json.value[1]).toMatchObject({ logicalName: 'contact', defaultSelected: false });
  });

  test('comes in pages that hold every table once', async () => {
    const seen: string[] = [];
    let page = '';
    do {
      const answer = await app.call('GET', `tables?connection=open&pageSize=10${page && `&page=${page}`}`);
      expect(answer.json.value.length).toBeLessThanOrEqual(10);
      seen.push(...names(answer));
      page = answer.json.nextPage ?? '';
    } while (page !== '');
    expect(seen).toEqual(names(await app.call('GET', 'tables?connection=open')));
  });

  test('is read once for all who ask within a minute', async () => {
    await app.forgetCalls();
    await Promise.all([1, 2, 3].map(() => app.call('GET', 'tables?connection=open')));
    expect((await app.calls()).filter(({ path }) => path.includes('EntityDefinitions'))).toEqual([]);
  });

  test.each([
    ['pageSize', 'pageSize=0'],
    ['pageSize', 'pageSize=5001'],
    ['pageSize', 'pageSize=many'],
    ['page', 'page=x'],
    ['page', `page=${Buffer.from('tables:Account').toString('base64url')}`],
    ['page', `page=${'a'.repeat(600)}`],
    ['includeCustom', 'includeCustom=yes'],
    ['select', 'select=logicalNam'],
    ['select', 'select=a%20b'],
    ['select', 'select=__proto__'],
    ['filter', 'filter=x'],
  ])('is refused for a bad %s (%#)', async (field, query) => {
    const answer = await app.call('GET', `tables?${query}`);
    expect(answer.status).toBe(400);
    expect(answer.json.errors[0].path).toBe(field);
  });
});

describe('the definition of a table', () => {
  test.each(['account', 'accounts', '70816501-edb9-4740-a16c-6a5efbc05d84'])('is found by %s', async (name) => {
    const answer = await app.call('GET', `tables/${name}`);
    expect(answer.json).toMatchObject({
      logicalName: 'account',
      displayName: 'Account',
      displayNameLabels: { 1033: 'Account' },
      isCustom: false,
      primaryId: 'accountid',
      isAuditEnabled: false,
      objectTypeCode: 1,
    });
    expect(answer.text).not.toContain('@odata');
  });

  test('is not looked for by its logical name when that is not wanted', async () => {
    expect((await app.call('GET', 'tables/account?lookupLogicalNames=false')).json.code).toBe('tableUnknown');
    expect((await app.call('GET', 'tables/accounts?lookupLogicalNames=false')).status).toBe(200);
  });

  test.each([
    ['nowhere', 404, 'tableUnknown'],
    ["account'%20or%20true", 404, 'tableUnknown'],
    ['%F0%9F%98%80', 404, 'tableUnknown'],
    ['opportunity', 403, 'tableNotAllowed'],
    ['opportunities', 403, 'tableNotAllowed'],
  ])('is refused for %s', async (name, status, code) => {
    for (const path of [
      `tables/${name}`,
      `tables/${name}/columns`,
      `tables/${name}/columns/name`,
      `tables/${name}/keys`,
    ]) {
      const answer = await app.call('GET', path);
      expect([path, answer.status, answer.json.code]).toEqual([path, status, code]);
    }
  });
});

describe('columns', () => {
  test('are listed by logical name with what every column has', async () => {
    const answer = await app.call('GET', 'tables/account/columns');
    expect(names(answer)).toEqual(names(answer).toSorted());
    expect(
      answer.json.value.find(({ logicalName }: { logicalName: string }) => logicalName === 'revenue'),
    ).toMatchObject({
      schemaName: 'Revenue',
      displayName: 'Annual Revenue',
      type: 'Money',
      requiredLevel: 'None',
      isCustom: false,
      isPrimaryId: false,
      isValidForUpdate: true,
      metadataId: '9485cdfc-ad92-4758-b61d-f3705c82a85e',
    });
    expect(answer.json.value[0]).not.toHaveProperty('maxLength');
  });

  test('are narrowed to a type, which opens its own properties', async () => {
    const money = await app.call('GET', 'tables/account/columns?type=Money&details=true');
    expect(money.json.value.length).toBeGreaterThan(0);
    for (const column of money.json.value)
      expect(column).toMatchObject({ type: 'Money', precision: expect.any(Number) });
    const customer = await app.call('GET', 'tables/contact/columns?type=Customer');
    expect(names(customer)).toEqual(['parentcustomerid']);
    const lookup = await app.call('GET', 'tables/contact/columns?type=Lookup');
    expect(names(lookup)).not.toContain('parentcustomerid');
  });

  test('are narrowed by a condition, with the members that are wanted', async () => {
    const filter = encodeURIComponent("LogicalName eq 'name'");
    const answer = await app.call(
      'GET',
      `tables/account/columns?type=String&select=maxLength,IsPrimaryName&filter=${filter}`,
    );
    expect(answer.json.value).toEqual([{ maxLength: 160, isPrimaryName: true, metadataId: expect.any(String) }]);
  });

  test('are told with their choices', async () => {
    const expand = encodeURIComponent('OptionSet($select=Options)');
    const listed = await app.call('GET', `tables/account/columns?type=State&select=logicalName&expand=${expand}`);
    expect(listed.json.value[0]).toMatchObject({
      logicalName: 'statecode',
      optionSet: {
        options: [
          { value: 0, label: 'Active' },
          { value: 1, label: 'Inactive' },
        ],
      },
    });
    const one = await app.call('GET', 'tables/account/columns/statecode?details=true');
    expect(one.json.optionSet.options[0]).toMatchObject({ value: 0, label: 'Active' });
  });

  test('are found by logical name and by MetadataId', async () => {
    for (const column of ['revenue', 'Revenue', '9485cdfc-ad92-4758-b61d-f3705c82a85e']) {
      expect((await app.call('GET', `tables/account/columns/${column}`)).json).toMatchObject({
        logicalName: 'revenue',
        type: 'Money',
        precisionSource: 2,
      });
    }
  });

  test('that are not there answer 404', async () => {
    expect((await app.call('GET', 'tables/account/columns/nothing')).status).toBe(404);
    expect((await app.call('GET', "tables/account/columns/x'y")).status).toBe(404);
  });

  test.each([
    ['type', 'type=Nothing'],
    ['details', 'details=1'],
    ['select', 'select=a;b'],
    ['expand', 'expand=OptionSet($expand=Options)'],
    ['expand', 'expand=OptionSet)%26%24top=1'],
    ['filter', `filter=${'x'.repeat(9_000)}`],
    ['orderBy', 'orderBy=x'],
  ])('are refused for a bad %s (%#)', async (field, query) => {
    const answer = await app.call('GET', `tables/account/columns?${query}`);
    expect(answer.status).toBe(400);
    expect(answer.json.errors[0].path).toBe(field);
  });

  test('take a condition as nothing but a condition', async () => {
    await app.forgetCalls();
    const filter = "LogicalName eq 'x'&$top=1&$select=MetadataId#";
    await app.call('GET', `tables/account/columns?filter=${encodeURIComponent(filter)}`);
    const [path = ''] = (await app.calls()).map((call) => call.path).filter((each) => each.includes('/Attributes'));
    expect(new URL(path, 'https://x').searchParams.get('$filter')).toBe(filter);
    expect([...new URL(path, 'https://x').searchParams.keys()]).toEqual(['$select', '$filter']);
  });
});

describe('alternate keys', () => {
  test('are made with the master key and listed with the state of their index', async () => {
    const body = JSON.stringify({ schemaName: 'new_TickerKey', columns: ['tickersymbol'] });
    const options = { key: KEYS.master, body, type: 'application/json' };
    const made = await app.admin('GET', 'WhoAmI');
    expect(made.status).toBe(200);
    expect((await app.call('POST', 'tables/account/keys', { ...options, key: KEYS.function })).status).toBe(401);
    expect((await app.call('POST', 'tables/account/keys', options)).status).toBe(403);
    await app.defineKey('account', 'accountnumber');
    const listed = await app.call('GET', 'tables/account/keys');
    expect(listed.json.value).toEqual([
      {
        logicalName: 'new_accountnumber_key',
        schemaName: 'new_accountnumber_key',
        displayName: 'accountnumber',
        columns: ['accountnumber'],
        status: 'Active',
        metadataId: expect.any(String),
      },
    ]);
  });

  test.each([
    ['schemaName', { columns: ['name'] }],
    ['schemaName', { schemaName: 'name', columns: ['name'] }],
    ['schemaName', { schemaName: 7, columns: ['name'] }],
    ['columns', { schemaName: 'new_key' }],
    ['columns', { schemaName: 'new_key', columns: [] }],
    ['columns.0', { schemaName: 'new_key', columns: ["na'me"] }],
    ['other', { schemaName: 'new_key', columns: ['name'], other: 1 }],
    ['KeyAttributes', { SchemaName: 'new_key' }],
  ])('are refused for a bad %s', async (field, body) => {
    const answer = await app.call('POST', 'tables/account/keys', {
      key: KEYS.master,
      body: JSON.stringify(body),
      type: 'application/json',
    });
    expect(answer.status).toBe(400);
    expect(answer.json.errors[0].path).toBe(field);
  });
});

describe('with the right to customise', () => {
  beforeAll(async () => {
    const roles = await app.admin('GET', "roles?$select=roleid&$filter=name eq 'System Customizer'");
    const reference = { '@odata.id': `${app.environmentUrl}/api/data/v9.2/roles(${roles.json.value[0].roleid})` };
    const user = '0b000000-0000-4000-8000-000000000001';
    const assigned = await app.admin('POST', `systemusers(${user})/systemuserroles_association/$ref`, reference);
    expect(assigned.status, assigned.text).toBe(204);
  });

  const change = (method: string, path: string, body: unknown): Promise<Answer> =>
    app.call(method, path, { key: KEYS.master, body: JSON.stringify(body), type: 'application/json' });

  /** The example of the connector, as it is. */
  const label = (text: string) => ({
    '@odata.type': 'Microsoft.Dynamics.CRM.Label',
    LocalizedLabels: [{ '@odata.type': 'Microsoft.Dynamics.CRM.LocalizedLabel', Label: text, LanguageCode: 1033 }],
  });
  const balance = {
    AttributeType: 'Money',
    AttributeTypeName: { Value: 'MoneyType' },
    Description: label('Enter the balance amount'),
    DisplayName: label('Balance'),
    RequiredLevel: {
      Value: 'None',
      CanBeChanged: true,
      ManagedPropertyLogicalName: 'canmodifyrequirementlevelsettings',
    },
    SchemaName: 'new_Balance',
    '@odata.type': 'Microsoft.Dynamics.CRM.MoneyAttributeMetadata',
    PrecisionSource: 2,
  };

  test('the connector’s Money column is made, found and used', async () => {
    const made = await change('POST', 'tables/account/columns', balance);
    expect(made.status, made.text).toBe(201);
    expect(made.json).toEqual({ metadataId: expect.any(String), logicalName: 'new_balance' });
    expect(made.headers.get('location')).toBe('/api/tables/account/columns/new_balance');
    for (const column of ['new_balance', made.json.metadataId]) {
      expect((await app.call('GET', `tables/account/columns/${column}`)).json).toMatchObject({
        logicalName: 'new_balance',
        schemaName: 'new_Balance',
        displayName: 'Balance',
        description: 'Enter the balance amount',
        type: 'Money',
        requiredLevel: 'None',
        precisionSource: 2,
        isCustom: true,
      });
    }
    const money = await app.call('GET', 'tables/account/columns?type=Money');
    expect(names(money)).toContain('new_balance');
    const written = await change('POST', 'tables/account/rows', { name: 'Rich', new_balance: '12.50' });
    expect(written.status, written.text).toBe(201);
    expect((await change('POST', 'tables/account/columns', balance)).status).toBe(400);
  });

  test('a changed column keeps what the change does not name', async () => {
    const changed = await change('PUT', 'tables/accounts/columns/tickersymbol', {
      MaxLength: 8,
      RequiredLevel: { Value: 'Recommended' },
      DisplayName: { LocalizedLabels: [{ Label: 'Ticker', LanguageCode: 1033 }] },
    });
    expect(changed.status, changed.text).toBe(204);
    expect((await app.call('GET', 'tables/account/columns/tickersymbol')).json).toMatchObject({
      displayName: 'Ticker',
      maxLength: 8,
      requiredLevel: 'Recommended',
      format: 'TickerSymbol',
      schemaName: 'TickerSymbol',
    });
  });

  test('a changed column holds for the next row', async () => {
    const row = { name: 'Tick', tickersymbol: 'ABCDEF' };
    expect((await change('POST', 'tables/account/rows', row)).status).toBe(201);
    expect((await change('PUT', 'tables/account/columns/tickersymbol', { MaxLength: 5 })).status).toBe(204);
    const answer = await change('POST', 'tables/account/rows', row);
    expect(answer.json, answer.text).toMatchObject({ status: 400, detail: expect.stringContaining('5 are allowed') });
  });

  test('a changed label keeps those of other languages', async () => {
    for (const [Label, LanguageCode] of [
      ['Börsenkürzel', 1031],
      ['Symbol', 1033],
    ]) {
      const labels = { DisplayName: { LocalizedLabels: [{ Label, LanguageCode }] } };
      expect((await change('PUT', 'tables/account/columns/tickersymbol', labels)).status).toBe(204);
    }
    expect((await app.call('GET', 'tables/account/columns/tickersymbol?details=true')).json.displayNameLabels).toEqual({
      1031: 'Börsenkürzel',
      1033: 'Symbol',
    });
  });

  test('a column cannot become another', async () => {
    for (const body of [
      { SchemaName: 'Other' },
      { LogicalName: 'other' },
      { AttributeType: 'Memo' },
      { '@odata.type': 'Microsoft.Dynamics.CRM.MemoAttributeMetadata' },
      { MetadataId: '00000000-0000-0000-0000-000000000001' },
    ]) {
      const answer = await change('PUT', 'tables/account/columns/tickersymbol', body);
      expect([answer.status, answer.json.code]).toEqual([400, 'refused']);
    }
  });

  test.each([
    ['POST', 'tables/account/columns', 'SchemaName', { AttributeType: 'Money' }],
    ['POST', 'tables/account/columns', 'SchemaName', { SchemaName: 'Balance', AttributeType: 'Money' }],
    ['POST', 'tables/account/columns', 'SchemaName', { SchemaName: "new_x'y", AttributeType: 'Money' }],
    ['POST', 'tables/account/columns', 'AttributeType', { SchemaName: 'new_X', AttributeType: 7 }],
    ['POST', 'tables/account/columns', undefined, { SchemaName: 'new_X' }],
    ['POST', 'tables/account/columns', undefined, { SchemaName: 'new_X', AttributeType: 'Nothing' }],
    ['POST', 'tables/account/columns', '', []],
    ['PUT', 'tables/account/columns/name', '', {}],
    ['PUT', 'tables/account/columns/name', '', 'text'],
    ['POST', 'tables/account/columns?solution=a%20b', 'solution', { SchemaName: 'new_X', AttributeType: 'Money' }],
  ])('%s %s is refused for a bad %s (%#)', async (method, path, field, body) => {
    const answer = await change(method, path, body);
    expect(answer.status).toBe(400);
    expect(answer.json.errors?.[0].path).toBe(field);
  });

  test('a key is made in either form, and is told by its state', async () => {
    const own = await change('POST', 'tables/contact/keys', { schemaName: 'new_EmailKey', columns: ['emailaddress1'] });
    expect(own.status, own.text).toBe(201);
    expect(own.json).toMatchObject({
      schemaName: 'new_EmailKey',
      columns: ['emailaddress1'],
      metadataId: expect.any(String),
    });
    const theirs = { SchemaName: 'new_FaxKey', KeyAttributes: ['fax'], DisplayName: label('Fax') };
    expect((await change('POST', 'tables/contact/keys', theirs)).json).toMatchObject({
      displayName: 'Fax',
      columns: ['fax'],
    });
    const listed = await app.call('GET', 'tables/contact/keys');
    for (const { status } of listed.json.value) expect(['Pending', 'InProgress', 'Active']).toContain(status);
  });
});
