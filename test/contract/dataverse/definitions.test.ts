import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startDataverse } from '../../../src/local/dataverse/server.ts';
import type { Clock } from '../../../src/shared/clock.ts';
import { column } from './definition-bodies.ts';
import { client, defineKey, idOf, openEnvironment } from './environment.ts';

/** A clock on which every wait lasts until it is let go. */
function heldClock(): Clock & { letGo(): void } {
  let waiting: (() => void)[] = [];
  return {
    now: () => Date.parse('2026-11-21T10:00:00Z'),
    sleep: (_, signal) =>
      new Promise((resolve, reject) => {
        waiting.push(resolve);
        signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
      }),
    letGo() {
      const due = waiting;
      waiting = [];
      for (const resolve of due) resolve();
    },
  };
}

const ACCOUNT = "EntityDefinitions(LogicalName='account')";
const KEY = {
  '@odata.type': 'Microsoft.Dynamics.CRM.EntityKeyMetadata',
  SchemaName: 'new_AccountNumberKey',
  DisplayName: { LocalizedLabels: [{ Label: 'Number', LanguageCode: 1033 }] },
  KeyAttributes: ['accountnumber'],
};

test('the service document lists every entity set', async () => {
  const { call, apiUrl } = await openEnvironment();
  const { json } = await call('GET', '');
  expect(json['@odata.context']).toBe(`${apiUrl}$metadata`);
  expect(json.value).toContainEqual({ name: 'msevtmgt_events', kind: 'EntitySet', url: 'msevtmgt_events' });
  for (const version of ['v9.0', 'v9.1', 'v9.2']) {
    expect((await call('GET', `/api/data/${version}/WhoAmI`)).json['@odata.context']).toContain(
      `/${version}/$metadata#`,
    );
  }
  expect((await call('GET', 'RetrieveVersion')).json.Version).toMatch(/^9\.2\./);
});

describe('EntityDefinitions', () => {
  test('are filtered and selected, always with their MetadataId', async () => {
    const { call } = await openEnvironment();
    const { json } = await call(
      'GET',
      "EntityDefinitions?$select=LogicalName,EntitySetName&$filter=IsActivity eq true and OwnershipType eq Microsoft.Dynamics.CRM.OwnershipTypes'UserOwned'",
    );
    expect(json.value.map(({ LogicalName }: { LogicalName: string }) => LogicalName)).toContain('task');
    expect(Object.keys(json.value[0])).toEqual(['LogicalName', 'EntitySetName', 'MetadataId']);
    const complex = await call(
      'GET',
      'EntityDefinitions?$select=LogicalName&$filter=CanCreateAttributes/Value eq true',
    );
    expect(complex.json.value.length).toBeGreaterThan(5);
  });

  test('are found by logical name and by MetadataId, one property by its path', async () => {
    const { call } = await openEnvironment();
    const { json } = await call('GET', `${ACCOUNT}?$select=LogicalName,PrimaryIdAttribute`);
    expect(json).toMatchObject({ LogicalName: 'account', PrimaryIdAttribute: 'accountid' });
    expect((await call('GET', `EntityDefinitions(${json.MetadataId})?$select=LogicalName`)).json.LogicalName).toBe(
      'account',
    );
    expect((await call('GET', `${ACCOUNT}/ObjectTypeCode/$value`)).text).toBe('1');
    expect((await call('GET', "EntityDefinitions(LogicalName='nothing')")).status).toBe(404);
  });

  test('hold columns, keys and relationships only when they are expanded', async () => {
    const environment = await openEnvironment();
    const { call } = environment;
    await defineKey(environment, 'account', ['accountnumber']);
    const plain = await call('GET', ACCOUNT);
    expect(plain.json).not.toHaveProperty('Attributes');
    const { json } = await call(
      'GET',
      `${ACCOUNT}?$select=LogicalName&$expand=Attributes($select=LogicalName;$filter=AttributeType eq Microsoft.Dynamics.CRM.AttributeTypeCode'Money'),Keys($select=KeyAttributes)`,
    );
    expect(json.Attributes.map(({ LogicalName }: { LogicalName: string }) => LogicalName)).toContain('revenue');
    expect(json.Keys).toMatchObject([{ KeyAttributes: ['accountnumber'] }]);
    const relationships = await call(
      'GET',
      `${ACCOUNT}/ManyToOneRelationships?$select=ReferencingEntityNavigationPropertyName`,
    );
    expect(JSON.stringify(relationships.json.value)).toContain('CreatedByExternalParty');
  });
});

