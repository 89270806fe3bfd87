import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Answer, TestApp } from '../../support/app.ts';
import { sharedApp } from '../../support/shared-app.ts';

let app: TestApp;

beforeAll(async () => {
  app = await sharedApp();
  await app.defineKey('account', 'accountnumber');
  await app.defineKey('contact', 'employeeid');
});
afterAll(() => app.assertNoSecret());
beforeEach(async () => {
  await app.clearRules();
  await app.forgetCalls();
});

interface Options {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}
const call = (method: string, path: string, { body, headers = {} }: Options = {}): Promise<Answer> =>
  app.call(method, path, {
    headers,
    ...(body !== undefined && {
      type: 'application/json',
      body: typeof body === 'string' ? body : JSON.stringify(body),
    }),
  });
const representation = { prefer: 'return=representation' };
const byKey = (key: string): string => `tables/account/row?key=${encodeURIComponent(key)}`;

let numbers = 0;
/** An account number that no other test has. */
const newNumber = (): string => {
  numbers += 1;
  return `A-${numbers}`;
};

async function newAccount(values: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const answer = await call('POST', 'tables/account/rows', { body: { name: 'Contoso', ...values } });
  expect(answer.status, answer.text).toBe(201);
  return answer.json.id;
}
const countOf = async (filter: string): Promise<number> =>
  (await app.admin('GET', `accounts?$select=accountid&$filter=${encodeURIComponent(filter)}`)).json.value.length;
const MISSING = '6d81597f-0f9f-4711-8122-000d3aa2331c';

describe('a row that is created', () => {
  test('has an address at which it is read', async () => {
    const created = await call('POST', 'tables/accounts/rows', { body: { name: 'Contoso', numberofemployees: '12' } });
    expect(created.status).toBe(201);
    expect(created.headers.get('location')).toBe(`/api/tables/accounts/rows/${created.json.id}`);
    const read = await call(
      'GET',
      `${created.headers.get('location')?.replace('/api/', '')}?select=name,numberofemployees`,
    );
    expect(read.json).toEqual({ accountid: created.json.id, name: 'Contoso', numberofemployees: 12 });
  });

  test('is given back as it is then, where that is asked for', async () => {
    const answer = await call('POST', 'tables/account/rows?select=name,accountcategorycode&formatted=true', {
      body: { name: 'Contoso', accountcategorycode: 'preferred customer' },
      headers: representation,
    });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('preference-applied')).toBe('return=representation');
    expect(answer.headers.get('etag')).toMatch(/^W\/"\d+"$/);
    expect(answer.json).toMatchObject({
      name: 'Contoso',
      accountcategorycode: 1,
      _formatted: { accountcategorycode: 'Preferred Customer' },
    });
  });

  test('is created once, though the answer is lost', async () => {
    await app.rule({ match: { method: 'POST', path: '/accounts' }, times: 1, action: { reset: 'after' } });
    const number = newNumber();
    const answer = await call('POST', 'tables/account/rows', { body: { name: 'Once', accountnumber: number } });
    expect(answer.status, answer.text).toBe(201);
    expect(await countOf(`accountnumber eq '${number}'`)).toBe(1);
  });

  test('with an id that is taken is a conflict', async () => {
    const accountid = await newAccount();
    const answer = await call('POST', 'tables/account/rows', { body: { accountid, name: 'Other' } });
    expect(answer.json).toMatchObject({ status: 412, code: 'conflict' });
  });

  test('carries the caller’s request id to Dataverse', async () => {
    const headers = { 'x-request-id': 'erp-4711' };
    await call('POST', 'tables/account/rows', { body: { name: 'Contoso' }, headers });
    expect(JSON.stringify(await app.calls())).toContain('"clientRequestId":"erp-4711"');
  });
});

