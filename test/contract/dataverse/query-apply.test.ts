import { describe, expect, test } from 'vitest';
import { create, queryEnvironment } from './query-environment.ts';

const FORMATTED = 'OData.Community.Display.V1.FormattedValue';

/** Four accounts of two contacts and one without; the limit of an aggregation is six rows. */
const environment = queryEnvironment({ aggregateMax: 6 }, async (call) => {
  const ada = await create(call, 'contacts', { firstname: 'Ada', lastname: 'Lovelace' });
  const alan = await create(call, 'contacts', { firstname: 'Alan', lastname: 'Turing' });
  const rows = [
    { name: 'a', revenue: 10_000, numberofemployees: 1, address1_city: 'Rome', contact: ada },
    { name: 'b', revenue: 430_000, numberofemployees: 2, address1_city: 'rome ', contact: ada },
    { name: 'c', revenue: 0.25, numberofemployees: 2, industrycode: 1, contact: alan },
    { name: 'd' },
  ];
  const ids: string[] = [];
  for (const { contact, ...row } of rows) {
    const bind = contact === undefined ? {} : { 'primarycontactid@odata.bind': `/contacts(${contact})` };
    ids.push(await create(call, 'accounts', { ...row, ...bind }));
  }
  await call('PATCH', `accounts(${ids[3]})`, { statecode: 1, statuscode: 2 });
  const parent = ids[0] ?? '';
  for (const subject of ['t1', 't2']) {
    await create(call, 'tasks', { subject, 'regardingobjectid_account_task@odata.bind': `/accounts(${parent})` });
  }
  return { ada, alan, parent };
});

const apply = async (text: string, prefer?: string, set = 'accounts') => {
  const headers = prefer === undefined ? {} : { Prefer: `odata.include-annotations="${prefer}"` };
  const answer = await environment.call('GET', `${set}?$apply=${text}`, undefined, headers as Record<string, string>);
  if (answer.status !== 200) throw new Error(answer.text);
  return answer.json;
};

