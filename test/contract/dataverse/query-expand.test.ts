import { describe, expect, test } from 'vitest';
import { create, queryEnvironment } from './query-environment.ts';

/** The rows of the documentation's examples in "Join tables using OData". */
const environment = queryEnvironment({}, async (call) => {
  const account = await create(call, 'accounts', { name: 'Litware, Inc. (sample)' });
  const bind = { 'parentcustomerid_account@odata.bind': `/accounts(${account})` };
  const contact = await create(call, 'contacts', { firstname: 'Susanna', lastname: 'Stubberod', ...bind });
  await call('PATCH', `accounts(${account})`, { 'primarycontactid@odata.bind': `/contacts(${contact})` });
  const tasks: string[] = [];
  for (const subject of ['Task 1', 'Task 2', 'Task 3']) {
    tasks.push(
      await create(call, 'tasks', { subject, 'regardingobjectid_account_task@odata.bind': `/accounts(${account})` }),
    );
  }
  await create(call, 'tasks', {
    subject: 'Call',
    'regardingobjectid_contact_task@odata.bind': `/contacts(${contact})`,
  });
  const other = await create(call, 'accounts', { name: 'Fourth Coffee' });
  return { account, contact, tasks, other };
});

// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
const read = async (path: string, headers: Record<string, string> = {}): Promise<any> => {
  const answer = await environment.call('GET', path, undefined, headers);
  if (answer.status !== 200) throw new Error(answer.text);
  return answer.json;
};

const refusal = async (path: string) => {
  const { status, json } = await environment.call('GET', path);
  return { status, ...json.error };
};

const LITWARE = "$filter=startswith(name,'Litware')";