describe('a lookup', () => {
  test('is bound by id, by key, and by a key that no path carries, and reads as what it was bound to', async () => {
    const contact = await call('POST', 'tables/contact/rows', {
      body: { firstname: 'Ann', lastname: 'Lee', employeeid: 'E/1 100%' },
    });
    const { id } = contact.json;
    await call('POST', 'tables/contact/rows', { body: { lastname: 'Other', employeeid: "E-2'" } });
    for (const primarycontactid of [
      id,
      { table: 'contact', id },
      { table: 'contact', key: { employeeid: 'E/1 100%' } },
      { key: "employeeid='E/1 100%'" },
    ]) {
      const account = await newAccount({ primarycontactid });
      const { json } = await call('GET', `tables/account/rows/${account}?select=primarycontactid`);
      expect(json.primarycontactid).toEqual({ table: 'contact', id, name: 'Ann Lee' });
    }
    const account = await newAccount({ primarycontactid: { table: 'contact', key: { employeeid: "E-2'" } } });
    const { json } = await call('GET', `tables/account/rows/${account}?select=primarycontactid`);
    expect(json.primarycontactid.name).toBe('Other');
    await call('PATCH', `tables/account/rows/${account}`, { body: { primarycontactid: null } });
    const cleared = await call('GET', `tables/account/rows/${account}?select=primarycontactid`);
    expect(cleared.json.primarycontactid).toBeNull();
  });

  test('is bound by key in rows that are written in bulk, too', async () => {
    await call('POST', 'tables/contact/rows', { body: { lastname: 'Bulk', employeeid: 'E-3' } });
    const [known, unknown] = [{ key: { employeeid: 'E-3' } }, { key: { employeeid: 'E/none' } }];
    const answer = await call('POST', 'tables/account/upsert', {
      headers: { accept: 'application/json' },
      body: [known, unknown]
        .map((primarycontactid) => ({ accountnumber: newNumber(), primarycontactid }))
        .map((row, at) => ({
          ...row,
          accountid: `2d81597f-0f9f-4711-8122-00000000000${at}`,
        })),
    });
    expect(answer.json.rows).toMatchObject([
      { outcome: 'created' },
      { outcome: 'rejected', error: { code: 'lookupRowUnknown', column: 'primarycontactid' } },
    ]);
    const read = await call('GET', `tables/account/rows/${answer.json.rows[0].id}?select=primarycontactid`);
    expect(read.json.primarycontactid.name).toBe('Bulk');
  });

  test('to several tables is bound to the one that is named, owners and regarding rows too', async () => {
    const account = await newAccount();
    const contact = await call('POST', 'tables/contact/rows', {
      body: { lastname: 'Lee', parentcustomerid: { table: 'account', id: account } },
    });
    const read = await call(
      'GET',
      `tables/contact/rows/${contact.json.id}?select=parentcustomerid,ownerid&connection=open`,
    );
    expect(read.json.parentcustomerid).toEqual({ table: 'account', id: account, name: 'Contoso' });
    expect(read.json.ownerid.table).toBe('systemuser');
    const written = await call('PATCH', `tables/contact/rows/${contact.json.id}?connection=open`, {
      body: { ownerid: read.json.ownerid, parentcustomerid: { table: 'contact', id: contact.json.id } },
    });
    // The service refuses a contact that is its own parent, or takes it: what counts is that the property was right.
    expect(written.text).not.toMatch(/undeclared|property/i);
  });

  test.each([
    [{ table: 'account', id: MISSING }, 400, 'lookupTableUnknown'],
    [{ table: 'contact', key: { lastname: 'Lee' } }, 400, 'keyUnknown'],
    [{ table: 'contact', key: { employeeid: 'nobody/there' } }, 400, 'lookupRowUnknown'],
    [{ table: 'contact', key: "employeeid='x') or (1 eq 1" }, 400, 'keyInvalid'],
    [{ table: 'contact', key: { employeeid: 'nobody' } }, 404, 'notFound'],
    [{ table: 'contact' }, 400, 'wrongType'],
    ['not a guid', 400, 'wrongType'],
  ])('to %j ends with %i %s', async (primarycontactid, status, code) => {
    const answer = await call('POST', 'tables/account/rows', { body: { name: 'A', primarycontactid } });
    expect(answer.json).toMatchObject({ status, code });
  });

  test('to a table that the connection may not touch is refused', async () => {
    const body = { name: 'A', ownerid: { table: 'systemuser', id: MISSING } };
    const answer = await call('POST', 'tables/account/rows', { body });
    expect(answer.json).toMatchObject({ status: 403, code: 'tableNotAllowed', errors: [{ path: 'ownerid' }] });
  });
});

