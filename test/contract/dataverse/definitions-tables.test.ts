import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startDataverse } from '../../../src/local/dataverse/server.ts';
import { BANK, balance, bankAccount, column, label, oneToMany, openBank, refusal } from './definition-bodies.ts';
import { client, idOf, openEnvironment } from './environment.ts';

describe('a new table', () => {
  test('holds rows at once, with the platform’s columns, privileges, messages and set', async () => {
    const { call, apiUrl } = await openEnvironment();
    const made = await call('POST', 'EntityDefinitions', bankAccount());
    expect(made.status).toBe(204);
    const id = idOf(made);
    expect(made.headers.get('odata-entityid')).toBe(`${apiUrl}EntityDefinitions(${id})`);

    const { json } = await call('GET', `${BANK}?$expand=Attributes($select=LogicalName),ManyToOneRelationships`);
    expect(json).toMatchObject({
      MetadataId: id,
      EntitySetName: 'new_bankaccounts',
      PrimaryIdAttribute: 'new_bankaccountid',
      PrimaryNameAttribute: 'new_accountname',
      OwnershipType: 'UserOwned',
      TableType: 'Standard',
      IsPrivate: false,
      IsCustomEntity: true,
      DisplayName: { UserLocalizedLabel: { Label: 'Bank Account', LanguageCode: 1033 } },
    });
    expect(json.ObjectTypeCode).toBeGreaterThan(10_000);
    expect(json.Privileges.map(({ Name }: { Name: string }) => Name)).toContain('prvCreatenew_BankAccount');
    const names = json.Attributes.map(({ LogicalName }: { LogicalName: string }) => LogicalName);
    expect(names).toEqual(expect.arrayContaining(['new_bankaccountid', 'statecode', 'ownerid', 'versionnumber']));
    expect(names).not.toContain('msevtmgt_eventid');

    const row = await call('POST', 'new_bankaccounts', { new_accountname: 'First' });
    expect(row.status).toBe(204);
    const rows = await call('GET', 'new_bankaccounts?$expand=ownerid&$filter=statecode eq 0');
    expect(rows.json.value).toMatchObject([{ new_accountname: 'First', statuscode: 1 }]);
    expect(
      (await call('GET', `systemusers(${rows.json.value[0]._owninguser_value})/createdby_new_bankaccount`)).json.value,
    ).toHaveLength(1);

    const filters = await call(
      'GET',
      "sdkmessagefilters?$filter=sdkmessageid/name eq @m and primaryobjecttypecode eq @t&@m='CreateMultiple'&@t='new_bankaccount'",
    );
    expect(filters.json.value).toHaveLength(1);
    const Targets = [{ '@odata.type': 'Microsoft.Dynamics.CRM.new_bankaccount', new_accountname: 'Many' }];
    const many = await call('POST', 'new_bankaccounts/Microsoft.Dynamics.CRM.CreateMultiple', { Targets });
    expect(many.json.Ids).toHaveLength(1);
    expect(JSON.stringify((await call('GET', '')).json)).toContain('new_bankaccounts');
  });

  test('that belongs to the organization has no owner', async () => {
    const { call } = await openEnvironment();
    await call(
      'POST',
      'EntityDefinitions',
      bankAccount({ OwnershipType: 'OrganizationOwned', HasNotes: true, HasActivities: true }),
    );
    await call('POST', 'new_bankaccounts', { new_accountname: 'Ours' });
    const { json } = await call('GET', 'new_bankaccounts');
    expect(json.value[0]).not.toHaveProperty('_ownerid_value');
    const id = json.value[0]['new_bankaccountid'];
    expect(json.value[0]._organizationid_value).toMatch(/^[0-9a-f-]{36}$/);
    const note = {
      subject: 'n',
      'objectid_new_bankaccount@odata.bind': `/new_bankaccounts(${id})`,
    };
    expect((await call('POST', 'annotations', note)).status).toBe(204);
    const notes = await call('GET', `new_bankaccounts(${id})/new_bankaccount_Annotations`);
    expect(notes.json.value).toHaveLength(1);
    const task = { subject: 't', 'regardingobjectid_new_bankaccount_task@odata.bind': `/new_bankaccounts(${id})` };
    expect((await call('POST', 'tasks', task)).status).toBe(204);
    expect((await call('GET', `new_bankaccounts(${id})/new_bankaccount_Tasks`)).json.value).toHaveLength(1);
    // Lookups that can point elsewhere do not keep the table from being deleted.
    expect((await call('DELETE', BANK)).status).toBe(204);
    for (const set of ['annotations', 'tasks']) expect((await call('GET', set)).json.value).toEqual([]);
    const objectid = "EntityDefinitions(LogicalName='annotation')/Attributes(LogicalName='objectid')";
    const targets = await call('GET', `${objectid}/Microsoft.Dynamics.CRM.LookupAttributeMetadata?$select=Targets`);
    expect(targets.json.Targets).toContain('account');
    expect(targets.json.Targets).not.toContain('new_bankaccount');
  });

  test('keeps what is changed of it, and only labels of the languages that are sent unless they are merged', async () => {
    const { call } = await openBank();
    const before = (await call('GET', BANK)).json;
    const german = { ...before, DisplayName: label('Bankkonto', 1031) };
    const merged = await call('PUT', BANK, german, { 'MSCRM.MergeLabels': 'true', 'If-Match': '*' });
    expect(merged.status).toBe(204);
    const labels = async () =>
      (await call('GET', `${BANK}?$select=DisplayName`)).json.DisplayName.LocalizedLabels.map(
        ({ Label }: { Label: string }) => Label,
      );
    expect(await labels()).toEqual(['Bank Account', 'Bankkonto']);
    await call('PUT', BANK, german);
    expect(await labels()).toEqual(['Bankkonto']);
    expect(refusal(await call('PATCH', BANK, { DisplayName: label('x') }))).toBe('405 0x80060888');
    expect(refusal(await call('PUT', BANK, { ...before, OwnershipType: 'OrganizationOwned' }))).toBe('400 0x80040203');
    expect(refusal(await call('PUT', BANK, { ...before, Nothing: 1 }))).toBe('400 0x80048d19');
  });

  test('goes away with its rows unless another table points to it', async () => {
    const { call } = await openBank();
    await call('POST', 'new_bankaccounts', { new_accountname: 'x' });
    const lookup = {
      ...oneToMany('new_bankaccount'),
      SchemaName: 'new_bank_account',
      ReferencingEntity: 'account',
      Lookup: { '@odata.type': 'Microsoft.Dynamics.CRM.LookupAttributeMetadata', SchemaName: 'new_Bank' },
    };
    const made = await call('POST', 'RelationshipDefinitions', lookup);
    expect(made.status).toBe(204);
    const blocked = await call('DELETE', BANK);
    expect(refusal(blocked)).toBe('400 0x8004F01F');
    expect(blocked.json.error.message).toContain('referenced by 1 other components');
    expect((await call('DELETE', `RelationshipDefinitions(${idOf(made)})`)).status).toBe(204);
    expect((await call('DELETE', BANK)).status).toBe(204);
    expect((await call('GET', BANK)).status).toBe(404);
    expect((await call('GET', 'new_bankaccounts')).status).toBe(404);
    expect((await call('GET', "privileges?$filter=contains(name,'BankAccount')")).json.value).toEqual([]);
    // The same name can be used again, with nothing of what was.
    expect((await call('POST', 'EntityDefinitions', bankAccount())).status).toBe(204);
    expect((await call('GET', 'new_bankaccounts')).json.value).toEqual([]);
  });

  test('is refused under a name that is taken or no name, without a primary name, and of other kinds', async () => {
    const { call } = await openBank();
    const name = (SchemaName: unknown) => bankAccount({ SchemaName });
    const refused: [unknown, string][] = [
      [bankAccount(), '400 0x80044363'],
      [name('account'), '400 0x80044366'],
      [name('Bank'), '400 0x80044366'],
      [name('mscrm_Bank'), '400 0x80044366'],
      [name('sqlite_Bank'), '400 0x80044366'],
      [name('1new_Bank'), '400 0x80044365'],
      [name('new_Bänk'), '400 0x80044364'],
      [name('new_x"; DROP TABLE account; --'), '400 0x80044364'],
      [name("new_x' OR 1=1"), '400 0x80044364'],
      [name('__proto__'), '400 0x80044365'],
      [name(`new_${'x'.repeat(200)}`), '400 0x80044367'],
      [name(undefined), '400 0x80044366'],
      [name(7), '400 0x80048d19'],
      [bankAccount({ SchemaName: 'new_B', Attributes: [] }), '400 0x80040203'],
      [
        bankAccount({ SchemaName: 'new_B', Attributes: [column('Memo', 'new_N', { IsPrimaryName: true })] }),
        '400 0x8004700e',
      ],
      [bankAccount({ SchemaName: 'new_B', OwnershipType: 'BusinessOwned' }), '400 0x8004700d'],
      [bankAccount({ SchemaName: 'new_B', OwnershipType: 'Nobody' }), '400 0x80048d19'],
      [bankAccount({ SchemaName: 'new_B', DisplayName: undefined }), '400 0x80048d19'],
      [bankAccount({ SchemaName: 'new_B', EntitySetName: 'accounts' }), '400 0x80044363'],
      [bankAccount({ SchemaName: 'new_B', EntitySetName: 'a"b' }), '400 0x80048d19'],
      [bankAccount({ SchemaName: 'new_B', TableType: 'Elastic' }), '501 0x80040219'],
      [bankAccount({ SchemaName: 'new_B', IsActivity: true }), '501 0x80040219'],
      ['{"SchemaName":"new_B","__proto__":{"x":1}}', '400 0x80048d19'],
      [`{"DisplayName":${'['.repeat(50_000)}${']'.repeat(50_000)}}`, '400 0x80048d19'],
      [`{"Attributes":${'[{"Attributes":'.repeat(2_000)}1${'}]'.repeat(2_000)}}`, '400 0x80048d19'],
      [[1], '400 0x80048d19'],
      ['{"SchemaName"', '400 0x80048d19'],
    ];
    for (const [body, expected] of refused) {
      const answer = await call('POST', 'EntityDefinitions', body);
      expect([JSON.stringify(body).slice(0, 200), refusal(answer)]).toEqual([expect.anything(), expected]);
    }
    const long = bankAccount({ SchemaName: 'new_B', DisplayName: label('x'.repeat(10_000_000)) });
    expect(refusal(await call('POST', 'EntityDefinitions', long))).toBe('400 0x80044331');
    expect((await call('GET', "EntityDefinitions(LogicalName='new_b')")).status).toBe(404);
    expect(refusal(await call('DELETE', "EntityDefinitions(LogicalName='account')"))).toBe('400 0x8004F032');
  });
});

