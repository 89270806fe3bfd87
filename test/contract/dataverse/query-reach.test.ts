import { expect, test } from 'vitest';
import { APP_CLIENT, APP_USER, openSecuredEnvironment } from './environment.ts';
import { create } from './query-environment.ts';

/** The application reads all accounts, of contacts its own, and no tasks. */
async function openCompanies() {
  const environment = await openSecuredEnvironment();
  const admin = await environment.as({});
  const app = await environment.as({ appid: APP_CLIENT });
  const own = await create(admin, 'contacts', {
    lastname: 'Own',
    'ownerid@odata.bind': `/systemusers(${APP_USER})`,
  });
  const foreign = await create(admin, 'contacts', { lastname: 'Foreign' });
  const accounts: string[] = [];
  for (const contact of [own, foreign]) {
    const account = await create(admin, 'accounts', {
      name: contact === own ? 'with own' : 'with foreign',
      'primarycontactid@odata.bind': `/contacts(${contact})`,
    });
    for (const member of [own, foreign]) {
      await admin('PATCH', `contacts(${member})`, { 'parentcustomerid_account@odata.bind': `/accounts(${account})` });
    }
    accounts.push(account);
  }
  return { app, admin, own, foreign, accounts };
}

test('a query shows and finds through other tables only the rows that the caller may read', async () => {
  const { app, admin, own, accounts } = await openCompanies();
  const names = async (call: typeof app, filter: string): Promise<string[]> => {
    const { json } = await call('GET', `accounts?$select=name&$orderby=name&$filter=${filter}`);
    return json.value.map(({ name }: { name: string }) => name);
  };
  const { json } = await app(
    'GET',
    'accounts?$select=name&$expand=primarycontactid($select=lastname),contact_customer_accounts($select=lastname)&$orderby=name',
  );
  expect(json.value.map((row: { primarycontactid: unknown }) => row.primarycontactid)).toEqual([
    null,
    { lastname: 'Own', contactid: own },
  ]);
  expect(json.value[0].contact_customer_accounts.map(({ lastname }: { lastname: string }) => lastname)).toEqual([
    'Own',
  ]);

  const ofForeign: [filter: string, found: string[], asAdmin: string[]][] = [
    ["primarycontactid/lastname eq 'Foreign'", [], ['with foreign']],
    ["primarycontactid/lastname eq 'Own'", ['with own'], ['with own']],
    ["contact_customer_accounts/any(c:c/lastname eq 'Foreign')", [], ['with foreign']],
    ["contact_customer_accounts/any(c:c/lastname eq 'Own')", ['with foreign'], ['with foreign']],
    ["contact_customer_accounts/all(c:c/lastname eq 'Own')", ['with foreign', 'with own'], ['with own']],
  ];
  for (const [filter, found, asAdmin] of ofForeign) {
    expect({ filter, found: await names(app, filter), asAdmin: await names(admin, filter) }).toEqual({
      filter,
      found,
      asAdmin,
    });
  }
  const grouped = await app('GET', 'accounts?$apply=groupby((primarycontactid/lastname),aggregate($count as n))');
  expect(grouped.json.value).toEqual([{ n: 1 }, { contact_lastname: 'Own', n: 1 }]);
  const below = await app('GET', `accounts(${accounts[1]})/contact_customer_accounts?$select=lastname&$count=true`);
  expect(below.json['@odata.count']).toBe(1);

  const foreignOne = await app('GET', `accounts(${accounts[1]})/primarycontactid?$select=lastname`);
  expect({ status: foreignOne.status, code: foreignOne.json.error.code }).toEqual({ status: 403, code: '0x80048306' });
  expect((await app('GET', `accounts(${accounts[1]})/primarycontactid/lastname`)).status).toBe(403);
});

test('a table that the caller may not read at all is refused by name, wherever the query leads to it', async () => {
  const { app, accounts } = await openCompanies();
  const paths = [
    'accounts?$expand=Account_Tasks($select=subject)',
    'accounts?$filter=Account_Tasks/any()',
    `accounts(${accounts[0]})?$expand=Account_Tasks`,
    `accounts(${accounts[0]})/Account_Tasks`,
    `accounts(${accounts[0]})/Account_Tasks/$count`,
    "contacts?$filter=Contact_Tasks/any(t:t/subject eq 'x')",
    'accounts?$expand=primarycontactid($expand=Contact_Tasks)',
  ];
  for (const path of paths) {
    const { status, json } = await app('GET', path);
    expect({ path, status, message: json.error?.message }).toEqual({
      path,
      status: 403,
      message: expect.stringContaining('missing prvReadActivity privilege'),
    });
  }
  const counts = await app('GET', "RetrieveTotalRecordCount(EntityNames=['account','task'])");
  expect(counts.status).toBe(403);
});