describe('Attributes', () => {
  test('are read by cast with their options', async () => {
    const { call } = await openEnvironment();
    const { json } = await call(
      'GET',
      `${ACCOUNT}/Attributes/Microsoft.Dynamics.CRM.PicklistAttributeMetadata?$select=LogicalName&$expand=OptionSet`,
    );
    const industry = json.value.find(({ LogicalName }: { LogicalName: string }) => LogicalName === 'industrycode');
    expect(industry.OptionSet.Options[0]).toMatchObject({ Value: 1 });
    expect(industry).not.toHaveProperty('@odata.type');
    const { json: uncast } = await call('GET', `${ACCOUNT}/Attributes?$select=LogicalName`);
    expect(uncast.value).toContainEqual(
      expect.objectContaining({
        '@odata.type': '#Microsoft.Dynamics.CRM.PicklistAttributeMetadata',
        LogicalName: 'industrycode',
      }),
    );
  });

  test('are read one by one', async () => {
    const { call } = await openEnvironment();
    const name = await call(
      'GET',
      `${ACCOUNT}/Attributes(LogicalName='name')/Microsoft.Dynamics.CRM.StringAttributeMetadata`,
    );
    expect(name.json).toMatchObject({ LogicalName: 'name', AttributeType: 'String', MaxLength: 160 });
    expect((await call('GET', `${ACCOUNT}/Attributes(LogicalName='nothing')`)).status).toBe(404);
  });
});

