import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { PrivilegeReport, TableReport } from '../../../src/health/privileges.ts';
import { STAGES, type Stage, type StageName } from '../../../src/health/stages.ts';
import { registerApplication } from '../../../src/local/entra/directory.ts';
import { homeTenant } from '../../../src/local/identity-state.ts';
import { KEYS, startApp, type TestApp, type World } from '../../support/app.ts';

const USER = '0b000000-0000-4000-8000-000000000001';
let app: TestApp;
let administrator: string;

function connections({ identity, connection }: World): Record<string, string> {
  const { certPem } = identity.company.certificate;
  const one = registerApplication(homeTenant(identity.company.state), { name: 'Mighty', certificates: [certPem] });
  administrator = one.clientId;
  return {
    ...connection('small', { allowedTables: 'account' }),
    ...connection('mighty', { clientId: administrator, allowedTables: 'account' }),
  };
}

beforeAll(async () => {
  app = await startApp({ settings: connections });
});
beforeEach(() => app.forgetCalls());
afterEach(() => app.clearRules());
afterAll(() => app.close());

async function stagesOf(name = 'small', query = ''): Promise<Record<StageName, Stage>> {
  const answer = await app.call('POST', `connections/${name}/test${query}`);
  expect(answer.status, answer.text).toBe(200);
  const stages: Stage[] = answer.json.stages;
  return Object.fromEntries(stages.map((stage) => [stage.name, stage])) as Record<StageName, Stage>;
}

const reportOf = (stage: Stage): PrivilegeReport => stage.facts as unknown as PrivilegeReport;

function tableOf(stage: Stage, table: string): TableReport {
  const found = reportOf(stage).tables.find((each) => each.table === table);
  if (!found) throw new Error(`${table} is not in the report.`);
  return found;
}

const dump = async (): Promise<unknown> => (await fetch(`${app.environmentUrl}/emulator/dump`)).json();

/** Takes a privilege from the app's role while `during` runs. */
async function without(privilege: string, during: () => Promise<void>): Promise<void> {
  const roles = await app.admin('GET', `roles?$select=roleid&$filter=name eq 'Bridge'`);
  const role = `roles(${roles.json.value[0].roleid})/Microsoft.Dynamics.CRM`;
  const privileges = await app.admin('GET', `privileges?$select=privilegeid&$filter=name eq '${privilege}'`);
  const PrivilegeId = privileges.json.value[0].privilegeid;
  expect((await app.admin('POST', `${role}.RemovePrivilegeRole`, { PrivilegeId })).status).toBe(204);
  try {
    await during();
  } finally {
    const back = { Privileges: [{ PrivilegeId, Depth: 'Global', BusinessUnitId: crypto.randomUUID() }] };
    expect((await app.admin('POST', `${role}.AddPrivilegesRole`, back)).status).toBe(204);
  }
}

async function withActivation(
  definition: Readonly<Record<string, unknown>>,
  during: () => Promise<void>,
): Promise<void> {
  const body = JSON.stringify({
    name: 'probe',
    connection: 'small',
    source: { kind: 'blob', path: 'inbox/x.csv' },
    table: 'account',
    key: { kind: 'id' },
    mapping: { name: 'a' },
    ...definition,
  });
  const put = await app.call('PUT', 'activations/probe', { key: KEYS.master, type: 'application/json', body });
  expect(put.status, put.text).toBe(201);
  try {
    await during();
  } finally {
    await app.call('DELETE', 'activations/probe', { key: KEYS.master });
  }
}

