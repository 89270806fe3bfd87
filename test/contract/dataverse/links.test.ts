import { describe, expect, test } from 'vitest';
import { type Answer, type Call, idOf, openEnvironment, openSecuredEnvironment } from './environment.ts';

const MISSING = '11111111-1111-4111-8111-111111111111';

const create = async (call: Call, set: string, body: unknown): Promise<string> => {
  const answer = await call('POST', set, body);
  if (answer.status !== 204) throw new Error(answer.text);
  return idOf(answer);
};

const counts = async (call: Call, ...sets: string[]): Promise<string[]> =>
  Promise.all(sets.map(async (set) => (await call('GET', `${set}/$count`)).text.replace('\uFEFF', '')));

const names = (answer: Answer, column: string): string[] =>
  answer.json.value.map((row: Record<string, string>) => row[column]).sort();

describe('deep insert', () => {
  test('creates the documented sample: an account, its contact, an opportunity and a task of that', async () => {
    const { call } = await openEnvironment();
    const answer = await call('POST', 'accounts', {
      name: 'Sample Account',
      primarycontactid: { firstname: 'John', lastname: 'Smith' },
      opportunity_customer_accounts: [
        { name: 'Opportunity', Opportunity_Tasks: [{ subject: 'Task associated to opportunity' }] },
      ],
    });
    expect(answer.status).toBe(204);
    expect(answer.headers.get('odata-entityid')).toMatch(/\/accounts\([0-9a-f-]{36}\)$/);
    const account = await call('GET', `accounts(${idOf(answer)})/primarycontactid?$select=fullname`);
    expect(account.json.fullname).toBe('John Smith');
    const [opportunity] = (await call('GET', 'opportunities?$select=name,_customerid_value')).json.value;
    expect(opportunity).toMatchObject({ name: 'Opportunity', _customerid_value: idOf(answer) });
    const [task] = (await call('GET', 'tasks?$select=subject,_regardingobjectid_value')).json.value;
    expect(task._regardingobjectid_value).toBe(opportunity.opportunityid);
  });

  test('binds rows that exist to the collections of a new one, in relationships of both kinds', async () => {
    const { call } = await openEnvironment();
    const contact = await create(call, 'contacts', { lastname: 'Existing' });
    const lead = await create(call, 'leads', { lastname: 'Lead' });
    const account = await create(call, 'accounts', {
      name: 'a',
      'contact_customer_accounts@odata.bind': [`/contacts(${contact})`],
      'accountleads_association@odata.bind': [`leads(${lead})`],
    });
    const { json } = await call('GET', `contacts(${contact})?$select=_parentcustomerid_value,_accountid_value`);
    expect(json).toMatchObject({ _parentcustomerid_value: account, _accountid_value: account });
    expect(names(await call('GET', `accounts(${account})/accountleads_association`), 'leadid')).toEqual([lead]);
    expect(names(await call('GET', `leads(${lead})/accountleads_association`), 'accountid')).toEqual([account]);
  });

  test('answers the documented representation of a row that is bound while it is created', async () => {
    const { call } = await openEnvironment();
    const contact = await create(call, 'contacts', { firstname: 'Yvonne', lastname: 'McKay' });
    const { UserId } = (await call('GET', 'WhoAmI')).json;
    const owner = { 'ownerid_task@odata.bind': `/systemusers(${UserId})` };
    const tasks = [
      await create(call, 'tasks', { subject: 'Task 1', ...owner }),
      await create(call, 'tasks', { subject: 'Task 2' }),
    ];
    const answer = await call(
      'POST',
      'accounts?$select=name&$expand=primarycontactid($select=fullname),Account_Tasks($select=subject)',
      {
        name: 'Sample Account',
        'primarycontactid@odata.bind': `/contacts(${contact})`,
        'Account_Tasks@odata.bind': tasks.map((task) => `/tasks(${task})`),
      },
      { Prefer: 'return=representation' },
    );
    expect(answer.status).toBe(201);
    const context = '$metadata#accounts(name,primarycontactid(fullname),Account_Tasks(subject))/$entity';
    expect(answer.json['@odata.context'].endsWith(context)).toBe(true);
    expect(answer.json.primarycontactid).toMatchObject({ fullname: 'Yvonne McKay', contactid: contact });
    expect(names({ ...answer, json: { value: answer.json.Account_Tasks } }, 'subject')).toEqual(['Task 1', 'Task 2']);
  });

  test('leaves nothing behind when a row inside is refused', async () => {
    const { call } = await openEnvironment();
    const answer = await call('POST', 'accounts', {
      name: 'a',
      primarycontactid: { lastname: 'x' },
      Account_Tasks: [{ subject: 'fine' }, { subject: 'x'.repeat(201) }],
    });
    expect(answer.json.error.code).toBe('0x80044331');
    expect(await counts(call, 'accounts', 'contacts', 'tasks')).toEqual(['0', '0', '0']);
  });

  test('is refused where a row is updated or upserted', async () => {
    const { call } = await openEnvironment();
    const id = await create(call, 'accounts', { name: 'a' });
    for (const body of [
      { primarycontactid: { lastname: 'x' } },
      { Account_Tasks: [{ subject: 'x' }] },
      { 'Account_Tasks@odata.bind': [] },
    ]) {
      for (const key of [id, MISSING]) {
        const answer = await call('PATCH', `accounts(${key})`, body);
        expect(answer.status).toBe(400);
        const message = 'Deep update of navigation properties is not allowed.';
        expect(answer.json.error).toEqual({ code: '0x80060888', message });
      }
    }
    expect(await counts(call, 'accounts', 'contacts', 'tasks')).toEqual(['1', '0', '0']);
  });

  test('goes a hundred rows deep and no further', async () => {
    const { call } = await openEnvironment();
    const nested = (depth: number): unknown =>
      depth === 0 ? { name: 'root' } : { name: `${depth}`, parentaccountid: nested(depth - 1) };
    expect((await call('POST', 'accounts', nested(100))).status).toBe(204);
    const refused = await call('POST', 'accounts', nested(101));
    expect(refused.status).toBe(400);
    expect(refused.json.error.message).toMatch(/depth limit for entries in nested expanded navigation links/);
    expect(await counts(call, 'accounts')).toEqual(['101']);
  });

  test('of a wrong shape is refused by name of the node', async () => {
    const { call } = await openEnvironment();
    const wrong: [unknown, RegExp][] = [
      [{ primarycontactid: 'x' }, /'PrimitiveValue' node.*'StartObject' node was expected/],
      [{ primarycontactid: [] }, /'StartArray' node.*'StartObject' node was expected/],
      [{ Account_Tasks: {} }, /'StartObject' node.*'StartArray' node was expected/],
      [{ Account_Tasks: null }, /'StartArray' node was expected/],
      [{ Account_Tasks: ['x'] }, /'StartObject' node was expected/],
      [{ 'Account_Tasks@odata.bind': [1] }, /'PrimitiveValue' node/],
      [{ 'Account_Tasks@odata.bind': '/tasks(1)' }, /'StartArray' node was expected/],
      [
        { primarycontactid: { '@odata.type': '#Microsoft.Dynamics.CRM.lead', lastname: 'x' } },
        /A resource with type 'Microsoft\.Dynamics\.CRM\.lead' was found.*expected type 'Microsoft\.Dynamics\.CRM\.contact'/,
      ],
    ];
    for (const [body, message] of wrong) {
      const answer = await call('POST', 'accounts', body);
      expect(answer.status).toBe(400);
      expect(answer.json.error.message).toMatch(message);
    }
    expect(await counts(call, 'accounts', 'contacts')).toEqual(['0', '0']);
  });

  test('needs the right to create every row and to append one to the other', async () => {
    const { as } = await openSecuredEnvironment({
      roles: {
        Bridge: {
          prvCreateAccount: 'Global',
          prvCreateContact: 'Global',
          prvAppendAccount: 'Global',
          prvAppendContact: 'Global',
          prvAppendToAccount: 'Global',
        },
      },
    });
    const call = await as({ appid: '0a000000-0000-4000-8000-000000000002' });
    const below = await call('POST', 'accounts', { name: 'a', contact_customer_accounts: [{ lastname: 'x' }] });
    expect(below.status).toBe(204);
    const lookup = await call('POST', 'accounts', { name: 'a', primarycontactid: { lastname: 'x' } });
    expect(lookup.status).toBe(403);
    expect(lookup.json.error.message).toContain('prvAppendToContact');
    const task = await call('POST', 'accounts', { name: 'a', Account_Tasks: [{ subject: 'x' }] });
    expect(task.json.error.message).toContain('prvCreateActivity');
  });
});