describe('what lies below definitions', () => {
  test('is addressed by names and ids, with casts and down to single properties', async () => {
    const { call, apiUrl } = await openEnvironment();
    const cast = 'Microsoft.Dynamics.CRM.PicklistAttributeMetadata';
    const column = await call(
      'GET',
      `${ACCOUNT}/Attributes(LogicalName='industrycode')/${cast}?$select=LogicalName&$expand=OptionSet`,
    );
    const { MetadataId } = column.json;
    expect(column.json['@odata.context']).toBe(
      `${apiUrl}$metadata#EntityDefinitions('account')/Attributes/${cast}(LogicalName,OptionSet)/$entity`,
    );
    expect(column.json['OptionSet@odata.context']).toContain(`(${MetadataId})/OptionSet/$entity`);
    const option = column.json.OptionSet.Options[0];
    expect(option).toMatchObject({ Value: 1, Color: null, Label: { LocalizedLabels: [{ Label: 'Accounting' }] } });
    const options = await call('GET', `${ACCOUNT}/Attributes(${MetadataId})/${cast}/OptionSet?$select=Options`);
    expect(Object.keys(options.json)).toEqual(['@odata.context', 'Options', 'MetadataId']);
    expect(options.json['@odata.context']).toContain(`/Attributes(${MetadataId})/${cast}/OptionSet(Options)/$entity`);
    expect((await call('GET', `${ACCOUNT}/Attributes(LogicalName='name')/SchemaName`)).json.value).toBe('Name');
    expect((await call('GET', `${ACCOUNT}/DisplayName/UserLocalizedLabel/Label/$value`)).text).toBe('Account');
    expect((await call('GET', `${ACCOUNT}/Privileges`)).json.value).toContainEqual(
      expect.objectContaining({ Name: 'prvReadAccount', PrivilegeType: 'Read' }),
    );
    expect((await call('GET', `${ACCOUNT}/IconSmallName`)).status).toBe(204);
    expect((await call('GET', `${ACCOUNT}/Nothing`)).status).toBe(404);
    expect((await call('GET', `${ACCOUNT}/Attributes(LogicalName='name')/${cast}`)).status).toBe(404);
    expect((await call('GET', `${ACCOUNT}/Attributes/Microsoft.Dynamics.CRM.EnumAttributeMetadata`)).status).toBe(404);
  });

  test('is filtered by enumerations, complex values, and, or and not', async () => {
    const { call } = await openEnvironment();
    const names = async (path: string) =>
      (await call('GET', path)).json.value.map(({ LogicalName }: { LogicalName: string }) => LogicalName);
    const required = `${ACCOUNT}/Attributes?$select=LogicalName&$filter=RequiredLevel/Value eq Microsoft.Dynamics.CRM.AttributeRequiredLevel'ApplicationRequired'`;
    expect(await names(required)).toContain('name');
    expect(await names(`${required} and not (LogicalName eq 'name')`)).not.toContain('name');
    const money = `${ACCOUNT}/Attributes/Microsoft.Dynamics.CRM.MoneyAttributeMetadata?$select=LogicalName,Precision&$filter=Precision ge 4 or LogicalName eq 'revenue'`;
    expect(await names(money)).toEqual(expect.arrayContaining(['revenue', 'revenue_base']));
    expect(await names('EntityDefinitions?$select=LogicalName&$filter=ObjectTypeCode lt 3')).toEqual(
      expect.arrayContaining(['account', 'contact']),
    );
    const joined = await call(
      'GET',
      'EntityDefinitions?$select=SchemaName&$expand=Keys($select=KeyAttributes)&$filter=IsIntersect eq false',
    );
    expect(joined.json.value[0]).toHaveProperty('Keys');
  });

  test('is refused with what does not fit the type', async () => {
    const { call } = await openEnvironment();
    const refused: [string, string][] = [
      ['EntityDefinitions?$select=Nothing', '400 0x0'],
      ['EntityDefinitions?$select=logicalname', '400 0x0'],
      ['EntityDefinitions?$select=Attributes', '400 0x0'],
      ['EntityDefinitions?$expand=Nothing', '400 0x0'],
      [`${ACCOUNT}/Attributes?$expand=OptionSet`, '400 0x0'],
      [`${ACCOUNT}/Attributes?$select=MaxLength`, '400 0x0'],
      [`${ACCOUNT}/Attributes?$filter=AttributeType eq 'String'`, '400 0x0'],
      [`${ACCOUNT}/Attributes?$filter=AttributeType eq Microsoft.Dynamics.CRM.AttributeTypeCode'Text'`, '400 0x0'],
      [`${ACCOUNT}/Attributes?$filter=AttributeType eq Microsoft.Dynamics.CRM.Nothing'Text'`, '400 0x0'],
      ["EntityDefinitions?$filter=DisplayName eq 'Account'", '400 0x0'],
      ["EntityDefinitions?$filter=DisplayName/UserLocalizedLabel/Label eq 'Account'", '400 0x0'],
      ["EntityDefinitions?$filter=contains(LogicalName,'acc')", '501 0x8006088a'],
      ["EntityDefinitions?$filter=startswith(LogicalName,'acc')", '501 0x8006088a'],
      ['EntityDefinitions?$top=1', '400 0x80060888'],
      ['EntityDefinitions?$orderby=LogicalName', '400 0x80060888'],
      ['EntityDefinitions?$count=true', '400 0x80060888'],
      ['EntityDefinitions?$skip=1', '400 0x80060888'],
      ["GlobalOptionSetDefinitions?$filter=Name eq 'budgetstatus'", '405 0x80040315'],
      ["EntityDefinitions(LogicalName='account%27%27 or 1=1')", '404 0x80060888'],
    ];
    for (const [path, expected] of refused) {
      const { status, json } = await call('GET', path);
      expect([path, `${status} ${json?.error?.code}`]).toEqual([path, expected]);
    }
    expect((await call('GET', "EntityDefinitions?$filter=startswith(LogicalName,'x')")).json.error.message).toBe(
      'The "startswith" function isn\'t supported for Metadata Entities.',
    );
  });

  test('answers what no source confirms where that is asked for', async () => {
    const { call } = await openEnvironment({
      assumptions: { definitionOptions: 'answered', definitionTextFilters: 'answered' },
    });
    const { json } = await call(
      'GET',
      "EntityDefinitions?$select=LogicalName&$filter=startswith(LogicalName,'CON')&$orderby=LogicalName desc&$top=2&$count=true",
    );
    expect(json['@odata.count']).toBeGreaterThan(2);
    const names = json.value.map(({ LogicalName }: { LogicalName: string }) => LogicalName);
    expect(names).toHaveLength(2);
    expect(names).toEqual([...names].sort().reverse());
  });
});

test('relationships are listed for themselves, by cast, name and id', async () => {
  const { call } = await openEnvironment();
  const cast = 'Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata';
  const one = await call(
    'GET',
    `RelationshipDefinitions(SchemaName='Account_Tasks')/${cast}?$select=SchemaName,ReferencedEntity`,
  );
  expect(one.json).toMatchObject({ SchemaName: 'Account_Tasks', ReferencedEntity: 'account' });
  const all = await call(
    'GET',
    `RelationshipDefinitions/${cast}?$select=SchemaName&$filter=ReferencedEntity eq 'account' and ReferencingEntity eq 'task'`,
  );
  expect(all.json.value).toContainEqual({ SchemaName: 'Account_Tasks', MetadataId: one.json.MetadataId });
  const pairs = await call(
    'GET',
    'RelationshipDefinitions/Microsoft.Dynamics.CRM.ManyToManyRelationshipMetadata?$select=IntersectEntityName',
  );
  expect(pairs.json.value).toContainEqual(expect.objectContaining({ IntersectEntityName: 'accountleads' }));
  const below = await call('GET', `${ACCOUNT}/OneToManyRelationships(SchemaName='Account_Tasks')`);
  expect(below.json).toMatchObject({ MetadataId: one.json.MetadataId, RelationshipType: 'OneToManyRelationship' });
  const plain = await call('GET', 'RelationshipDefinitions?$select=SchemaName');
  expect(plain.json.value[0]['@odata.type']).toMatch(
    /^#Microsoft\.Dynamics\.CRM\.(One|Many)ToManyRelationshipMetadata$/,
  );
  expect((await call('GET', 'RelationshipDefinitions?$select=ReferencedEntity')).status).toBe(400);
});