describe('$apply', () => {
  test('groups by choices, with their labels when they are asked for', async () => {
    const json = await apply('groupby((statecode,statuscode))', FORMATTED);
    expect(json).toEqual({
      '@odata.context': expect.stringMatching(/\/\$metadata#accounts$/),
      value: [
        { [`statecode@${FORMATTED}`]: 'Active', statecode: 0, [`statuscode@${FORMATTED}`]: 'Active', statuscode: 1 },
        {
          [`statecode@${FORMATTED}`]: 'Inactive',
          statecode: 1,
          [`statuscode@${FORMATTED}`]: 'Inactive',
          statuscode: 2,
        },
      ],
    });
  });

  test('counts, with every annotation when all are asked for', async () => {
    const json = await apply('groupby((statuscode),aggregate($count as count))', '*');
    expect(json.value[0]).toMatchObject({
      statuscode: 1,
      [`count@${FORMATTED}`]: '3',
      'count@OData.Community.Display.V1.AttributeName': 'accountid',
      count: 3,
    });
  });

  test('sums and averages amounts to nine digits, whole numbers to whole numbers', async () => {
    const answer = await environment.call(
      'GET',
      'accounts?$apply=aggregate(revenue with sum as total,revenue with average as mean,numberofemployees with average as staff,numberofemployees with sum as all)',
      undefined,
      { Prefer: `odata.include-annotations="${FORMATTED}"` },
    );
    expect(answer.text).toContain('"total":440000.250000000');
    expect(answer.json.value).toEqual([
      {
        [`total@${FORMATTED}`]: '$440,000.25',
        total: 440_000.25,
        [`mean@${FORMATTED}`]: '$146,666.75',
        mean: 146_666.75,
        [`staff@${FORMATTED}`]: '1',
        staff: 1,
        [`all@${FORMATTED}`]: '5',
        all: 5,
      },
    ]);
  });

  test('finds the least, the greatest and how many different values there are', async () => {
    const json = await apply(
      'aggregate(revenue with min as low,revenue with max as high,createdon with max as last,numberofemployees with countdistinct as sizes,address1_city with countdistinct as cities)',
    );
    expect(json.value).toEqual([
      { low: 0.25, high: 430_000, last: expect.stringMatching(/^\d{4}-.*Z$/), sizes: 2, cities: 1 },
    ]);
  });

  test('groups by a column behind a lookup; the group without a value has no property', async () => {
    const json = await apply('groupby((primarycontactid/fullname),aggregate(revenue with sum as total))');
    expect(json.value).toEqual([
      { total: 0 },
      { contact_fullname: 'Ada Lovelace', total: 440_000 },
      { contact_fullname: 'Alan Turing', total: 0.25 },
    ]);
    const byLookup = await apply('groupby((_primarycontactid_value))', FORMATTED);
    expect(byLookup.value).toContainEqual({
      [`_primarycontactid_value@${FORMATTED}`]: 'Ada Lovelace',
      _primarycontactid_value: environment.rows.ada,
    });
  });

  test('filters first, with aliases, and takes texts that compare equal together', async () => {
    const json = await apply("filter(contains(name,@p))/groupby((address1_city),aggregate($count as n))&@p='_'");
    expect(json.value).toEqual([{ n: 2 }, { address1_city: expect.stringMatching(/^rome/i), n: 2 }]);
    const filtered = await apply("filter(revenue gt 1)/filter(name ne 'a')/aggregate($count as n)");
    expect(filtered.value).toEqual([{ n: 1 }]);
    expect((await apply("filter(name eq 'none')/aggregate($count as n,revenue with max as m)")).value).toEqual([
      { n: 0 },
    ]);
  });

  test('sorts by groups', async () => {
    const json = await apply('groupby((name),aggregate($count as n))&$orderby=name desc');
    expect(json.value.map(({ name }: { name: string }) => name)).toEqual(['d', 'c', 'b', 'a']);
  });

  test('works on the collection of a row', async () => {
    const json = await apply('groupby((subject))', undefined, `accounts(${environment.rows.parent})/Account_Tasks`);
    expect(json['@odata.context']).toMatch(/#tasks$/);
    expect(json.value).toEqual([{ subject: 't1' }, { subject: 't2' }]);
  });

  test('refuses more rows than the limit', async () => {
    for (let n = 0; n < 3; n += 1) await create(environment.call, 'accounts', { name: `more ${n}` });
    const answer = await environment.call('GET', 'accounts?$apply=aggregate($count as n)');
    expect({ status: answer.status, ...answer.json.error }).toEqual({
      status: 400,
      code: '0x8004E023',
      message: 'The maximum record limit is exceeded. Reduce the number of records.',
    });
    expect((await apply("filter(startswith(name,'more'))/aggregate($count as n)")).value).toEqual([{ n: 3 }]);
  });

  test.each([
    [
      'groupby((statuscode),aggregate($count as n))&$orderby=n',
      400,
      /^The query node SingleValueOpenPropertyAccess is not supported$/,
    ],
    ['groupby((createdon))', 400, /cannot be grouped/],
    ['groupby((nothing))', 400, /Could not find a property named 'nothing'/],
    ['groupby((name),aggregate($count as name))', 400, /more than once/],
    ['aggregate(name with sum as x)', 400, /cannot be used/],
    ['aggregate($count)', 400, /Syntax error/],
    ['groupby(name)', 400, /Syntax error/],
    ['', 400, /cannot be empty/],
    ["filter(name eq 'x')", 501, /without groupby/],
    ['groupby((name))/filter(n gt 1)', 501, /A transformation behind groupby/],
    ['compute(revenue mul 2 as x)', 501, /compute in \$apply/],
    ['aggregate(revenue with stdev as x)', 501, /The method stdev/],
    ['aggregate($count as n)&$filter=revenue gt 1', 501, /\$filter beside \$apply/],
  ])('refuses %s', async (text, status, message) => {
    const answer = await environment.call('GET', `accounts?$apply=${text}`);
    expect(answer.json.error.message).toMatch(message);
    expect(answer.status).toBe(status);
  });
});