describe('a row that is read', () => {
  test('brings rows that belong to it, nested, each in its own terms', async () => {
    const account = await newAccount();
    const contact = await call('POST', 'tables/contact/rows', {
      body: { firstname: 'Ann', lastname: 'Lee', parentcustomerid: { table: 'account', id: account } },
    });
    await call('PATCH', `tables/account/rows/${account}`, { body: { primarycontactid: contact.json.id } });
    const expand = 'primarycontactid($select=fullname,parentcustomerid;$expand=parentcustomerid_account($select=name))';
    const { json } = await call(
      'GET',
      `tables/account/rows/${account}?select=name&expand=${encodeURIComponent(expand)}`,
    );
    expect(json).toEqual({
      accountid: account,
      name: 'Contoso',
      primarycontactid: {
        contactid: contact.json.id,
        fullname: 'Ann Lee',
        parentcustomerid: { table: 'account', id: account, name: 'Contoso' },
        parentcustomerid_account: { accountid: account, name: 'Contoso' },
      },
    });
  });

  test('is not sent again to who has its version', async () => {
    const id = await newAccount();
    const first = await call('GET', `tables/account/rows/${id}`);
    const etag = first.headers.get('etag') ?? '';
    for (const known of [etag, `"x", ${etag}`, etag.replace('W/', ''), '*']) {
      const again = await call('GET', `tables/account/rows/${id}`, { headers: { 'if-none-match': known } });
      expect([again.status, again.text, again.headers.get('etag')]).toEqual([304, '', etag]);
    }
    await call('PATCH', `tables/account/rows/${id}`, { body: { name: 'Changed' } });
    expect((await call('GET', `tables/account/rows/${id}`, { headers: { 'if-none-match': etag } })).status).toBe(200);
  });

  test('costs one request, once its table is known', async () => {
    const id = await newAccount();
    await call('GET', `tables/account/rows/${id}`);
    await app.forgetCalls();
    await call('GET', `tables/account/rows/${id}?select=name`);
    expect((await app.calls()).map(({ message }) => message)).toEqual(['Retrieve']);
  });
});

describe('a change', () => {
  test('answers 204, or with the row where it is asked for', async () => {
    const id = await newAccount();
    const path = `tables/account/rows/${id}`;
    expect(await call('PATCH', path, { body: { name: 'B' } })).toMatchObject({ status: 204, text: '' });
    const answer = await call('PATCH', `${path}?select=name`, { body: { name: 'C' }, headers: representation });
    expect(answer).toMatchObject({ status: 200, json: { accountid: id, name: 'C' } });
    expect(answer.headers.get('preference-applied')).toBe('return=representation');
  });

  test('of what is not there creates nothing', async () => {
    const body = { name: 'Never' };
    for (const path of [
      `tables/account/rows/${MISSING}`,
      byKey("accountnumber='no-1'"),
      byKey("accountnumber='no/1'"),
    ]) {
      expect((await call('PATCH', path, { body })).json).toMatchObject({ status: 404, code: 'notFound' });
    }
    expect(await countOf("name eq 'Never'")).toBe(0);
  });

  test('under a version that has passed is refused', async () => {
    const id = await newAccount();
    const path = `tables/account/rows/${id}`;
    const etag = (await call('GET', path)).headers.get('etag') ?? '';
    const headers = { 'if-match': etag };
    expect((await call('PATCH', path, { body: { name: 'B' }, headers })).status).toBe(204);
    for (const method of ['PATCH', 'PUT']) {
      expect((await call(method, path, { body: { name: 'C' }, headers })).json).toMatchObject({
        status: 412,
        code: 'conflict',
      });
    }
    expect((await call('DELETE', path, { headers })).json).toMatchObject({ status: 412 });
    expect((await call('GET', `${path}?select=name`)).json.name).toBe('B');
  });

  test('of the id is refused', async () => {
    const path = `tables/account/rows/${await newAccount()}`;
    for (const accountid of [MISSING, { toString: 'x' }, 5, null]) {
      const answer = await call('PATCH', path, { body: { accountid, name: 'B' } });
      expect(answer.json).toMatchObject({ status: 400, code: 'idFixed', errors: [{ path: 'accountid' }] });
    }
  });

  test('of the key by which the row is addressed is made', async () => {
    const [before, after] = [newNumber(), newNumber()];
    const id = await newAccount({ accountnumber: before });
    const answer = await call('PATCH', byKey(`accountnumber='${before}'`), { body: { accountnumber: after } });
    expect(answer.status, answer.text).toBe(204);
    expect((await call('GET', byKey(`accountnumber='${after}'`))).json.accountid).toBe(id);
  });
});