test('global choices are read by name and id, and by the columns that use them', async () => {
  const { call } = await openEnvironment();
  const all = (await call('GET', 'GlobalOptionSetDefinitions?$select=Name')).json.value;
  expect(all.length).toBeGreaterThan(5);
  const choice = await call('GET', "GlobalOptionSetDefinitions(Name='budgetstatus')");
  expect(choice.json).toMatchObject({ Name: 'budgetstatus', IsGlobal: true, OptionSetType: 'Picklist' });
  const cast = await call(
    'GET',
    `GlobalOptionSetDefinitions(${choice.json.MetadataId})/Microsoft.Dynamics.CRM.OptionSetMetadata`,
  );
  expect(cast.json.Options.length).toBeGreaterThan(1);
  const lead = "EntityDefinitions(LogicalName='lead')/Attributes(LogicalName='budgetstatus')";
  const used = await call('GET', `${lead}/Microsoft.Dynamics.CRM.PicklistAttributeMetadata?$expand=GlobalOptionSet`);
  expect(used.json.GlobalOptionSet.Name).toBe('budgetstatus');
});

test('which tables have bulk messages is told by their message filters, and held to', async () => {
  const { call } = await openEnvironment();
  const supports = async (message: string, table: string) => {
    const filter = `sdkmessageid/name eq @message and primaryobjecttypecode eq @table&@message='${message}'&@table='${table}'`;
    return (await call('GET', `sdkmessagefilters?$select=sdkmessagefilterid&$filter=${filter}`)).json.value.length > 0;
  };
  for (const table of ['account', 'contact', 'msevtmgt_event']) {
    expect([await supports('CreateMultiple', table), await supports('UpdateMultiple', table)]).toEqual([true, true]);
    expect(await supports('UpsertMultiple', table)).toBe(false);
  }
  for (const table of ['team', 'queue']) expect(await supports('CreateMultiple', table)).toBe(false);
  const Targets = [{ '@odata.type': 'Microsoft.Dynamics.CRM.queue', name: 'q' }];
  const refused = await call('POST', 'queues/Microsoft.Dynamics.CRM.CreateMultiple', { Targets });
  expect(refused.json.error.code).toBe('0x80040800');
});

test('the version of the definitions stands with annotated rows and changes with each change', async () => {
  const { call } = await openEnvironment();
  const version = async () => {
    const headers = { Prefer: 'odata.include-annotations="Microsoft.Dynamics.CRM.globalmetadataversion"' };
    return (await call('GET', 'accounts?$top=1', undefined, headers)).json[
      '@Microsoft.Dynamics.CRM.globalmetadataversion'
    ];
  };
  const first = await version();
  await call('POST', 'accounts', { name: 'x' });
  expect(await version()).toBe(first);
  expect((await call('POST', `${ACCOUNT}/Attributes`, column('String', 'new_V'))).status).toBe(204);
  const second = await version();
  expect(Number(second)).toBeGreaterThan(Number(first));
  await call('POST', `${ACCOUNT}/Attributes`, column('String', 'new_V'));
  expect(await version()).toBe(second);
  expect((await call('GET', 'accounts')).json).not.toHaveProperty('@Microsoft.Dynamics.CRM.globalmetadataversion');
});

