import { beforeAll, describe, expect, test } from 'vitest';
import { type Dataverse, startDataverse } from '../../../src/local/dataverse/server.ts';
import {
  BANK,
  balance,
  bankAccount,
  column,
  label,
  openBank,
  options,
  refusal,
  required,
} from './definition-bodies.ts';
import { type Call, client, defineKey, idOf } from './environment.ts';

const ANNOTATED = { Prefer: 'odata.include-annotations="*"' };

describe('the connector’s amount', () => {
  test('is defined with its base amount, currency and exchange rate, written, read and changed', async () => {
    const { call, apiUrl } = await openBank();
    const made = await call('POST', `${BANK}/Attributes`, balance);
    expect(made.status).toBe(204);
    expect(made.headers.get('odata-entityid')).toBe(`${apiUrl}${BANK}/Attributes(${idOf(made)})`);
    const cast = `${BANK}/Attributes(LogicalName='new_balance')/Microsoft.Dynamics.CRM.MoneyAttributeMetadata`;
    const { json } = await call('GET', cast);
    expect(json).toMatchObject({
      MetadataId: idOf(made),
      SchemaName: 'new_Balance',
      AttributeType: 'Money',
      AttributeTypeName: { Value: 'MoneyType' },
      PrecisionSource: 2,
      Precision: 2,
      DisplayName: { UserLocalizedLabel: { Label: 'Balance' } },
      Description: { UserLocalizedLabel: { Label: 'Enter the balance amount' } },
      RequiredLevel: { Value: 'None', CanBeChanged: true },
    });
    const base = await call('GET', `${BANK}/Attributes(LogicalName='new_balance_base')`);
    expect(base.json).toMatchObject({ CalculationOf: 'new_balance', IsValidForCreate: false });

    await call('POST', 'new_bankaccounts', { new_accountname: 'A', new_balance: 1234.5 });
    const rows = await call(
      'GET',
      'new_bankaccounts?$select=new_balance,new_balance_base&$filter=new_balance gt 1000',
      undefined,
      ANNOTATED,
    );
    expect(rows.text).toContain('"new_balance":1234.5000');
    expect(rows.json.value[0]).toMatchObject({
      new_balance_base: 1234.5,
      'new_balance@OData.Community.Display.V1.FormattedValue': '$1,234.50',
    });
    expect(rows.json.value[0]._transactioncurrencyid_value).toMatch(/^[0-9a-f-]{36}$/);

    const changed = { ...json, MaxValue: 2000, RequiredLevel: required('ApplicationRequired') };
    expect(
      (
        await call('PUT', `${BANK}/Attributes(${idOf(made)})`, {
          ...changed,
          '@odata.type': '#Microsoft.Dynamics.CRM.MoneyAttributeMetadata',
        })
      ).status,
    ).toBe(204);
    expect((await call('PUT', cast, changed)).status).toBe(204);
    expect((await call('GET', cast)).json).toMatchObject({
      MaxValue: 2000,
      RequiredLevel: { Value: 'ApplicationRequired' },
    });
    expect((await call('POST', 'new_bankaccounts', { new_balance: 2001 })).status).toBe(400);
    expect(refusal(await call('PATCH', cast, changed))).toBe('405 0x80060888');
    expect(refusal(await call('PUT', cast, { ...changed, LogicalName: 'other' }))).toBe('400 0x80040203');

    expect((await call('DELETE', `${BANK}/Attributes(LogicalName='new_balance')`)).status).toBe(204);
    const row = (await call('GET', 'new_bankaccounts')).json.value[0];
    expect(row).not.toHaveProperty('new_balance');
    expect(row).not.toHaveProperty('new_balance_base');
  });
});

