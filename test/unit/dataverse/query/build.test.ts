import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { buildQuery, type RowSelection } from '../../../../src/dataverse/query/build.ts';
import type { Navigation } from '../../../../src/dataverse/table.ts';
import { queryPath } from '../../../../src/dataverse/wire/query.ts';
import { awkwardText } from '../awkward-text.ts';
import { column, fakeMetadata } from '../fake-metadata.ts';

const one = (property: string, table: string, lookup: string): Navigation => ({
  property,
  table,
  collection: false,
  column: lookup,
});
const many = (property: string, table: string): Navigation => ({ property, table, collection: true });

const metadata = fakeMetadata(
  {
    account: {
      columns: [
        column('name', 'String'),
        column('revenue', 'Money'),
        column('createdon', 'DateTime'),
        column('isprivate', 'Boolean'),
        column('primarycontactid', 'Lookup'),
        column('new_agentid', 'Lookup'),
        column('masterid', 'Lookup'),
      ],
      navigations: [
        one('primarycontactid', 'contact', 'primarycontactid'),
        one('new_AgentId', 'contact', 'new_agentid'),
        one('masterid', 'systemuser', 'masterid'),
        many('Account_Tasks', 'task'),
        many('contact_customer_accounts', 'contact'),
        many('Account_Users', 'systemuser'),
      ],
    },
    contact: {
      columns: [column('fullname', 'String'), column('parentcustomerid', 'Customer')],
      navigations: [
        one('parentcustomerid_account', 'account', 'parentcustomerid'),
        one('parentcustomerid_contact', 'contact', 'parentcustomerid'),
        many('Contact_Tasks', 'task'),
      ],
    },
    task: { columns: [column('subject', 'String'), column('statecode', 'State')] },
  },
  ['systemuser'],
);

async function build(selection: RowSelection) {
  return buildQuery(metadata, await metadata.shape('account'), selection);
}
const filterOf = async (filter: string) => (await build({ filter })).parts.filter;
const expandOf = async (expand: string) => (await build({ expand })).parts.expand;

const GUID = '6d81597f-0f9f-4711-8122-000d3aa2331c';