describe('an alternate key', () => {
  test('is Pending, then InProgress, then Active, and usable only then', async () => {
    const clock = heldClock();
    const environment = await openEnvironment({ clock });
    const { call, apiUrl } = environment;
    const status = async () =>
      (await call('GET', `${ACCOUNT}/Keys?$select=EntityKeyIndexStatus`)).json.value[0].EntityKeyIndexStatus;
    const created = await call('POST', `${ACCOUNT}/Keys`, KEY);
    expect(created.status).toBe(204);
    expect(created.headers.get('odata-entityid')).toMatch(
      new RegExp(`^${apiUrl.replaceAll('.', '\\.')}EntityDefinitions\\([0-9a-f-]{36}\\)/Keys\\([0-9a-f-]{36}\\)$`),
    );
    expect(await status()).toBe('Pending');
    expect((await call('GET', "accounts(accountnumber='x')")).status).toBe(400);
    clock.letGo();
    await expect.poll(status).toBe('InProgress');
    clock.letGo();
    await environment.idle();
    expect(await status()).toBe('Active');
    expect((await call('GET', "accounts(accountnumber='x')")).json.error.code).toBe('0x80060891');
  });

  test('fails on duplicate data and can be tried again once they are gone', async () => {
    const environment = await openEnvironment();
    const { call } = environment;
    await call('POST', 'accounts', { accountnumber: 'same' });
    const second = idOf(await call('POST', 'accounts', { accountnumber: 'SAME ' }));
    await call('POST', `${ACCOUNT}/Keys`, KEY);
    await environment.idle();
    const status = async () => (await call('GET', `${ACCOUNT}/Keys`)).json.value[0].EntityKeyIndexStatus;
    expect(await status()).toBe('Failed');
    await call('DELETE', `accounts(${second})`);
    const again = { EntityLogicalName: 'account', EntityKeyLogicalName: 'new_accountnumberkey' };
    expect((await call('POST', 'ReactivateEntityKey', again)).status).toBe(204);
    await environment.idle();
    expect(await status()).toBe('Active');
    const active = await call('POST', 'ReactivateEntityKey', again);
    expect(active.json.error).toEqual({
      code: '0x80060897',
      message: 'Reactivate entity key is only supported for failed job',
    });
  });

  test('is refused under a name or over columns that have one, and over columns that cannot be keys', async () => {
    const environment = await openEnvironment();
    const { call } = environment;
    await call('POST', `${ACCOUNT}/Keys`, KEY);
    const refused: [Record<string, unknown>, string][] = [
      [{ KeyAttributes: ['name'] }, '0x80060893'],
      [{ SchemaName: 'new_Other' }, '0x80060894'],
      [{ SchemaName: 'new_Other', KeyAttributes: ['description'] }, '0x8006088F'],
      [{ SchemaName: 'new_Other', KeyAttributes: ['nothing'] }, '0x8006088F'],
      [{ SchemaName: 'new_Other', KeyAttributes: ['websiteurl', 'name', 'emailaddress1'] }, '0x8006088F'],
      [{ SchemaName: 'new_not valid' }, '0x80044364'],
    ];
    for (const [change, code] of refused) {
      const answer = await call('POST', `${ACCOUNT}/Keys`, { ...KEY, ...change });
      expect({ status: answer.status, code: answer.json.error.code }).toEqual({ status: 400, code });
    }
  });

  test('can be deleted', async () => {
    const environment = await openEnvironment();
    const { call } = environment;
    await defineKey(environment, 'account', ['accountnumber']);
    const [{ MetadataId }] = (await call('GET', `${ACCOUNT}/Keys`)).json.value;
    expect((await call('DELETE', `${ACCOUNT}/Keys(${MetadataId})`)).status).toBe(204);
    expect((await call('GET', "accounts(accountnumber='x')")).status).toBe(400);
    await call('POST', 'accounts', { accountnumber: 'x' });
    expect((await call('POST', 'accounts', { accountnumber: 'x' })).status).toBe(204);
  });
});

test('rows and keys are there again after a restart, and versions go on', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dataverse-emulator-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const options = { auth: { kind: 'none' }, database: join(folder, 'rows.db'), keyStepMs: 1 } as const;
  const first = await startDataverse(options);
  await defineKey({ ...first, call: client(first.apiUrl) }, 'account', ['accountnumber']);
  const before = await client(first.apiUrl)(
    'POST',
    'accounts',
    { name: 'kept', accountnumber: 'a' },
    { Prefer: 'return=representation' },
  );
  await first.close();

  const second = await startDataverse(options);
  onTestFinished(() => second.close());
  const call = client(second.apiUrl);
  const found = await call('GET', "accounts(accountnumber='A')?$select=name");
  expect(found.json.name).toBe('kept');
  expect(found.headers.get('etag')).toBe(before.headers.get('etag'));
  await call('PATCH', "accounts(accountnumber='A')", { name: 'changed' });
  const version = (etag: string | null) => Number(/\d+/.exec(etag ?? '')?.[0]);
  const after = await call('GET', "accounts(accountnumber='A')");
  expect(version(after.headers.get('etag'))).toBeGreaterThan(version(before.headers.get('etag')));
});