describe('an upsert', () => {
  test.each([
    ['by id', () => 'tables/account/rows/1d81597f-0f9f-4711-8122-000d3aa2331c'],
    ['by key', () => `tables/account/rows/${encodeURIComponent(`accountnumber='${newNumber()}'`)}`],
    ['by a key that no path carries', () => byKey(`accountnumber='${newNumber()}/%+?'`)],
  ])('%s says whether it created the row', async (_, pathOf) => {
    const path = pathOf();
    const created = await call('PUT', path, { body: { name: 'First' } });
    expect(created.status, created.text).toBe(201);
    expect(created.headers.get('location')).toBe(`/api/tables/account/rows/${created.json.id}`);
    expect(await call('PUT', path, { body: { name: 'Second' } })).toMatchObject({ status: 204, text: '' });
    const read = await call('GET', `tables/account/rows/${created.json.id}?select=name`);
    expect(read.json.name).toBe('Second');
    const kept = await call('PUT', path, { body: { name: 'Third' }, headers: { 'if-none-match': '*' } });
    expect(kept.json).toMatchObject({ status: 412, code: 'conflict' });
    const given = await call('PUT', path, { body: { name: 'Fourth' }, headers: representation });
    expect(given).toMatchObject({ status: 200, json: { name: 'Fourth' } });
  });

  test('that is only to change creates nothing', async () => {
    const answer = await call('PUT', `tables/account/rows/${MISSING}`, {
      body: { name: 'A' },
      headers: { 'if-match': '*' },
    });
    expect(answer.json).toMatchObject({ status: 404, code: 'notFound' });
  });

  test('takes the key’s columns in the row, where they say the same', async () => {
    const number = newNumber();
    const path = byKey(`accountnumber='${number}'`);
    expect((await call('PUT', path, { body: { name: 'A', accountnumber: number } })).status).toBe(201);
    const other = await call('PUT', path, { body: { accountnumber: 'other' } });
    expect(other.json).toMatchObject({ status: 400, code: 'keyMismatch' });
  });
});

describe('a delete', () => {
  test('is done once', async () => {
    const path = `tables/account/rows/${await newAccount()}`;
    expect(await call('DELETE', path)).toMatchObject({ status: 204, text: '' });
    expect((await call('DELETE', path)).json).toMatchObject({ status: 404, code: 'notFound' });
  });

  test('whose answer is lost is done all the same', async () => {
    const id = await newAccount();
    await app.rule({ match: { method: 'DELETE' }, times: 1, action: { reset: 'after' } });
    expect((await call('DELETE', `tables/account/rows/${id}`)).status).toBe(204);
    expect(await countOf(`accountid eq ${id}`)).toBe(0);
  });

  test.each(['', '*', "accountnumber='", "name='Contoso'", "accountnumber='a' or 1 eq 1", 'accountid ne null'])(
    'without an exact key (%j) is refused before anything is sent',
    async (key) => {
      await call('GET', 'tables/account/rows?pageSize=1');
      await app.forgetCalls();
      const answer = await call('DELETE', byKey(key));
      expect(answer.status).toBe(400);
      expect(answer.json.errors[0].path).toBe('key');
      expect((await app.calls()).filter(({ method }) => method === 'DELETE')).toEqual([]);
    },
  );
});