describe('a lookup', () => {
  test('is expanded without ETag in rows of a set and with one in a single row', async () => {
    const { account, contact } = environment.rows;
    const many = await read(`accounts?$select=name&$expand=primarycontactid($select=contactid,fullname)&${LITWARE}`);
    expect(many['@odata.context']).toMatch(/#accounts\(name,primarycontactid\(contactid,fullname\)\)$/);
    expect(many.value[0].primarycontactid).toEqual({ contactid: contact, fullname: 'Susanna Stubberod' });
    const one = await read(`accounts(${account})?$select=name&$expand=primarycontactid($select=fullname)`);
    expect(one['@odata.context']).toMatch(/#accounts\(name,primarycontactid\(fullname\)\)\/\$entity$/);
    expect(one.primarycontactid).toEqual({
      '@odata.etag': expect.stringMatching(/^W\/"\d+"$/),
      fullname: 'Susanna Stubberod',
      contactid: contact,
    });
  });

  test('is expanded over several levels, with formatted values when they are asked for', async () => {
    const { account } = environment.rows;
    const json = await read(
      "tasks?$select=subject&$filter=subject eq 'Call'&$expand=regardingobjectid_contact_task($select=fullname,_createdby_value;$expand=parentcustomerid_account($select=name;$expand=createdby($select=fullname)))",
      { Prefer: 'odata.include-annotations="OData.Community.Display.V1.FormattedValue"' },
    );
    expect(json['@odata.context']).toMatch(
      /#tasks\(subject,regardingobjectid_contact_task\(fullname,_createdby_value,parentcustomerid_account\(name,createdby\(fullname\)\)\)\)$/,
    );
    const { regardingobjectid_contact_task: behind } = json.value[0];
    expect(behind).toMatchObject({
      fullname: 'Susanna Stubberod',
      '_createdby_value@OData.Community.Display.V1.FormattedValue': expect.any(String),
      parentcustomerid_account: { name: 'Litware, Inc. (sample)', accountid: account },
    });
    const { createdby } = behind.parentcustomerid_account;
    expect(Object.keys(createdby)).toEqual(['fullname', 'systemuserid', 'ownerid']);
    expect(createdby.ownerid).toBe(createdby.systemuserid);
  });

  test('is expanded as a reference, with its value beside', async () => {
    const { account, contact } = environment.rows;
    const json = await read(`accounts?$select=name&$expand=primarycontactid/$ref&$orderby=name desc`);
    expect(json['@odata.context']).toMatch(/#accounts\(name,primarycontactid,primarycontactid\/\$ref\(\)\)$/);
    expect(json.value).toEqual([
      {
        '@odata.etag': expect.any(String),
        name: 'Litware, Inc. (sample)',
        _primarycontactid_value: contact,
        accountid: account,
        primarycontactid: { '@odata.id': `${environment.apiUrl}contacts(${contact})` },
      },
      expect.objectContaining({ _primarycontactid_value: null, primarycontactid: null }),
    ]);
  });

  test('that leads to several tables tells which one it is', async () => {
    const json = await read(`accounts?$select=name&$expand=ownerid($select=ownerid)&${LITWARE}`);
    expect(json.value[0].ownerid['@odata.type']).toBe('#Microsoft.Dynamics.CRM.systemuser');
  });
});

describe('a collection', () => {
  test('has ETags, the lookup back and a link without paging when no $expand is nested', async () => {
    const { account, tasks, other } = environment.rows;
    const json = await read('accounts?$select=name&$expand=Account_Tasks($select=subject)&$orderby=name desc', {
      Prefer: 'odata.maxpagesize=5',
    });
    expect(json['@odata.context']).toMatch(/#accounts\(name,Account_Tasks\(subject\)\)$/);
    expect(json.value[0].Account_Tasks).toHaveLength(3);
    expect(json.value[0].Account_Tasks).toContainEqual({
      '@odata.etag': expect.any(String),
      subject: 'Task 1',
      _regardingobjectid_value: account,
      activityid: tasks[0],
    });
    const link = `${environment.apiUrl}accounts(${account})/Account_Tasks?$select=subject`;
    expect(json.value[0]['Account_Tasks@odata.nextLink']).toBe(link);
    expect((await read(link)).value).toHaveLength(3);
    expect(json.value[1]).toMatchObject({
      Account_Tasks: [],
      'Account_Tasks@odata.nextLink': `${environment.apiUrl}accounts(${other})/Account_Tasks?$select=subject`,
    });
  });

  test('is filtered, sorted and cut, and its link does the same', async () => {
    const options = "$select=subject;$filter=contains(subject,'Task');$orderby=subject desc;$top=2";
    const json = await read(`accounts?$select=name&$expand=Account_Tasks(${options})&${LITWARE}`);
    const subjects = (rows: { subject: string }[]) => rows.map(({ subject }) => subject);
    expect(subjects(json.value[0].Account_Tasks)).toEqual(['Task 3', 'Task 2']);
    const link = json.value[0]['Account_Tasks@odata.nextLink'];
    expect(link).toMatch(
      /Account_Tasks\?\$select=subject&\$filter=contains\(subject,'Task'\)&\$orderby=subject%20desc/,
    );
    expect(subjects((await read(link)).value)).toEqual(['Task 3', 'Task 2']);
  });

  test('of a single row has no link and no lookup back', async () => {
    const { account } = environment.rows;
    const json = await read(
      `accounts(${account})?$select=name&$expand=Account_Tasks($select=subject;$orderby=subject)`,
    );
    expect(json['Account_Tasks@odata.nextLink']).toBeUndefined();
    expect(Object.keys(json.Account_Tasks[0])).toEqual(['@odata.etag', 'subject', 'activityid']);
  });

  test('is paged, without ETags, when any $expand is nested', async () => {
    const { account, contact } = environment.rows;
    const json = await read(
      `accounts?$select=name&$expand=Account_Tasks($select=subject),contact_customer_accounts($select=fullname;$expand=owninguser($select=fullname))&${LITWARE}`,
      { Prefer: 'odata.maxpagesize=1' },
    );
    const [row] = json.value;
    expect(row['@odata.etag']).toEqual(expect.any(String));
    expect(row.Account_Tasks).toEqual([{ subject: expect.any(String), activityid: expect.any(String) }]);
    expect(row.contact_customer_accounts).toEqual([
      {
        fullname: 'Susanna Stubberod',
        contactid: contact,
        owninguser: { fullname: expect.any(String), systemuserid: expect.any(String), ownerid: expect.any(String) },
      },
    ]);
    const subjects = [row.Account_Tasks[0].subject];
    let next = row['Account_Tasks@odata.nextLink'];
    expect(decodeURIComponent(decodeURIComponent(next))).toContain(
      '<cookie%20page="1"%20countOfRecords="1">'.replaceAll('%20', ' '),
    );
    expect(next).toContain(`accounts(${account})/Account_Tasks?$select=subject&$skiptoken=`);
    while (next) {
      const page = await read(next, { Prefer: 'odata.maxpagesize=1' });
      subjects.push(...page.value.map(({ subject }: { subject: string }) => subject));
      next = page['@odata.nextLink'];
    }
    expect(subjects.sort()).toEqual(['Task 1', 'Task 2', 'Task 3']);
  });

  test('of a many-to-many relationship stands alone or beside others of its kind', async () => {
    const json = await read('systemusers?$select=fullname&$expand=systemuserroles_association($select=name)');
    const roles = json.value.flatMap((user: { systemuserroles_association: { name: string }[] }) =>
      user.systemuserroles_association.map(({ name }) => name),
    );
    expect(roles).toContain('System Administrator');
    await read(
      'systemusers?$expand=systemuserroles_association($select=name),teammembership_association($select=name)',
    );
    for (const others of [
      'systemuserroles_association,businessunitid',
      'systemuserroles_association($expand=businessunitid)',
    ]) {
      expect(await refusal(`systemusers?$expand=${others}`)).toMatchObject({ status: 400, code: '0x80060888' });
    }
  });
});

describe('$expand is refused', () => {
  const onlySelect =
    'Only $select and $filter clause can be provided while doing $expand on many-to-one relationship or nested one-to-many relationship.';
  const noRef = 'Expand with $ref is only supported on lookup type navigation property.';
  const tooMany = Array.from({ length: 16 }, () => 'primarycontactid').join();
  test.each([
    ['Account_Tasks($orderby=subject;$expand=createdby)', '0x80060888', onlySelect],
    ['Account_Tasks($top=1),primarycontactid($expand=createdby)', '0x80060888', onlySelect],
    ['primarycontactid($top=1)', '0x80060888', onlySelect],
    ['primarycontactid($orderby=fullname)', '0x80060888', onlySelect],
    ['Account_Tasks/$ref', '0x80060888', noRef],
    ['Account_Tasks($skip=1)', '0x0', 'The query parameter $skip is not supported'],
    ['primarycontactid($levels=2)', '0x0', 'The query parameter $levels is not supported'],
    ['nothing', '0x0', "Could not find a property named 'nothing' on type 'Microsoft.Dynamics.CRM.account'."],
    [
      'primarycontactid($select=no)',
      '0x0',
      "Could not find a property named 'no' on type 'Microsoft.Dynamics.CRM.contact'.",
    ],
    [tooMany, '0x8004430D', 'Number of link entities in query exceeded maximum limit.'],
  ])('for %s', async (expand, code, message) => {
    expect(await refusal(`accounts?$expand=${expand}`)).toEqual({ status: 400, code, message });
  });
});

describe('a path through a row', () => {
  test('leads behind a lookup and to one row of a collection', async () => {
    const { account, contact, tasks, other } = environment.rows;
    expect((await read(`accounts(${account})/primarycontactid/fullname`)).value).toBe('Susanna Stubberod');
    const members = await read(
      `accounts(${account})/primarycontactid/parentcustomerid_account/Account_Tasks?$select=subject`,
    );
    expect(members.value).toHaveLength(3);
    const one = await read(`accounts(${account})/Account_Tasks(${tasks[1]})?$select=subject`);
    expect(one).toMatchObject({ subject: 'Task 2', activityid: tasks[1] });
    expect(one['@odata.context']).toMatch(/#tasks\(subject\)\/\$entity$/);
    expect((await read(`accounts(${account})/contact_customer_accounts(${contact})/lastname`)).value).toBe('Stubberod');
    expect(await refusal(`accounts(${other})/Account_Tasks(${tasks[1]})`)).toMatchObject({ status: 404 });
    expect(await refusal(`accounts(${other})/primarycontactid/fullname`)).toMatchObject({ status: 404 });
  });

  test('takes no options of collections where it leads to one row', async () => {
    const { account } = environment.rows;
    for (const option of [
      '$filter=name eq null',
      '$orderby=name',
      '$top=1',
      '$count=true',
      '$apply=aggregate($count as n)',
    ]) {
      const { status, message } = await refusal(`accounts(${account})?${option}`);
      expect({ option, status }).toEqual({ option, status: 400 });
      expect(message).toMatch(/can be applied only on collections\.$/);
    }
  });
});
