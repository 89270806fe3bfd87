import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Answer, KEYS, type TestApp } from '../../support/app.ts';
import { sharedApp } from '../../support/shared-app.ts';

let app: TestApp;
let accountId: string;

beforeAll(async () => {
  app = await sharedApp();
  await app.admin('POST', 'accounts', { name: 'First', accountnumber: 'RAW-1' });
  await app.defineKey('account', 'accountnumber');
  accountId = (await app.admin('GET', "accounts?$select=accountid&$filter=accountnumber eq 'RAW-1'")).json.value[0]
    .accountid;
});
afterAll(() => app.assertNoSecret());
beforeEach(() => app.clearRules());

const raw = (body: unknown, connection = 'open'): Promise<Answer> =>
  app.call('POST', `raw?connection=${connection}`, {
    key: KEYS.master,
    body: JSON.stringify(body),
    type: 'application/json',
  });
const get = (path: string, more: Record<string, unknown> = {}, connection = 'open'): Promise<Answer> =>
  raw({ path, method: 'GET', ...more }, connection);

describe('a raw request', () => {
  test('is for the master key', async () => {
    expect((await app.call('POST', 'raw', { body: '{}', type: 'application/json' })).status).toBe(401);
  });

  test('answers with what Dataverse said, its headers and its errors included', async () => {
    const found = await get('/api/data/v9.2/accounts?$select=name', { query: { $filter: "name eq 'First'", $top: 1 } });
    expect(found.json).toMatchObject({
      status: 200,
      headers: { 'odata-version': '4.0' },
      body: { value: [{ name: 'First' }] },
    });
    expect(Object.keys(found.json.headers)).not.toContain('set-cookie');
    expect((await get('nothing')).json).toMatchObject({ status: 404, body: { error: { code: expect.any(String) } } });
    expect((await get('/api/data/v9.1/WhoAmI')).json.body.UserId).toEqual(expect.any(String));
  });

  test('writes, and is told where', async () => {
    const data = { name: 'Raw', revenue: 12345678901.25 };
    const made = await raw({ path: 'accounts', method: 'POST', data, headers: { Prefer: 'return=representation' } });
    expect(made.json).toMatchObject({ status: 201, body: { name: 'Raw' } });
    const path = `accounts(${made.json.body.accountid})`;
    expect((await raw({ path, method: 'PATCH', data: '{"name":"Raw too"}' })).json).toMatchObject({
      status: 204,
      body: null,
    });
    expect((await raw({ path, method: 'DELETE' })).json.status).toBe(204);
  });

  test('tells a body as JSON, as a text or as bytes', async () => {
    const count = "accounts/$count?$filter=accountnumber eq 'RAW-1'";
    expect((await get(count)).json.body).toBe(1);
    expect((await get(count, { responseType: 'text' })).json.body).toBe('1');
    const bytes = (await get(count, { responseType: 'binary' })).json.body;
    expect(Buffer.from(bytes, 'base64').toString()).toBe('\ufeff1');
  });

  test('loses no digit', async () => {
    const body = `{"path":"accounts","method":"POST","data":{"name":"Digits","revenue":0.1234567890123456789}}`;
    await app.forgetCalls();
    const answer = await app.call('POST', 'raw?connection=open', { key: KEYS.master, body, type: 'application/json' });
    expect(answer.json.status).toBe(204);
  });

  test('sends forms and files', async () => {
    const answer = await raw({
      path: 'accounts',
      method: 'POST',
      form: { a: 'x' },
      files: [{ name: 'f', fileName: 'f.txt', base64: 'eA==' }],
      debug: true,
    });
    expect(answer.json.debug.request.headers['content-type']).toMatch(/^multipart\/form-data; boundary=/);
    expect(answer.json.status).toBeGreaterThanOrEqual(400);
  });

  test('tells what it did, without the token', async () => {
    const { json, text } = await get('accounts', { debug: true, headers: { 'x-mine': '1' } });
    expect(json.debug).toMatchObject({
      request: {
        method: 'GET',
        url: expect.stringMatching(/\/api\/data\/v9\.2\/accounts$/),
        headers: { 'x-mine': '1' },
      },
      tries: [{ result: 200 }],
      bodyBytes: expect.any(Number),
    });
    expect(text).not.toMatch(/bearer/i);
    expect((await get('accounts')).json).not.toHaveProperty('debug');
  });

  test('is tried again as often as is wanted, and no oftener', async () => {
    const failing = { match: { path: 'accounts' }, times: 2, action: { status: 503, body: {} } };
    await app.rule(failing);
    expect((await get('accounts')).json.status).toBe(503);
    expect((await get('accounts', { maxRetries: 1, debug: true })).json).toMatchObject({
      status: 200,
      debug: { tries: [{ result: 503 }, { result: 200 }] },
    });
    await app.rule({ ...failing, action: { reset: 'before' } });
    expect((await get('accounts', { maxRetries: 2 })).json.status).toBe(200);
    await app.rule({ match: { path: 'accounts' }, times: 1, action: { reset: 'before' } });
    expect((await get('accounts')).json).toMatchObject({ status: 502, code: 'network' });
    expect((await get('nothing', { maxRetries: 2, debug: true })).json.debug.tries).toHaveLength(1);
    expect(
      (await get('nothing', { maxRetries: 2, retryOnAllErrors: true, debug: true })).json.debug.tries,
    ).toHaveLength(3);
  });

  test('ends with 504 when the answer takes longer than it may', async () => {
    await app.rule({ match: { path: 'accounts' }, times: 1, action: { delayMs: 300 } });
    await app.forgetCalls();
    const answer = await get('accounts', { timeoutMs: 50 });
    expect([answer.status, answer.json.code]).toEqual([504, 'timeout']);
    await expect.poll(() => app.calls()).toHaveLength(1);
  });

  test.each([
    ['path', { path: '//evil.example/x' }],
    ['path', { path: 'https://evil.example/x' }],
    ['path', { path: 'accounts/../../x' }],
    ['path', { path: 'accounts%0d%0ax' }],
    ['path', { path: undefined }],
    ['path', { path: 7 }],
    ['path', { path: 'x'.repeat(40_000) }],
    ['method', { method: undefined }],
    ['method', { method: 'TRACE' }],
    ['query', { query: 'a=b' }],
    ['query.a', { query: { a: {} } }],
    ['query.a b', { query: { 'a b': '1' } }],
    ['headers.Authorization', { headers: { Authorization: 'Bearer x' } }],
    ['headers.Cookie', { headers: { Cookie: 'x' } }],
    ['headers.Host', { headers: { Host: 'evil.example' } }],
    ['headers.x', { headers: { x: 'a\r\nb' } }],
    ['headers.x', { headers: { x: 7 } }],
    ['headers.content-type', { method: 'POST', form: { a: 'b' }, headers: { 'Content-Type': 'text/plain' } }],
    ['data', { data: {} }],
    ['data', { method: 'POST', data: {}, form: { a: 'b' } }],
    ['form.a', { method: 'POST', form: { a: 1 } }],
    ['files.0.base64', { method: 'POST', files: [{ name: 'a', fileName: 'b', base64: '!' }] }],
    ['files.0.fileName', { method: 'POST', files: [{ name: 'a', base64: '' }] }],
    ['files.0.type', { method: 'POST', files: [{ name: 'a', fileName: 'b', base64: '', type: 'x' }] }],
    ['responseType', { responseType: 'xml' }],
    ['timeoutMs', { timeoutMs: 0 }],
    ['timeoutMs', { timeoutMs: 300_000 }],
    ['debug', { debug: 1 }],
    ['maxRetries', { maxRetries: -1 }],
    ['maxRetries', { maxRetries: 100 }],
    ['retryDelayMs', { retryDelayMs: 1e9 }],
    ['exponentialBackoff', { exponentialBackoff: 'yes' }],
    ['retryOnAllErrors', { retryOnAllErrors: null }],
    ['other', { other: 1 }],
  ])('is refused for a bad %s (%#)', async (field, changes) => {
    await app.forgetCalls();
    const answer = await get('accounts', changes);
    expect(answer.status).toBe(400);
    expect(answer.json.errors[0].path).toBe(field);
    expect(await app.calls()).toEqual([]);
  });
});