describe('bad input', () => {
  const deep = `{"name":${'['.repeat(5000)}${']'.repeat(5000)}}`;
  test.each<[string, unknown, number, string]>([
    ['no body', '', 400, 'bodyEmpty'],
    ['no JSON', '{"name":', 400, 'bodyNotJson'],
    ['an array', [], 400, 'bodyInvalid'],
    ['null', 'null', 400, 'bodyInvalid'],
    ['an unknown column', { nmae: 'x' }, 400, 'columnUnknown'],
    ['a column of another language’s letters', { 名前: 'x' }, 400, 'columnUnknown'],
    ['__proto__', '{"__proto__":{"name":"x"}}', 400, 'columnUnknown'],
    ['constructor', { constructor: 'x' }, 400, 'columnUnknown'],
    ['a name that goes on', { 'name@odata.bind': '/contacts(x)' }, 400, 'columnUnknown'],
    ['a name of 1 MB', { ['x'.repeat(1_000_000)]: 1 }, 400, 'bodyInvalid'],
    ['a lookup’s own property', { _primarycontactid_value: MISSING }, 400, 'columnUnknown'],
    ['a column that is only read', { createdon: '2026-01-01T00:00:00Z' }, 400, 'columnReadOnly'],
    ['a number for text', { name: 5 }, 400, 'wrongType'],
    ['an object for text', { name: { toString: 'x' } }, 400, 'wrongType'],
    ['text that is too long', { name: 'x'.repeat(10_000_000) }, 400, 'valueTooLong'],
    ['more than the body may be', { name: 'x'.repeat(17_000_000) }, 413, 'bodyTooLarge'],
    ['half of a character', '{"name":"\\ud800"}', 400, 'invalidCharacter'],
    ['deep nesting', deep, 400, 'bodyTooDeep'],
    ['text for a number', { numberofemployees: 'many' }, 400, 'wrongType'],
    ['an unknown choice', { accountcategorycode: 'Best of all' }, 400, 'unknownChoice'],
    ['a table that there is not', { name: 'x' }, 404, 'tableUnknown'],
  ])('%s is refused by name', async (what, body, status, code) => {
    const table = what === 'a table that there is not' ? 'accuont' : 'account';
    const answer = await call('POST', `tables/${table}/rows`, { body });
    expect(answer.json, answer.text.slice(0, 300)).toMatchObject({ status, code });
    expect(answer.text.length).toBeLessThan(5_000);
    expect(answer.text).not.toMatch(/node_modules|\.ts:/);
  });

  test.each<[string, string, Readonly<Record<string, string>>, number, string]>([
    ['GET', 'tables/account/rows/nonsense', {}, 400, 'keyInvalid'],
    ['GET', `tables/account/rows/${MISSING}?select=nmae`, {}, 400, 'columnUnknown'],
    ['GET', `tables/account/rows/${MISSING}?selct=name`, {}, 400, 'queryInvalid'],
    ['GET', `tables/account/rows/${MISSING}?expand=ownerid`, {}, 403, 'tableNotAllowed'],
    ['GET', `tables/account/rows/${MISSING}?connection=nope`, {}, 404, 'connectionUnknown'],
    ['GET', 'tables/opportunity/rows/x', {}, 400, 'keyInvalid'],
    ['GET', `tables/opportunity/rows/${MISSING}`, {}, 403, 'tableNotAllowed'],
    ['GET', `tables/${encodeURIComponent("account' or 1 eq 1")}/rows/${MISSING}`, {}, 404, 'tableUnknown'],
    ['GET', 'tables/account/row', {}, 400, 'queryInvalid'],
    ['DELETE', `tables/account/rows/${MISSING}`, { 'if-match': 'nonsense' }, 400, 'etagInvalid'],
    ['DELETE', `tables/account/rows/${MISSING}`, { 'if-match': '"a", "b"' }, 400, 'etagInvalid'],
  ])('%s %s ends with its own problem', async (method, path, headers, status, code) => {
    expect((await call(method, path, { headers })).json).toMatchObject({ status, code });
  });

  test('conditions that contradict each other are refused', async () => {
    const put = (headers: Record<string, string>) =>
      call('PUT', `tables/account/rows/${MISSING}`, { body: { name: 'x' }, headers });
    expect((await put({ 'if-match': '*', 'if-none-match': '*' })).json).toMatchObject({ code: 'conditionsContradict' });
    expect((await put({ 'if-none-match': '"1"' })).json).toMatchObject({ status: 400, code: 'etagInvalid' });
  });
});