describe('the probe of privileges', () => {
  test('shows by real requests what works and what is refused, and leaves no trace', async () => {
    const answer = await app.admin('POST', 'accounts', { name: 'There already' });
    expect(answer.status).toBe(204);
    const before = await dump();
    const { privileges } = await stagesOf('default');
    expect(await dump()).toEqual(before);
    expect(privileges.status).toBe('passed');
    expect(tableOf(privileges, 'account').rights).toMatchObject({
      create: { needed: false, granted: 'Global', shown: 'allowed', verdict: 'unused' },
      read: { needed: true, granted: 'Global', shown: 'allowed', verdict: 'ok' },
      write: { needed: false, granted: 'Global', shown: 'allowed', verdict: 'unused' },
      delete: { needed: false, granted: 'Global', shown: 'allowed', verdict: 'unused' },
      append: { needed: false, granted: 'Global', verdict: 'unused' },
      appendTo: { needed: false, granted: 'Global', verdict: 'unused' },
    });
    expect(reportOf(privileges).outside).toEqual([
      { table: 'opportunity', read: 'allowed' },
      { table: 'incident', read: 'refused' },
      { table: 'invoice', read: 'refused' },
    ]);
    expect(reportOf(privileges).beyondNeed).toContain('prvWriteOpportunity');
    expect(privileges.warnings).toEqual([
      expect.stringContaining('Reading opportunity is not refused'),
      expect.stringContaining('prvWriteOpportunity'),
    ]);
    const refused = (await app.calls()).filter(({ path }) => path.startsWith('/api/data/v9.2/invoices'));
    expect(refused.map(({ status }) => status)).toEqual([403]);
  });

  test.each([
    ['prvCreateAccount', 'create'],
    ['prvDeleteAccount', 'delete'],
    ['prvWriteAccount', 'write'],
  ] as const)('without %s is refused just %s', async (privilege, right) => {
    await without(privilege, async () => {
      const before = await dump();
      const { privileges } = await stagesOf();
      expect(await dump()).toEqual(before);
      const { rights } = tableOf(privileges, 'account');
      expect(rights[right]).toMatchObject({ granted: 'none', shown: 'refused', verdict: 'absent' });
      for (const other of ['create', 'write', 'delete', 'read'] as const) {
        if (other !== right) expect(rights[other].verdict, other).not.toBe('absent');
      }
    });
  });

  test('fails where an allowed table cannot be read', async () => {
    await without('prvReadLead', async () => {
      const { privileges } = await stagesOf('default', '?probe=never');
      expect(privileges).toMatchObject({
        status: 'failed',
        code: 'privilegeMissing',
        detail: 'The application user lacks read on lead.',
        hint: expect.stringContaining('setup-user'),
      });
    });
  });

  test('writes nothing where it is told not to', async () => {
    const { privileges } = await stagesOf('small', '?probe=never');
    expect((await app.calls()).filter(({ inBatch, method }) => inBatch && method !== 'GET')).toEqual([]);
    expect(tableOf(privileges, 'account')).toMatchObject({
      notTried: expect.any(String),
      rights: { create: { granted: 'Global', verdict: 'unused' } },
    });
    expect((await app.call('POST', 'connections/small/test?probe=maybe')).status).toBe(400);
  });

  test('tries no write that a synchronous step would run in, unless it is forced', async () => {
    const steps = { status: 200, body: { value: [{ name: 'Validate account' }] } };
    await app.rule({ match: { path: 'sdkmessageprocessingsteps' }, action: steps });
    const { privileges } = await stagesOf();
    expect(tableOf(privileges, 'account').notTried).toContain('synchronous steps');
    expect(tableOf(privileges, 'account').rights.create).toEqual({
      needed: false,
      granted: 'Global',
      verdict: 'unused',
    });
    const forced = await stagesOf('small', '?probe=forced');
    expect(tableOf(forced.privileges, 'account').rights.create).toMatchObject({ shown: 'allowed' });
  });

  test('writes to no table that knows no transactions, forced or not', async () => {
    const { json } = await app.admin('GET', `EntityDefinitions(LogicalName='account')?$select=Privileges`);
    const body = { EntitySetName: 'accounts', TableType: 'Elastic', Privileges: json.Privileges };
    await app.rule({ match: { path: 'TableType,Privileges' }, action: { status: 200, body } });
    const { privileges } = await stagesOf('small', '?probe=forced');
    expect(tableOf(privileges, 'account').notTried).toContain('Elastic');
    expect((await app.calls()).filter(({ inBatch, method }) => inBatch && method !== 'GET')).toEqual([]);
  });

  test('says so where a change set was carried out that had to fail', async () => {
    const action = {
      status: 200,
      headers: { 'content-type': 'multipart/mixed; boundary=batchresponse_1' },
      body: '--batchresponse_1\r\nContent-Type: multipart/mixed; boundary=changesetresponse_2\r\n\r\n--changesetresponse_2--\r\n--batchresponse_1--\r\n',
    };
    // The first batch reads the table's definition.
    await app.rule({ match: { path: '$batch' }, after: 1, action });
    const { privileges } = await stagesOf();
    expect(privileges).toMatchObject({
      status: 'failed',
      code: 'probeNotUndone',
      hint: expect.stringContaining('accounts('),
    });
  });

  test('takes steps that it may not read for synchronous ones', async () => {
    await app.rule({ match: { path: 'sdkmessageprocessingsteps' }, action: { status: 403 } });
    const { privileges } = await stagesOf();
    expect(tableOf(privileges, 'account').notTried).toContain('could not be read');
  });

  test('claims nothing where neither a request nor the privilege functions tell', async () => {
    await app.rule({ match: { path: 'RetrieveUserPrivileges' }, action: { status: 400 } });
    const { privileges } = await stagesOf('small', '?probe=never');
    expect(tableOf(privileges, 'account').rights.create).toEqual({
      needed: false,
      granted: 'unknown',
      verdict: 'unknown',
    });
  });
});