describe('a row is created in a collection of another', () => {
  test('by POST to it', async () => {
    const { call } = await openEnvironment();
    const account = await create(call, 'accounts', { name: 'a' });
    const answer = await call(
      'POST',
      `accounts(${account})/contact_customer_accounts?$select=lastname`,
      { lastname: 'child' },
      { Prefer: 'return=representation' },
    );
    expect(answer.status).toBe(201);
    expect(answer.json.lastname).toBe('child');
    const { json } = await call('GET', `accounts(${account})/contact_customer_accounts?$select=lastname`);
    expect(json.value).toMatchObject([{ lastname: 'child' }]);
    expect((await call('POST', `accounts(${MISSING})/contact_customer_accounts`, { lastname: 'x' })).status).toBe(404);
  });
});

describe('$ref', () => {
  test('links and unlinks the rows of a one-to-many relationship in every form of address', async () => {
    const { call, apiUrl } = await openEnvironment();
    const account = await create(call, 'accounts', { name: 'a' });
    const contact = await create(call, 'contacts', { lastname: 'c' });
    const collection = `accounts(${account})/contact_customer_accounts`;
    const parent = async () => (await call('GET', `contacts(${contact})`)).json._parentcustomerid_value;
    const urls = [
      `contacts(${contact})`,
      `/contacts(${contact})`,
      `//contacts(${contact})`,
      `${apiUrl}contacts(${contact})`,
    ];
    const deletes = [`${collection}(${contact})/$ref`, ...urls.map((url) => `${collection}/$ref?$id=${url}`)];
    for (const [index, url] of [...urls, urls[0]].entries()) {
      expect((await call('POST', `${collection}/$ref`, { '@odata.id': url })).status).toBe(204);
      expect(await parent()).toBe(account);
      expect((await call('DELETE', deletes[index] ?? '')).status).toBe(204);
      expect(await parent()).toBeNull();
    }
  });

  test('links rows of a many-to-many relationship once, seen from both sides and through the table behind', async () => {
    const { call } = await openEnvironment();
    const list = await create(call, 'lists', { listname: 'l', createdfromcode: 1, type: false, membertype: 1 });
    const account = await create(call, 'accounts', { name: 'a' });
    const members = `lists(${list})/listaccount_association`;
    expect((await call('POST', `${members}/$ref`, { '@odata.id': `accounts(${account})` })).status).toBe(204);
    const twice = await call('POST', `accounts(${account})/listaccount_association/$ref`, {
      '@odata.id': `lists(${list})`,
    });
    expect([twice.status, twice.json.error.code]).toEqual([412, '0x80040237']);
    expect(names(await call('GET', `${members}?$select=name`), 'name')).toEqual(['a']);
    const pairs = await call('GET', `listmembers?$filter=listid eq ${list}`);
    expect(pairs.json.value).toMatchObject([{ listid: list, entityid: account }]);
    expect((await call('DELETE', `${members}(${account})/$ref`)).status).toBe(204);
    expect((await call('GET', members)).json.value).toEqual([]);
  });

  test('is a message of its own in rules and in the log', async () => {
    const { call } = await openEnvironment();
    const account = await create(call, 'accounts', { name: 'a' });
    const contact = await create(call, 'contacts', { lastname: 'c' });
    await call('POST', '/emulator/rules', { match: { message: 'Create' }, action: { status: 503 } });
    const ref = `accounts(${account})/contact_customer_accounts`;
    expect((await call('POST', `${ref}/$ref`, { '@odata.id': `contacts(${contact})` })).status).toBe(204);
    expect((await call('DELETE', `${ref}(${contact})/$ref`)).status).toBe(204);
    const calls = (await call('GET', '/emulator/calls')).json.slice(-2);
    expect(calls).toMatchObject([{ message: 'Associate' }, { message: 'Disassociate' }]);
  });

  test('refuses what it cannot link', async () => {
    const { call } = await openEnvironment();
    const account = await create(call, 'accounts', { name: 'a' });
    const contact = await create(call, 'contacts', { lastname: 'c' });
    const ref = `accounts(${account})/contact_customer_accounts/$ref`;
    const statusOf = async (...given: Parameters<Call>) => (await call(...given)).status;
    expect(await statusOf('POST', ref, { '@odata.id': `accounts(${account})` })).toBe(400);
    expect(await statusOf('POST', ref, { '@odata.id': `contacts(${MISSING})` })).toBe(404);
    expect(await statusOf('POST', ref, {})).toBe(400);
    expect(await statusOf('POST', ref, [])).toBe(400);
    expect(await statusOf('PUT', ref, { '@odata.id': `contacts(${contact})` })).toBe(405);
    expect(await statusOf('DELETE', ref)).toBe(404);
    expect(await statusOf('POST', `accounts(${account})/accountleads_association/$ref`, { '@odata.id': 'x' })).toBe(
      404,
    );
    const lookup = `accounts(${account})/primarycontactid/$ref`;
    expect(await statusOf('PUT', lookup, {})).toBe(400);
    expect(await statusOf('PUT', lookup, { '@odata.id': null })).toBe(400);
  });
});

