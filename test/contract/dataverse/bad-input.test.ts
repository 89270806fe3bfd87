import { request } from 'node:http';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Answer, Call } from './environment.ts';
import { create, queryEnvironment } from './query-environment.ts';

const environment = queryEnvironment({ bodyMax: 12 * 1024 * 1024 }, async (call) => ({
  account: await create(call, 'accounts', { name: 'a' }),
  contact: await create(call, 'contacts', { lastname: 'c' }),
  dump: (await call('GET', '/emulator/dump')).text,
}));
const call = (...given: Parameters<Call>) => environment.call(...given);

/** Every write of rows with a body of its own. */
const writes = (): [method: string, path: string, wrap: (body: unknown) => unknown][] => {
  const { account } = environment.rows;
  const plain = (body: unknown) => body;
  const target = (body: unknown) => ({
    Targets: [
      typeof body === 'object' && body !== null ? { '@odata.type': '#Microsoft.Dynamics.CRM.account', ...body } : body,
    ],
  });
  return [
    ['POST', 'accounts', plain],
    ['PATCH', `accounts(${account})`, plain],
    ['PATCH', 'accounts(33333333-3333-4333-8333-333333333333)', plain],
    ['POST', 'accounts/Microsoft.Dynamics.CRM.CreateMultiple', target],
    [
      'POST',
      'accounts/Microsoft.Dynamics.CRM.UpdateMultiple',
      (body) => target({ accountid: account, ...Object(body) }),
    ],
    ['POST', 'accounts/Microsoft.Dynamics.CRM.UpsertMultiple', target],
    ['POST', `contacts(${environment.rows.contact})/account_primary_contact`, plain],
  ];
};

function expectRefusal(answer: Answer): void {
  expect(answer.status).toBeGreaterThanOrEqual(400);
  expect(answer.status).toBeLessThan(500);
  expect(answer.json.error).toEqual({ code: expect.any(String), message: expect.any(String) });
  expect(answer.text).not.toMatch(/\bat .*\.ts:|node:|SQLITE|sqlite/);
}