describe('a filter', () => {
  test.each([
    ["name eq 'A'", "name eq 'A'"],
    ["name  eq\n'O''Brien'", "name eq 'O''Brien'"],
    [`primarycontactid eq ${GUID}`, `_primarycontactid_value eq ${GUID}`],
    [`_primarycontactid_value eq ${GUID}`, `_primarycontactid_value eq ${GUID}`],
    ["primarycontactid/fullname eq 'x'", "primarycontactid/fullname eq 'x'"],
    ['new_agentid/fullname ne null', 'new_AgentId/fullname ne null'],
    [
      'primarycontactid/parentcustomerid_account/revenue gt 5',
      'primarycontactid/parentcustomerid_account/revenue gt 5',
    ],
    [
      'revenue gt -1.5e3 and createdon lt 2026-01-01T10:00:00Z',
      'revenue gt -1.5e3 and createdon lt 2026-01-01T10:00:00Z',
    ],
    ['name eq null or (revenue gt 1 and not (revenue gt 2))', 'name eq null or (revenue gt 1 and not (revenue gt 2))'],
    ['(name eq null or revenue gt 1) and revenue lt 2', '(name eq null or revenue gt 1) and revenue lt 2'],
    ['not isprivate', 'not (isprivate)'],
    ["contains(name,'a') or startswith(name, 'b')", "contains(name,'a') or startswith(name,'b')"],
    ['Account_Tasks/any()', 'Account_Tasks/any()'],
    [
      "Account_Tasks/all(t: t/subject eq 'x' and revenue gt 1)",
      "Account_Tasks/all(t:t/subject eq 'x' and revenue gt 1)",
    ],
    [
      "contact_customer_accounts/any(c:c/Contact_Tasks/any(t:t/statecode eq 1 or c/fullname eq 'x'))",
      "contact_customer_accounts/any(c:c/Contact_Tasks/any(t:t/statecode eq 1 or c/fullname eq 'x'))",
    ],
    [
      "In(PropertyName='name',PropertyValues=['a','b'])",
      `Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=["a","b"])`,
    ],
    [
      `Microsoft.Dynamics.CRM.Between(PropertyName='revenue',PropertyValues=["1", 2])`,
      `Microsoft.Dynamics.CRM.Between(PropertyName='revenue',PropertyValues=["1","2"])`,
    ],
    [
      "LastXDays(PropertyName='createdon',PropertyValue=7)",
      "Microsoft.Dynamics.CRM.LastXDays(PropertyName='createdon',PropertyValue=7)",
    ],
    [
      "EqualUserId(PropertyName='_primarycontactid_value')",
      "Microsoft.Dynamics.CRM.EqualUserId(PropertyName='primarycontactid')",
    ],
  ])('%s is sent as %s', async (filter, sent) => {
    expect(await filterOf(filter)).toBe(sent);
  });

  test.each([
    ['', 'filterInvalid'],
    ['name', undefined],
    ['name eq', 'filterInvalid'],
    ["name eq 'A", 'filterInvalid'],
    ["name eq 'A' junk", 'filterInvalid'],
    ["name eq 'A')", 'filterInvalid'],
    ["name eq 'A'&$select=revenue", 'filterInvalid'],
    ["name eq 'A';$top=1", 'filterInvalid'],
    ["name eq 'A'#", 'filterInvalid'],
    ['name eq "A"', 'filterInvalid'],
    ['name eq @p', 'filterInvalid'],
    ['nmae eq 1', 'columnUnknown'],
    ['__proto__ eq 1', 'columnUnknown'],
    ['constructor eq 1', 'columnUnknown'],
    ['revenue add 1 eq 2', 'filterInvalid'],
    ['tolower(name) eq 1', 'filterInvalid'],
    ['$it/name eq 1', 'navigationUnknown'],
    ['Account_Tasks/subject eq 1', 'filterInvalid'],
    ['primarycontactid/any(x:x/fullname eq 1)', 'filterInvalid'],
    ['primarycontactid/nobody eq 1', 'columnUnknown'],
    ['primarycontact/fullname eq 1', 'navigationUnknown'],
    ["In(PropertyName='nope',PropertyValues=['a'])", 'columnUnknown'],
    ["In(PropertyValues=['a'])", 'filterInvalid'],
    ["In(PropertyName='name',PropertyName='name')", 'filterInvalid'],
    ['In(PropertyName=name)', 'filterInvalid'],
    [`${'('.repeat(60)}name eq 1${')'.repeat(60)}`, 'filterInvalid'],
    [`${'not '.repeat(60)}isprivate`, 'filterInvalid'],
    [`${'primarycontactid/parentcustomerid_account/'.repeat(40)}name eq 1`, 'filterInvalid'],
  ])('%s ends with %s', async (filter, code) => {
    const fault = await filterOf(filter).then(
      () => undefined,
      (error) => error,
    );
    expect(fault?.code).toBe(code);
    if (fault) expect(fault.faults).toMatchObject([{ path: 'filter' }]);
  });

  test('with what is no text is refused', async () => {
    for (const filter of ["name eq 'A' \u0000", "name eq '\ud800'"]) {
      await expect(filterOf(filter)).rejects.toMatchObject({ code: 'filterInvalid' });
    }
  });

  test('longer than any address is refused before it is read', async () => {
    await expect(filterOf(`name eq '${'x'.repeat(40_000)}'`)).rejects.toMatchObject({ code: 'filterInvalid' });
  });

  test('that reaches a table that the connection may not touch is refused, however it gets there', async () => {
    for (const filter of [
      "masterid/fullname eq 'x'",
      'Account_Users/any()',
      'contact_customer_accounts/any(c:c/parentcustomerid_account/masterid/x eq 1)',
    ]) {
      await expect(filterOf(filter)).rejects.toMatchObject({ code: 'tableNotAllowed' });
    }
  });

  test('names what was nearly meant', async () => {
    await expect(filterOf('nmae eq 1')).rejects.toMatchObject({ hint: 'Did you mean name?' });
    await expect(filterOf("account_tasks/any(t:t/subject eq 'x')")).rejects.toMatchObject({
      hint: expect.stringMatching(/^Did you mean Account_Tasks/),
    });
  });

  test('means the same when what was made of it is read again', async () => {
    const literal = fc.oneof(
      awkwardText.map((text) => `'${text.replaceAll("'", "''")}'`),
      fc.integer().map(String),
      fc.constantFrom('null', 'true', GUID, '2026-05-31', '2026-05-31T10:00:00.5+02:00'),
    );
    const path = fc.constantFrom('name', 'revenue', 'primarycontactid', 'new_agentid/fullname');
    const leaf = fc.oneof(
      fc.tuple(path, fc.constantFrom('eq', 'ne', 'gt', 'le'), literal).map((parts) => parts.join(' ')),
      fc.tuple(path, literal).map(([left, right]) => `contains(${left}, ${right})`),
      literal.map((text) => `Account_Tasks/any(t: t/subject eq ${text})`),
    );
    const { filter } = fc.letrec<{ filter: string }>((tie) => ({
      filter: fc.oneof(
        { maxDepth: 4, withCrossShrink: true },
        leaf,
        fc.tuple(tie('filter'), fc.constantFrom('and', 'or'), tie('filter')).map(([a, op, b]) => `(${a}) ${op} (${b})`),
        tie('filter').map((inner) => `not (${inner})`),
      ),
    }));
    await fc.assert(
      fc.asyncProperty(filter, async (text) => {
        const sent = (await filterOf(text)) ?? '';
        expect(await filterOf(sent)).toBe(sent);
      }),
      { numRuns: 150 },
    );
  });

  test('ends where it should in the address, whatever text is compared', async () => {
    await fc.assert(
      fc.asyncProperty(awkwardText, async (text) => {
        const { parts } = await build({
          select: ['name'],
          filter: `name eq '${text.replaceAll("'", "''")}'`,
          orderBy: 'name',
        });
        const path = queryPath('accounts', parts);
        expect(path).toMatch(/^[\x21-\x7e]+$/);
        const query = new URL(path, 'https://x/').searchParams;
        expect([...query.keys()]).toEqual(['$select', '$filter', '$orderby']);
        expect(query.get('$filter')).toBe(`name eq '${text.replaceAll("'", "''")}'`);
      }),
      { numRuns: 150 },
    );
  });
});