describe('the parties of an activity', () => {
  test('are created with it, read, replaced and deleted with it', async () => {
    const { call } = await openEnvironment();
    const contact = await create(call, 'contacts', { lastname: 'c' });
    const account = await create(call, 'accounts', { name: 'a' });
    const email = await create(call, 'emails', {
      subject: 's',
      email_activity_parties: [
        { 'partyid_contact@odata.bind': `/contacts(${contact})`, participationtypemask: 2 },
        { 'partyid_account@odata.bind': `/accounts(${account})`, participationtypemask: 1 },
      ],
    });
    const parties = async () => {
      const { json } = await call('GET', `emails(${email})/email_activity_parties?$orderby=participationtypemask`);
      return json.value.map((party: Record<string, unknown>) => [
        party['_partyid_value'],
        party['participationtypemask'],
      ]);
    };
    expect(await parties()).toEqual([
      [account, 1],
      [contact, 2],
    ]);
    const replaced = await call('PUT', `emails(${email})/email_activity_parties`, {
      value: [{ 'partyid_contact@odata.bind': `contacts(${contact})`, participationtypemask: 3 }],
    });
    expect(replaced.status).toBe(204);
    expect(await parties()).toEqual([[contact, 3]]);
    expect((await call('PUT', `emails(${email})/email_activity_parties`, {})).status).toBe(400);
    expect((await call('PUT', `accounts(${account})/Account_Tasks`, { value: [] })).status).toBe(405);
    expect((await call('DELETE', `emails(${email})`)).status).toBe(204);
    expect(await counts(call, 'activityparties')).toEqual(['0']);
  });
});