describe('a new column', () => {
  let call: Call;
  let environment: Dataverse & { call: Call };

  beforeAll(async () => {
    const dataverse = await startDataverse({ auth: { kind: 'none' }, keyStepMs: 1 });
    environment = { ...dataverse, call: client(dataverse.apiUrl) };
    call = environment.call;
    await call('POST', 'EntityDefinitions', bankAccount());
    return () => dataverse.close();
  });

  const kinds: [type: string, name: string, more: Record<string, unknown>, value: unknown, filter: string][] = [
    ['String', 'new_Text', { MaxLength: 20, FormatName: { Value: 'Email' } }, 'a@b.c', "new_text eq 'A@B.C'"],
    ['Memo', 'new_Memo', { MaxLength: 500, Format: 'TextArea' }, 'one\r\ntwo', "contains(new_memo,'two')"],
    ['Integer', 'new_Whole', { MinValue: 0, MaxValue: 100, Format: 'None' }, 42, 'new_whole gt 41'],
    ['BigInt', 'new_Big', {}, 4_000_000_000, 'new_big eq 4000000000'],
    ['Decimal', 'new_Decimal', { MinValue: 0, MaxValue: 100, Precision: 1 }, 12.5, 'new_decimal eq 12.5'],
    ['Double', 'new_Double', { Precision: 3 }, 0.125, 'new_double lt 1'],
    ['Boolean', 'new_Flag', { DefaultValue: false }, true, 'new_flag eq true'],
    ['DateTime', 'new_Moment', { Format: 'DateAndTime' }, '2026-05-01T10:00:00Z', 'new_moment gt 2026-01-01T00:00:00Z'],
    [
      'DateTime',
      'new_Day',
      { Format: 'DateOnly', DateTimeBehavior: { Value: 'DateOnly' } },
      '2026-05-01',
      'new_day eq 2026-05-01',
    ],
    ['Picklist', 'new_Choice', { OptionSet: options('Bravo', 'Delta') }, 727_000_001, 'new_choice eq 727000001'],
    [
      'MultiSelectPicklist',
      'new_Choices',
      { AttributeType: 'Virtual', OptionSet: options('Appetizer', 'Entree') },
      '727000000,727000001',
      "Microsoft.Dynamics.CRM.ContainValues(PropertyName='new_choices',PropertyValues=['727000001'])",
    ],
  ];

  test.for(kinds)('of type %s (%s) is written, read and filtered', async ([type, name, more, value, filter]) => {
    const made = await call('POST', `${BANK}/Attributes`, column(type, name, more));
    expect(made.text).toBe('');
    const logicalName = name.toLowerCase();
    const path = `${BANK}/Attributes(LogicalName='${logicalName}')/Microsoft.Dynamics.CRM.${type}AttributeMetadata`;
    const expand = type.includes('Picklist') || type === 'Boolean' ? '?$expand=OptionSet,GlobalOptionSet' : '';
    const { OptionSet, ...plain } = more;
    const defined = await call('GET', `${path}${expand}`);
    expect(defined.json).toMatchObject({ ...plain, LogicalName: logicalName, MetadataId: idOf(made) });
    if (OptionSet) {
      expect(defined.json.OptionSet.Options[1]).toMatchObject({ Value: 727_000_001 });
      expect(defined.json.GlobalOptionSet).toBeNull();
    }
    const row = await call('POST', 'new_bankaccounts', { new_accountname: name, [logicalName]: value });
    expect(row.text).toBe('');
    const found = await call('GET', `new_bankaccounts?$select=${logicalName}&$filter=${encodeURIComponent(filter)}`);
    expect(found.json.value).toMatchObject([{ [logicalName]: value }]);
  });

  test('is refused with a wrong name, type, length, range, format or option', async () => {
    const refused: [Record<string, unknown>, string][] = [
      [column('String', 'new_AccountName'), '400 0x80047013'],
      [column('String', 'new_accountNAME'), '400 0x80047013'],
      [column('String', 'plain'), '400 0x80044366'],
      [column('String', 'new_a b'), '400 0x80044364'],
      [column('String', `new_${'x'.repeat(60)}`), '400 0x80044367'],
      [column('String', 'new_x', { MaxLength: 4001 }), '400 0x80090479'],
      [column('String', 'new_x', { MaxLength: 0 }), '400 0x80090479'],
      [column('String', 'new_x', { MaxLength: '5' }), '400 0x80048d19'],
      [column('Memo', 'new_x', { MaxLength: 1_048_577 }), '400 0x80090479'],
      [column('String', 'new_x', { FormatName: { Value: 'Fancy' } }), '400 0x80090485'],
      [column('Integer', 'new_x', { MaxValue: 2 ** 31 }), '400 0x8009049D'],
      [column('Integer', 'new_x', { MinValue: 5, MaxValue: 4 }), '400 0x8009049D'],
      [column('Decimal', 'new_x', { Precision: 11 }), '400 0x80040203'],
      [column('Double', 'new_x', { MaxValue: 1e12 }), '400 0x8009049D'],
      [column('Money', 'new_x', { PrecisionSource: 3 }), '400 0x80040203'],
      [column('DateTime', 'new_x', { DateTimeBehavior: { Value: 'Sometimes' } }), '400 0x80040203'],
      [
        column('DateTime', 'new_x', { Format: 'DateAndTime', DateTimeBehavior: { Value: 'DateOnly' } }),
        '400 0x80040203',
      ],
      [column('DateTime', 'new_x', { Format: 'Monthly' }), '400 0x80048d19'],
      [
        column('Picklist', 'new_x', { OptionSet: { ...options(), Options: [{ Value: 1 }, { Value: 1 }] } }),
        '400 0x80040203',
      ],
      [
        column('Picklist', 'new_x', { 'GlobalOptionSet@odata.bind': "/GlobalOptionSetDefinitions(Name='no')" }),
        '400 0x80048403',
      ],
      [column('Picklist', 'new_x', { OptionSet: options('a'), DefaultFormValue: 5 }), '400 0x80040203'],
      [column('Money', 'new_x', { AttributeType: 'String' }), '400 0x80040203'],
      [column('String', 'new_x', { RequiredLevel: required('SystemRequired') }), '400 0x80040203'],
      [column('String', 'new_x', { MinValue: 3 }), '400 0x80048d19'],
      [column('Lookup', 'new_x'), '400 0x80040203'],
      [column('Nothing', 'new_x'), '400 0x80048d19'],
      [{ SchemaName: 'new_x' }, '400 0x80040203'],
      [column('String', 'new_x', { DisplayName: 'text' }), '400 0x80048d19'],
      [
        column('String', 'new_x', { DisplayName: { LocalizedLabels: [{ Label: 7, LanguageCode: 1033 }] } }),
        '400 0x80048d19',
      ],
      [column('File', 'new_x'), '501 0x80040219'],
      [column('String', 'new_x', { AutoNumberFormat: 'A-{SEQNUM:4}' }), '501 0x80040219'],
    ];
    for (const [body, expected] of refused) {
      const answer = await call('POST', `${BANK}/Attributes`, body);
      expect([JSON.stringify(body), refusal(answer)]).toEqual([expect.anything(), expected]);
    }
    expect((await call('GET', `${BANK}/Attributes(LogicalName='new_x')`)).status).toBe(404);
  });

  test('of times becomes one of days once, with the days of its values', async () => {
    const behavior = (Value: string) => ({ Format: 'DateOnly', DateTimeBehavior: { Value } });
    await call('POST', `${BANK}/Attributes`, column('DateTime', 'new_When', behavior('UserLocal')));
    for (const time of ['2026-05-01T10:00:00Z', '1960-05-01T10:00:00Z']) {
      await call('POST', 'new_bankaccounts', { new_when: time });
    }
    const path = `${BANK}/Attributes(LogicalName='new_when')`;
    const change = (body: object) => call('PUT', path, { ...column('DateTime', 'new_When'), ...body });
    expect((await change(behavior('DateOnly'))).text).toBe('');
    const { json } = await call(
      'GET',
      'new_bankaccounts?$select=new_when&$filter=new_when le 2026-05-01&$orderby=new_when',
    );
    expect(json.value.map((row: Record<string, unknown>) => row['new_when'])).toEqual(['1960-05-01', '2026-05-01']);
    expect(refusal(await change(behavior('UserLocal')))).toBe('400 0x80040203');
  });

  test('cannot be deleted while a key uses it, and never when it names the rows or belongs to the platform', async () => {
    await call('POST', `${BANK}/Attributes`, column('String', 'new_Code', { MaxLength: 10 }));
    await defineKey(environment, 'new_bankaccount', ['new_code']);
    const path = `${BANK}/Attributes(LogicalName='new_code')`;
    expect(refusal(await call('DELETE', path))).toBe('400 0x8004F01F');
    const [key] = (await call('GET', `${BANK}/Keys`)).json.value;
    expect((await call('PATCH', "new_bankaccounts(new_code='k1')", { new_accountname: 'keyed' })).status).toBe(204);
    await call('DELETE', `${BANK}/Keys(${key.MetadataId})`);
    expect((await call('DELETE', path)).status).toBe(204);
    expect(refusal(await call('DELETE', `${BANK}/Attributes(LogicalName='new_accountname')`))).toBe('400 0x80047002');
    expect(refusal(await call('DELETE', `${BANK}/Attributes(LogicalName='createdon')`))).toBe('400 0x80047009');
    expect(
      refusal(await call('DELETE', "EntityDefinitions(LogicalName='account')/Attributes(LogicalName='fax')")),
    ).toBe('400 0x80047009');
  });

  test('can be added to a table that the emulator brings along', async () => {
    const account = "EntityDefinitions(LogicalName='account')";
    await call('POST', 'accounts', { name: 'before' });
    expect((await call('POST', `${account}/Attributes`, column('Integer', 'new_Score'))).status).toBe(204);
    await call('POST', 'accounts', { name: 'after', new_score: 7 });
    const { json } = await call('GET', 'accounts?$select=name,new_score&$orderby=new_score');
    expect(json.value.map((row: Record<string, unknown>) => row['new_score'])).toEqual([null, 7]);
    expect(
      refusal(
        await call('POST', "EntityDefinitions(LogicalName='systemuserroles')/Attributes", column('Integer', 'new_S')),
      ),
    ).toBe('400 0x80047008');
  });
});