test('what is made in a solution is part of it and has its prefix', async () => {
  const { call } = await openEnvironment();
  const publisher = {
    uniquename: 'contoso',
    friendlyname: 'Contoso',
    customizationprefix: 'cont',
    customizationoptionvalueprefix: 72_700,
  };
  const publisherId = idOf(await call('POST', 'publishers', publisher));
  const solution = {
    uniquename: 'sample',
    friendlyname: 'Sample',
    version: '1.0',
    'publisherid@odata.bind': `/publishers(${publisherId})`,
  };
  const solutionId = idOf(await call('POST', 'solutions', solution));
  const inside = { 'MSCRM.SolutionUniqueName': 'sample' };
  expect(refusal(await call('POST', 'EntityDefinitions', bankAccount(), inside))).toBe('400 0x80044366');
  const account = "EntityDefinitions(LogicalName='account')";
  const choice = column('Picklist', 'cont_Kind', {
    OptionSet: { Options: [{ Label: label('One') }, { Label: label('Two') }] },
  });
  const made = await call('POST', `${account}/Attributes`, choice, inside);
  expect(made.status).toBe(204);
  const options = await call(
    'GET',
    `${account}/Attributes(LogicalName='cont_kind')/Microsoft.Dynamics.CRM.PicklistAttributeMetadata/OptionSet`,
  );
  expect(options.json.Options.map(({ Value }: { Value: number }) => Value)).toEqual([727_000_000, 727_000_001]);
  const components = `solutioncomponents?$select=objectid,componenttype&$filter=_solutionid_value eq ${solutionId}`;
  expect((await call('GET', components)).json.value).toMatchObject([{ componenttype: 2, objectid: idOf(made) }]);
  await call('DELETE', `${account}/Attributes(LogicalName='cont_kind')`);
  expect((await call('GET', components)).json.value).toEqual([]);
  expect((await call('POST', `${account}/Attributes`, choice, { 'MSCRM.SolutionUniqueName': 'none' })).status).toBe(
    404,
  );
});