describe('what an activation needs', () => {
  test('is part of the test of its connection', async () => {
    await withActivation({}, async () => {
      const { privileges } = await stagesOf();
      expect(tableOf(privileges, 'account').rights).toMatchObject({
        create: { needed: true, verdict: 'ok' },
        write: { needed: true, verdict: 'ok' },
        delete: { needed: false, verdict: 'unused' },
      });
      await without('prvCreateAccount', async () => {
        expect((await stagesOf()).privileges).toMatchObject({
          status: 'failed',
          detail: 'The application user lacks create on account.',
        });
      });
    });
  });

  test('includes Append and AppendTo where it writes a lookup', async () => {
    await withActivation({ connection: 'default', mapping: { name: 'a', primarycontactid: 'b' } }, async () => {
      await without('prvAppendToContact', async () => {
        expect((await stagesOf('default')).privileges).toMatchObject({
          status: 'failed',
          detail: 'The application user lacks appendTo on contact.',
        });
      });
    });
  });

  test('is an alternate key whose index is active', async () => {
    const key = { kind: 'alternateKey', columns: ['accountnumber'] };
    await withActivation({ key, mapping: { name: 'a', accountnumber: 'b' } }, async () => {
      expect((await stagesOf()).keys).toMatchObject({ status: 'failed', code: 'keyMissing' });
      await app.defineKey('account', 'accountnumber');
      expect((await stagesOf()).keys).toMatchObject({
        status: 'passed',
        detail: 'Alternate keys in use are active: account(accountnumber).',
      });
    });
  });

  test('is not an alternate key whose index could not be built', async () => {
    for (const name of ['one', 'two']) await app.admin('POST', 'leads', { subject: name, lastname: 'Equal' });
    await app.defineKey('lead', 'lastname');
    const key = { kind: 'alternateKey', columns: ['lastname'] };
    await withActivation({ connection: 'default', table: 'lead', key, mapping: { lastname: 'a' } }, async () => {
      expect((await stagesOf('default', '?probe=never')).keys).toMatchObject({
        status: 'failed',
        code: 'keyNotActive',
        hint: expect.stringContaining('equal values'),
      });
    });
  });
});

describe('a role that is too broad', () => {
  test('is told of, with what it gives beyond the need', async () => {
    const units = await app.admin(
      'GET',
      'businessunits?$select=businessunitid&$filter=_parentbusinessunitid_value eq null',
    );
    const unit = units.json.value[0].businessunitid;
    const made = await app.admin('POST', 'systemusers', {
      applicationid: administrator,
      'businessunitid@odata.bind': `/businessunits(${unit})`,
      firstname: 'Mighty',
      lastname: 'One',
      internalemailaddress: 'mighty@example.org',
    });
    expect(made.status, made.text).toBe(204);
    const id = /\(([^)]+)\)/.exec(made.headers.get('odata-entityid') ?? '')?.[1];
    const roles = await app.admin('GET', `roles?$select=roleid&$filter=name eq 'System Administrator'`);
    const assigned = await app.admin('POST', `systemusers(${id})/systemuserroles_association/$ref`, {
      '@odata.id': `${app.environmentUrl}/api/data/v9.2/roles(${roles.json.value[0].roleid})`,
    });
    expect(assigned.status, assigned.text).toBe(204);
    const { user, privileges } = await stagesOf('mighty');
    expect(user).toMatchObject({
      status: 'passed',
      warnings: [expect.stringContaining('System Administrator')],
      facts: { roles: [{ name: 'System Administrator', isBroad: true }] },
    });
    expect(reportOf(privileges).outside.map(({ read }) => read)).toEqual(['allowed', 'allowed', 'allowed']);
    expect(privileges.warnings?.[0]).toContain('is not refused');
  });

  test('is not the app’s own, whose user is named with its business unit', async () => {
    const { user } = await stagesOf();
    expect(user.warnings).toBeUndefined();
    expect(user.facts).toMatchObject({ userId: USER, disabled: false, businessUnit: expect.any(String) });
  });
});

describe('the headroom under service protection limits', () => {
  test('is told, and warned of when it is low', async () => {
    expect((await stagesOf()).limits).toMatchObject({ status: 'passed', facts: { requests: 5999, parallel: 5 } });
    const headers = {
      'x-ms-ratelimit-burst-remaining-xrm-requests': '12',
      'x-ms-ratelimit-time-remaining-xrm-requests': '1,000.50',
    };
    const who = { UserId: USER, BusinessUnitId: crypto.randomUUID(), OrganizationId: crypto.randomUUID() };
    await app.rule({ match: { path: 'WhoAmI' }, after: 1, action: { status: 200, headers, body: who } });
    const { limits } = await stagesOf();
    expect(limits).toMatchObject({ facts: { requests: 12, seconds: 1000.5 } });
    expect(limits.warnings).toEqual([expect.stringContaining('nearly used up')]);
  });
});

test('every stage has its place in the answer', async () => {
  expect(Object.keys(await stagesOf())).toEqual([...STAGES]);
});