const deep = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`;

describe('each write of rows refuses', () => {
  const bodies: [title: string, body: unknown][] = [
    ['a number for a text', { name: 5 }],
    ['an object for a text', { name: { a: 1 } }],
    ['an array for a text', { name: ['x'] }],
    ['a text for a boolean', { donotemail: 'true' }],
    ['an object for an amount', { revenue: {} }],
    ['a number that is none', '{"revenue":1e999}'],
    ['a text that is no number', { numberofemployees: '0x10' }],
    ['an integer beyond its bounds', { numberofemployees: 2 ** 40 }],
    ['an unknown property', { nothing: 1 }],
    ['a property of another case', { Name: 'x' }],
    ['__proto__', '{"__proto__":{"name":"x"}}'],
    ['constructor', { constructor: 'x' }],
    ['toString', { toString: 'x' }],
    ['an annotation without its value', { 'name@odata.type': '#String' }],
    ['an annotation of what is not there', { 'nothing@odata.bind': '/contacts(1)' }],
    ['a bind that is no text', { 'primarycontactid@odata.bind': 7 }],
    ['a bind that is an object', { 'primarycontactid@odata.bind': {} }],
    ['a bind that is no address', { 'primarycontactid@odata.bind': "'; DROP TABLE account --" }],
    ['a bind with line ends', { 'primarycontactid@odata.bind': '/contacts(\r\n1)' }],
    ['a bind to a collection', { 'primarycontactid@odata.bind': '/contacts' }],
    ['a bind to a Content-ID outside a change set', { 'primarycontactid@odata.bind': '$1' }],
    ['a lookup written by its reading name', { _primarycontactid_value: null }],
    ['a NUL', { name: 'a\0b' }],
    ['half a surrogate pair', '{"name":"a\\ud800b"}'],
    ['ten thousand levels in a property', `{"name":${deep(10_000)}}`],
    ['a date that is none', { lastonholdtime: '2024-02-30T00:00:00Z' }],
    ['another type', { '@odata.type': '#Microsoft.Dynamics.CRM.contact' }],
    ['a type that is no text', { '@odata.type': {} }],
  ];
  test.each(bodies)('%s', async (_, body) => {
    for (const [method, path, wrap] of writes()) {
      const parsed: unknown = typeof body === 'string' ? body : JSON.stringify(wrap(body));
      const text = typeof body === 'string' && path.includes('Multiple') ? undefined : parsed;
      if (text === undefined) continue;
      expectRefusal(await call(method, path, text));
    }
  });

  test.each<[string, string | Uint8Array]>([
    ['no body', ''],
    ['no JSON', 'name=x'],
    ['JSON cut off', '{"name":"x'],
    ['a text', '"x"'],
    ['null', 'null'],
    ['an array', '[{"name":"x"}]'],
    ['invalid UTF-8', new Uint8Array([0x7b, 0x22, 0x6e, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])],
    ['a hundred thousand levels', deep(100_000)],
    ['rows below rows without end', `${'{"parentaccountid":'.repeat(20_000)}null${'}'.repeat(20_000)}`],
  ])('a body that is %s', async (_, body) => {
    for (const [method, path] of writes()) {
      const response = await fetch(new URL(path, environment.apiUrl), {
        method,
        headers: { 'Content-Type': 'application/json' },
        body,
      });
      const text = await response.text();
      expectRefusal({ status: response.status, headers: response.headers, text, json: JSON.parse(text) });
    }
  });
});

test('a text of 10 MB is too long', async () => {
  const row = { '@odata.type': '#Microsoft.Dynamics.CRM.account', description: 'x'.repeat(10 * 1024 * 1024) };
  for (const [path, body] of [
    ['accounts', row],
    ['accounts/Microsoft.Dynamics.CRM.CreateMultiple', { Targets: [row] }],
  ] as const) {
    expect((await call('POST', path, body)).json.error.code).toBe('0x80044331');
  }
});

test('bulk messages refuse targets that are missing, no rows, or of no type', async () => {
  for (const name of ['CreateMultiple', 'UpdateMultiple', 'UpsertMultiple']) {
    for (const body of [
      {},
      { Targets: {} },
      { Targets: [1] },
      { Targets: [null] },
      { Targets: [{}] },
      { Targets: [[]] },
    ]) {
      expectRefusal(await call('POST', `accounts/Microsoft.Dynamics.CRM.${name}`, body));
    }
  }
});

test('single columns and references need their member', async () => {
  const path = `accounts(${environment.rows.account})`;
  const cases: [string, unknown][] = [
    ['name', {}],
    ['name', []],
    ['name', { Value: 'x' }],
    ['name', { value: {} }],
    ['nothing', { value: 'x' }],
    ['primarycontactid/$ref', {}],
    ['primarycontactid/$ref', { '@odata.id': null }],
    ['primarycontactid/$ref', { '@odata.id': 'accounts' }],
    ['primarycontactid/$ref', { '@odata.id': ['x'] }],
    ['nothing/$ref', { '@odata.id': 'contacts(1)' }],
  ];
  for (const [property, body] of cases) expectRefusal(await call('PUT', `${path}/${property}`, body));
  expect((await call('GET', `${path}?$select=name`)).json.name).toBe('a');
});

test('a body that is longer than the limit is 413', async () => {
  const answer = await call('POST', 'accounts', { description: 'x'.repeat(12 * 1024 * 1024) });
  expect([answer.status, answer.json.error]).toEqual([
    413,
    { code: '0x8004418a', message: 'Request message length is too large.' },
  ]);
});

test('a request that breaks off in its body writes nothing and harms nobody', async () => {
  await new Promise<void>((resolve) => {
    const sent = request(new URL('accounts', environment.apiUrl), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'Content-Length': '1000' },
    });
    sent.on('error', () => resolve());
    sent.write('{"name":"cut off', () => sent.destroy());
    sent.on('close', () => resolve());
  });
  expect((await call('GET', 'WhoAmI')).status).toBe(200);
});

test('nothing of all that was refused is left behind', async () => {
  expect((await call('GET', '/emulator/dump')).text).toBe(environment.rows.dump);
});

test('whatever JSON is written, the answer is the service’s own or a row', async () => {
  const names = fc.constantFrom(
    ...['name', 'revenue', 'donotemail', 'industrycode', 'numberofemployees', 'lastonholdtime', 'primarycontactid'],
    ...[
      'Account_Tasks',
      'primarycontactid@odata.bind',
      'Account_Tasks@odata.bind',
      '@odata.type',
      'name@x',
      '__proto__',
    ],
    ...['accountid', 'ownerid@odata.bind', 'statecode', 'address1_latitude', '', '@', 'x@odata.bind', '@odata.bind'],
  );
  const values = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.constantFrom('/contacts(x)', '$1', 'accounts(', '2024-01-01T00:00:00Z', '1,2', Number.MAX_SAFE_INTEGER, -0),
  );
  const rows = fc.array(fc.tuple(names, values), { maxLength: 4 }).map((members) => {
    const texts = members.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
    return `{${texts.join(',')}}`;
  });
  await fc.assert(
    fc.asyncProperty(rows, async (body) => {
      const answer = await call('POST', 'accounts', body);
      if (answer.status !== 204) expectRefusal(answer);
    }),
    { numRuns: 100 },
  );
});

test('whatever address is asked for, the answer is the service’s own', async () => {
  const parts = fc.constantFrom(
    ...[
      'accounts',
      '(',
      ')',
      "'",
      '=',
      ',',
      '/',
      '$ref',
      '$1',
      '@k',
      '%27',
      '%00',
      '%0D%0A',
      '%',
      'accountid',
      '..',
      ' ',
    ],
    ...[
      'Account_Tasks',
      '$count',
      'Microsoft.Dynamics.CRM.',
      'x',
      '00000000-0000-0000-0000-000000000001',
      '?$id=',
      'é',
    ],
  );
  const paths = fc.array(parts, { maxLength: 8 }).map((all) => `accounts(${all.join('')}`);
  await fc.assert(
    fc.asyncProperty(fc.constantFrom('PATCH', 'PUT', 'DELETE', 'POST'), paths, async (method, path) => {
      const answer = await call(method, path, { name: 'x' });
      expect(answer.status).not.toBe(500);
      if (answer.status >= 400 && answer.status !== 501) expectRefusal(answer);
    }),
    { numRuns: 100 },
  );
});

test('whatever batch is sent, the answer is a batch or a refusal', async () => {
  const lines = fc.constantFrom(
    ...[
      '--b',
      '--b--',
      '--s',
      '--s--',
      '',
      'Content-Type: application/http',
      'Content-Type: multipart/mixed; boundary=s',
    ],
    ...[
      'Content-Type: multipart/mixed; boundary=b',
      'Content-ID: 1',
      'GET accounts HTTP/1.1',
      'PATCH $1 HTTP/1.1',
      '{}',
    ],
    ...[
      'POST accounts HTTP/1.1',
      'DELETE accounts(1) HTTP/1.1',
      'x',
      ': x',
      '{"name":"b"}',
      '\r',
      '\0',
      'Content-Length: 1',
    ],
  );
  await fc.assert(
    fc.asyncProperty(fc.array(lines, { maxLength: 16 }), fc.constantFrom('\r\n', '\n'), async (all, end) => {
      const answer = await call('POST', '$batch', ['--b', ...all].join(end), {
        'Content-Type': 'multipart/mixed; boundary=b',
        Prefer: 'odata.continue-on-error',
      });
      if (answer.status !== 200) expectRefusal(answer);
      expect(answer.text).not.toContain('0x80040216');
    }),
    { numRuns: 100 },
  );
});