test('definitions are there again after a restart, and undone ones are not', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dataverse-emulator-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const start = { auth: { kind: 'none' }, database: join(folder, 'rows.db'), keyStepMs: 1 } as const;
  const first = await startDataverse(start);
  const before = client(first.apiUrl);
  await before('POST', 'EntityDefinitions', bankAccount());
  await before('POST', `${BANK}/Attributes`, balance);
  await before('POST', "EntityDefinitions(LogicalName='contact')/Attributes", column('String', 'new_Kept'));
  await before('DELETE', "EntityDefinitions(LogicalName='msevtmgt_event')");
  await before('POST', 'new_bankaccounts', { new_accountname: 'Kept', new_balance: 5 });
  const batch = [
    '--b',
    'Content-Type: multipart/mixed; boundary=c',
    '',
    '--c',
    'Content-Type: application/http',
    'Content-Transfer-Encoding: binary',
    'Content-ID: 1',
    '',
    `POST ${BANK}/Attributes HTTP/1.1`,
    'Content-Type: application/json',
    '',
    JSON.stringify(column('String', 'new_Undone')),
    '--c',
    'Content-Type: application/http',
    'Content-Transfer-Encoding: binary',
    'Content-ID: 2',
    '',
    'POST accounts HTTP/1.1',
    'Content-Type: application/json',
    '',
    '{"nothing":1}',
    '--c--',
    '--b--',
    '',
  ].join('\r\n');
  const undone = await before('POST', '$batch', batch, { 'Content-Type': 'multipart/mixed; boundary=b' });
  expect(undone.status).toBe(400);
  expect((await before('GET', `${BANK}/Attributes(LogicalName='new_undone')`)).status).toBe(404);
  expect((await before('POST', `${BANK}/Attributes`, column('Integer', 'new_Undone'))).status).toBe(204);
  await first.close();

  const second = await startDataverse(start);
  onTestFinished(() => second.close());
  const after = client(second.apiUrl);
  expect((await after('GET', 'new_bankaccounts?$select=new_accountname,new_balance')).json.value).toMatchObject([
    { new_accountname: 'Kept', new_balance: 5 },
  ]);
  expect((await after('POST', 'contacts', { lastname: 'x', new_kept: 'y' })).status).toBe(204);
  expect((await after('POST', 'new_bankaccounts', { new_undone: 3 })).status).toBe(204);
  expect((await after('GET', 'msevtmgt_events')).status).toBe(404);
});