test('options are added, renamed, ordered and taken away, local and global, and choices in use stay', async () => {
  const { call } = await openBank();
  const colors = {
    ...options('Red', 'Yellow'),
    Name: 'new_Colors',
    IsGlobal: true,
    DisplayName: label('Colors'),
    Description: label('Color Choice'),
  };
  const made = await call('POST', 'GlobalOptionSetDefinitions', colors);
  expect(made.status).toBe(204);
  expect(refusal(await call('POST', 'GlobalOptionSetDefinitions', colors))).toBe('400 0x80044363');
  const global = column('Picklist', 'new_Color', {
    'GlobalOptionSet@odata.bind': `/GlobalOptionSetDefinitions(${idOf(made)})`,
  });
  expect((await call('POST', `${BANK}/Attributes`, global)).status).toBe(204);
  const local = column('Picklist', 'new_Size', { OptionSet: options('Small', 'Large') });
  expect((await call('POST', `${BANK}/Attributes`, local)).status).toBe(204);

  const size = { EntityLogicalName: 'new_bankaccount', AttributeLogicalName: 'new_size' };
  const insert = await call('POST', 'InsertOptionValue', { ...size, Value: 727_000_009, Label: label('Huge') });
  expect(insert.json).toMatchObject({ NewOptionValue: 727_000_009 });
  expect(refusal(await call('POST', 'InsertOptionValue', { ...size, Value: 727_000_009, Label: label('x') }))).toBe(
    '400 0x80040203',
  );
  const named = await call('POST', 'InsertOptionValue', { OptionSetName: 'new_colors', Label: label('Green') });
  expect(named.json.NewOptionValue).toBe(727_000_002);
  const status = {
    EntityLogicalName: 'new_bankaccount',
    AttributeLogicalName: 'statuscode',
    StateCode: 1,
    Label: label('Frozen'),
  };
  expect((await call('POST', 'InsertStatusValue', status)).json.NewOptionValue).toBe(100_000_000);
  expect((await call('POST', 'new_bankaccounts', { new_color: 727_000_002, new_size: 727_000_009 })).status).toBe(204);

  expect(
    (await call('POST', 'UpdateOptionValue', { ...size, Value: 727_000_000, Label: label('Tiny'), MergeLabels: false }))
      .status,
  ).toBe(204);
  expect((await call('POST', 'OrderOption', { ...size, Values: [727_000_009, 727_000_001, 727_000_000] })).status).toBe(
    204,
  );
  expect(refusal(await call('POST', 'OrderOption', { ...size, Values: [727_000_009] }))).toBe('400 0x80040203');
  expect((await call('POST', 'DeleteOptionValue', { ...size, Value: 727_000_001 })).status).toBe(204);
  const labelsOf = async (name: string) => {
    const { json } = await call(
      'GET',
      `${BANK}/Attributes(LogicalName='${name}')/Microsoft.Dynamics.CRM.PicklistAttributeMetadata/OptionSet?$select=Options`,
    );
    return json.Options.map(
      (one: { Label: { UserLocalizedLabel: { Label: string } } }) => one.Label.UserLocalizedLabel.Label,
    );
  };
  expect(await labelsOf('new_size')).toEqual(['Huge', 'Tiny']);
  expect(await labelsOf('new_color')).toEqual(['Red', 'Yellow', 'Green']);
  expect((await call('POST', 'new_bankaccounts', { new_size: 727_000_001 })).status).toBe(400);

  const set = `GlobalOptionSetDefinitions(Name='new_colors')`;
  const definition = (await call('GET', `${set}/Microsoft.Dynamics.CRM.OptionSetMetadata`)).json;
  expect(definition.Options).toHaveLength(3);
  const renamed = { ...definition, DisplayName: label('Paint'), Options: [] };
  expect((await call('PUT', set, renamed)).status).toBe(204);
  const after = (await call('GET', set)).json;
  expect(after.DisplayName.UserLocalizedLabel.Label).toBe('Paint');
  expect(after.Options).toHaveLength(3);
  const inUse = await call('DELETE', set);
  expect(refusal(inUse)).toBe('400 0x80048417');
  expect(inUse.json.error.message).toContain('new_bankaccount');
  await call('DELETE', `${BANK}/Attributes(LogicalName='new_color')`);
  expect((await call('DELETE', set)).status).toBe(204);
  expect((await call('GET', set)).status).toBe(404);
  for (const [action, body] of [
    ['PublishXml', { ParameterXml: '<importexportxml><entities /></importexportxml>' }],
    ['PublishAllXml', undefined],
  ] as const) {
    expect((await call('POST', action, body)).status).toBe(204);
  }
  expect((await call('GET', 'PublishAllXml')).status).toBe(404);
});