describe('selected and ordered columns', () => {
  test('are given by logical name', async () => {
    const { parts, readsLookups } = await build({
      select: ['name', 'primarycontactid', 'name'],
      orderBy: 'new_agentid desc, name',
    });
    expect(parts).toMatchObject({
      select: 'name,_primarycontactid_value',
      orderBy: '_new_agentid_value desc,name asc',
    });
    expect(readsLookups).toBe(true);
    expect((await build({ select: ['name'] })).readsLookups).toBe(false);
    expect((await build({})).readsLookups).toBe(true);
  });

  test.each<[RowSelection, string]>([
    [{ select: ['nope'] }, 'columnUnknown'],
    [{ select: ['name,revenue&$top=1'] }, 'columnUnknown'],
    [{ select: Array.from({ length: 1001 }, () => 'name') }, 'selectInvalid'],
    [{ orderBy: 'nope' }, 'columnUnknown'],
    [{ orderBy: 'name sideways' }, 'orderByInvalid'],
    [{ orderBy: '' }, 'orderByInvalid'],
    [{ orderBy: 'Account_Tasks/subject' }, 'orderByInvalid'],
  ])('%j ends with %s', async (selection, code) => {
    await expect(build(selection)).rejects.toMatchObject({ code });
  });
});

describe('expand', () => {
  test.each([
    ['primarycontactid', 'primarycontactid'],
    ['new_agentid($select=fullname,parentcustomerid)', 'new_AgentId($select=fullname,_parentcustomerid_value)'],
    [
      "Account_Tasks(select=subject; filter=subject eq 'a;b)'; orderBy=subject desc; top=5),primarycontactid",
      "Account_Tasks($select=subject;$filter=subject eq 'a;b)';$orderby=subject desc;$top=5),primarycontactid",
    ],
    [
      'primarycontactid($select=fullname;$expand=parentcustomerid_account($select=name),Contact_Tasks)',
      'primarycontactid($select=fullname;$expand=parentcustomerid_account($select=name),Contact_Tasks)',
    ],
  ])('%s is sent as %s', async (expand, sent) => {
    expect(await expandOf(expand)).toBe(sent);
  });

  test.each([
    ['', 'expandInvalid'],
    ['nope', 'navigationUnknown'],
    ['primarycontactid(', 'expandInvalid'],
    ['primarycontactid()', 'expandInvalid'],
    ['primarycontactid($levels=2)', 'expandInvalid'],
    ['primarycontactid($select=fullname;$select=fullname)', 'expandInvalid'],
    ['primarycontactid,primarycontactid', 'expandInvalid'],
    ['primarycontactid($select=nope)', 'columnUnknown'],
    ['primarycontactid($filter=nope eq 1)', 'columnUnknown'],
    ['primarycontactid/$ref', 'expandInvalid'],
    ['Account_Tasks($top=0)', 'expandInvalid'],
    ['Account_Tasks($top=5001)', 'expandInvalid'],
    ['masterid', 'tableNotAllowed'],
    ['primarycontactid($expand=parentcustomerid_account($expand=Account_Users))', 'tableNotAllowed'],
    ['primarycontactid($expand=parentcustomerid_account($filter=masterid/x eq 1))', 'tableNotAllowed'],
    [
      `${'primarycontactid($expand=parentcustomerid_account($expand='.repeat(8)}primarycontactid${'))'.repeat(8)}`,
      'expandInvalid',
    ],
  ])('%s ends with %s', async (expand, code) => {
    await expect(expandOf(expand)).rejects.toMatchObject({ code });
  });

  test('tells what tables its rows are of', async () => {
    const { expansions } = await build({ expand: 'primarycontactid($expand=Contact_Tasks)' });
    const contact = expansions.get('primarycontactid');
    expect(contact?.table.logicalName).toBe('contact');
    expect(contact?.expanded.get('Contact_Tasks')?.table.logicalName).toBe('task');
  });
});