describe('a raw request of a connection with allowedTables', () => {
  const one = (): string => `accounts(${accountId})`;

  test.each([
    ['WhoAmI', {}],
    ['WhoAmI()', {}],
    ["accounts?$select=name&$filter=startswith(name,'F')&$orderby=name desc&$top=2&$count=true", {}],
    ['accounts?$expand=primarycontactid($select=fullname)', {}],
    ["contacts?$filter=parentcustomerid_account/name eq 'x'", {}],
    ["accounts(accountnumber='RAW-1')", {}],
    ['accounts/$count', {}],
    ["EntityDefinitions(LogicalName='account')/Attributes?$select=LogicalName", {}],
    ['accounts', { query: { fetchXml: '<fetch><entity name="account"><attribute name="name" /></entity></fetch>' } }],
  ])('is sent where it reaches allowed tables only (%#)', async (path, more) => {
    const answer = await get(path, more, 'default');
    expect(answer.json.code ?? answer.json.body?.error?.code).toBeUndefined();
    expect(answer.status).toBe(200);
  });

  test('writes and links rows of allowed tables', async () => {
    const data = {
      '@odata.type': 'Microsoft.Dynamics.CRM.contact',
      lastname: 'Doe',
      'parentcustomerid_account@odata.bind': `/${one()}`,
    };
    expect((await raw({ path: 'contacts', method: 'POST', data }, 'default')).json.status).toBe(204);
    const targets = { Targets: [{ '@odata.type': 'Microsoft.Dynamics.CRM.account', name: 'Bulk' }] };
    const path = 'accounts/Microsoft.Dynamics.CRM.CreateMultiple';
    expect((await raw({ path, method: 'POST', data: targets }, 'default')).json.status).toBe(200);
    const contact = (await get('contacts?$select=contactid', {}, 'default')).json.body.value[0].contactid;
    const reference = { '@odata.id': `contacts(${contact})` };
    const linked = await raw({ path: `${one()}/primarycontactid/$ref`, method: 'PUT', data: reference }, 'default');
    expect(linked.json.status).toBe(204);
  });

  test('sends what was understood, and nothing that only looks like it', async () => {
    const data = `{"name":"a","name":"b","revenue":1.50}`;
    const answer = await raw({ path: one(), method: 'PATCH', data, debug: true }, 'default');
    expect(answer.json).toMatchObject({
      status: 204,
      debug: { request: { bodyBytes: '{"name":"b","revenue":1.5}'.length } },
    });
  });

  const systemUser = 'systemusers(0b000000-0000-4000-8000-000000000001)';
  test.each<[string, string, unknown?, string?]>([
    ['another table', 'opportunities'],
    ['a table by its logical name', 'account'],
    ['no table', ''],
    ['the service’s whole metadata', '$metadata'],
    ['a batch', '$batch', 'x', 'POST'],
    ['all definitions', 'EntityDefinitions'],
    ['the definition of another table', "EntityDefinitions(LogicalName='opportunity')"],
    ['relationships', 'RelationshipDefinitions'],
    ['a function of its own', "RetrieveTotalRecordCount(EntityNames=['opportunity'])"],
    ['a function of rows', 'accounts(1)/Microsoft.Dynamics.CRM.RetrievePrincipalAccess(Target=@t)'],
    ['an action', 'accounts(1)/Microsoft.Dynamics.CRM.Merge', {}, 'POST'],
    ['rows behind a lookup', 'accounts(1)/owninguser'],
    ['rows of a collection', 'accounts(1)/opportunity_customer_accounts'],
    ['an expand', 'accounts?$expand=owninguser'],
    ['an expand within', 'accounts?$expand=primarycontactid($expand=owninguser)'],
    ['a condition behind a lookup', "accounts?$filter=owninguser/fullname eq 'x'"],
    ['a condition on a collection', 'accounts?$filter=opportunity_customer_accounts/any(o:o/name eq null)'],
    ['an order behind a lookup', 'accounts?$orderby=owninguser/fullname'],
    ['a parameter', "accounts?$filter=@p eq 'x'&@p=owninguser/fullname"],
    [
      'a function with a path',
      "accounts?$filter=Microsoft.Dynamics.CRM.In(PropertyName='owninguser/fullname',PropertyValues=['x'])",
    ],
    ['an aggregation', 'accounts?$apply=groupby((owninguser/fullname))'],
    ['a saved query', 'accounts?savedQuery=00000000-0000-0000-0000-000000000001'],
    ['an unknown option', 'accounts?api-version=9'],
    [
      'a join',
      'accounts?fetchXml=<fetch><entity name="account"><link-entity name="systemuser" from="systemuserid" to="owninguser" /></entity></fetch>',
    ],
    ['another table’s query', 'accounts?fetchXml=<fetch><entity name="opportunity" /></fetch>'],
    ['a lookup that is bound', 'accounts', { 'ownerid@odata.bind': `/${systemUser}` }, 'POST'],
    [
      'a lookup bound by an absolute address',
      'accounts',
      { 'ownerid@odata.bind': `https://evil.example/api/data/v9.2/${systemUser}` },
      'POST',
    ],
    ['rows that are bound', 'accounts', { 'contact_customer_accounts@odata.bind': [`/${systemUser}`] }, 'POST'],
    ['a row that is created too', 'accounts', { owninguser: { fullname: 'x' } }, 'POST'],
    ['rows that are created too', 'accounts', { opportunity_customer_accounts: [{ name: 'x' }] }, 'POST'],
    ['a row within a row', 'contacts', { parentcustomerid_account: { owninguser: {} } }, 'POST'],
    ['a row of another type', 'accounts', { '@odata.type': 'Microsoft.Dynamics.CRM.opportunity' }, 'POST'],
    ['an unknown annotation', 'accounts', { 'name@odata.type': 'x' }, 'POST'],
    ['a reference', 'accounts(1)/primarycontactid/$ref', { '@odata.id': systemUser }, 'PUT'],
    ['a reference to remove', `accounts(1)/contact_customer_accounts/$ref?$id=${systemUser}`, undefined, 'DELETE'],
    [
      'rows in bulk of another type',
      'accounts/Microsoft.Dynamics.CRM.UpsertMultiple',
      { Targets: [{ '@odata.id': systemUser }] },
      'POST',
    ],
    [
      'members besides the rows in bulk',
      'accounts/Microsoft.Dynamics.CRM.UpsertMultiple',
      { Targets: [], More: [] },
      'POST',
    ],
    ['a body that is no JSON', 'accounts', 'text', 'POST'],
    ['a body that is a list', 'accounts', [], 'POST'],
  ])('is not sent with %s', async (_, path, data, method = 'GET') => {
    await app.forgetCalls();
    const answer = await raw({ path, method, ...(data !== undefined && { data }) }, 'default');
    expect(answer.status, answer.text).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(500);
    const definitions = /EntityDefinitions|\$batch$/;
    expect((await app.calls()).filter((call) => !call.inBatch && !definitions.test(call.path))).toEqual([]);
  });

  test('is not sent with a form', async () => {
    const answer = await raw({ path: 'accounts', method: 'POST', form: { a: 'b' } }, 'default');
    expect([answer.status, answer.json.code]).toEqual([400, 'notUnderstood']);
  });
});
