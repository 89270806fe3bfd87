import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest';
import { runSetupUser } from '../../src/commands/setup-user/command.ts';
import { startDataverse } from '../../src/local/dataverse/server.ts';
import { addResource } from '../../src/local/entra/directory.ts';
import { homeTenant } from '../../src/local/identity-state.ts';
import {
  CERTIFICATE_NAME,
  mintToken,
  newTestCompany,
  startTestIdentity,
  type TestIdentity,
  useManagedIdentity,
} from '../support/identity.ts';

const BRIDGE_CLIENT = '0a000000-0000-4000-8000-0000000000b1';
const SAMPLE = new URL('../../src/commands/setup-user.sample.json', import.meta.url).pathname;

let identity: TestIdentity;
let folder: string;

beforeAll(async () => {
  identity = await startTestIdentity(newTestCompany());
  useManagedIdentity(identity);
  folder = mkdtempSync(join(tmpdir(), 'setup-user-'));
});

afterAll(async () => {
  await identity.close();
  rmSync(folder, { recursive: true, force: true });
});

/** An environment whose administrator is the company's application, and which does not know the bridge yet. */
async function open() {
  const { certFile, keyFile } = inject('authority');
  const dataverse = await startDataverse({
    tls: { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') },
    auth: {
      kind: 'entra',
      tenantId: identity.tenantId,
      issuers: identity.issuers,
      keys: identity.jwks,
      authorityUrl: identity.url,
    },
    users: [
      {
        clientId: identity.company.application.clientId,
        systemUserId: '0b000000-0000-4000-8000-000000000001',
        roles: ['System Administrator'],
      },
    ],
  });
  onTestFinished(() => dataverse.close());
  addResource(homeTenant(identity.company.state), { uri: dataverse.url, name: 'Dataverse' });
  const token = await mintToken(identity, dataverse.url, identity.company.application);
  const connection = (name: string, clientId: string) => ({
    [`Dataverse__${name}__url`]: dataverse.url,
    [`Dataverse__${name}__tenantId`]: identity.tenantId,
    [`Dataverse__${name}__clientId`]: clientId,
    [`Dataverse__${name}__credential`]: 'certificate',
    [`Dataverse__${name}__certificateName`]: CERTIFICATE_NAME,
    [`Dataverse__${name}__tokenUrl`]: `${identity.authority}/oauth2/v2.0/token`,
  });
  const settings: Record<string, string | undefined> = {
    IDENTITY_ENDPOINT: process.env['IDENTITY_ENDPOINT'],
    KEY_VAULT_URI: identity.vaultUri,
    ...connection('default', BRIDGE_CLIENT),
    ...connection('admin', identity.company.application.clientId),
  };
  const call = async (method: string, path: string, body?: unknown) => {
    const response = await fetch(new URL(path, dataverse.apiUrl), {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answer = await response.text();
    // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
    return (answer === '' ? {} : JSON.parse(answer)) as any;
  };
  const run = async (...args: string[]) => {
    const lines: string[] = [];
    const code = await runSetupUser(args, settings, (line) => lines.push(line));
    return { code, lines, output: lines.join('\n') };
  };
  const file = (content: unknown): string => {
    const path = join(folder, 'user.json');
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
    return path;
  };
  const setUp = (path: string, ...args: string[]) => run('--file', path, '--connection', 'admin', ...args);
  return { dataverse, token, call, run, setUp, file, dump: () => call('GET', '/emulator/dump') };
}

const bridgeUser = async (call: Awaited<ReturnType<typeof open>>['call']) => {
  const [user] = (await call('GET', `systemusers?$filter=applicationid eq ${BRIDGE_CLIENT}`)).value;
  const roles = (await call('GET', `systemusers(${user.systemuserid})/systemuserroles_association`)).value;
  return { user, roles, roleNames: roles.map(({ name }: { name: string }) => name) };
};

const depthsOf = async (call: Awaited<ReturnType<typeof open>>['call'], roleId: string) => {
  const { RolePrivileges } = await call('GET', `RetrieveRolePrivilegesRole(RoleId=${roleId})`);
  return Object.fromEntries(
    RolePrivileges.map((one: { PrivilegeName: string; Depth: string }) => [one.PrivilegeName, one.Depth]),
  );
};

describe('setup-user', () => {
  test('prints what is missing and writes nothing without --apply', async () => {
    const { setUp, dump, dataverse } = await open();
    const before = await dump();
    const { code, output } = await setUp(SAMPLE);
    expect(code).toBe(0);
    expect(output).toContain("The role 'Dataverse Bridge' is missing.");
    expect(output).toContain('+ prvCreateAccount Global');
    expect(output).toContain(`There is no application user for application ${BRIDGE_CLIENT}.`);
    expect(output).toContain('Nothing was changed.');
    expect(output).toContain(
      `pac admin assign-user --environment ${dataverse.url} --user ${BRIDGE_CLIENT} --role "Dataverse Bridge" --application-user`,
    );
    expect(await dump()).toEqual(before);
  });

  test('creates role and user at the first run, and changes nothing at the second', async () => {
    const { setUp, call, dump } = await open();
    const first = await setUp(SAMPLE, '--apply');
    expect(first.output).toContain('Done: 4 corrections.');
    const { user, roles, roleNames } = await bridgeUser(call);
    expect(user).toMatchObject({ fullname: 'Dataverse Bridge', accessmode: 4, isdisabled: false });
    expect(roleNames).toEqual(['Dataverse Bridge']);
    const depths = await depthsOf(call, roles[0].roleid);
    expect(depths).toMatchObject({ prvReadAccount: 'Global', prvReadUser: 'Global', prvReadSdkMessage: 'Global' });
    expect(depths).not.toHaveProperty('prvAssignAccount');

    const before = await dump();
    const second = await setUp(SAMPLE, '--apply');
    expect(second.lines).toContain('Everything is as the file says.');
    expect(await dump()).toEqual(before);
  });

  test('puts the user into a business unit of its own, with the role there', async () => {
    const { setUp, call, file } = await open();
    const path = file({ ...JSON.parse(readFileSync(SAMPLE, 'utf8')), businessUnit: 'Integrations' });
    expect((await setUp(SAMPLE, '--apply')).code).toBe(0);
    const moved = await setUp(path, '--apply');
    expect(moved.output).toContain('is in another business unit');
    const { user, roles, roleNames } = await bridgeUser(call);
    expect((await call('GET', `businessunits(${user._businessunitid_value})`)).name).toBe('Integrations');
    expect(roleNames).toEqual(['Dataverse Bridge']);
    expect(roles[0]._businessunitid_value).toBe(user._businessunitid_value);
  });

  test('corrects a role that drifted and a user that was disabled', async () => {
    const { setUp, call } = await open();
    await setUp(SAMPLE, '--apply');
    const { user, roles } = await bridgeUser(call);
    const idOf = async (name: string) =>
      (await call('GET', `privileges?$filter=name eq '${name}'`)).value[0].privilegeid;
    const action = (name: string, body: unknown) =>
      call('POST', `roles(${roles[0].roleid})/Microsoft.Dynamics.CRM.${name}`, body);
    await action('RemovePrivilegeRole', { PrivilegeId: await idOf('prvWriteContact') });
    await action('AddPrivilegesRole', {
      Privileges: [
        { PrivilegeId: await idOf('prvReadAccount'), Depth: 'Basic' },
        { PrivilegeId: await idOf('prvDeleteLead'), Depth: 'Global' },
      ],
    });
    await call('PATCH', `systemusers(${user.systemuserid})`, { isdisabled: true });

    const { output } = await setUp(SAMPLE, '--apply');
    expect(output).toContain('+ prvWriteContact Global');
    expect(output).toContain('~ prvReadAccount Basic → Global');
    expect(output).toContain('- prvDeleteLead Global');
    const depths = await depthsOf(call, roles[0].roleid);
    expect(depths).toMatchObject({ prvWriteContact: 'Global', prvReadAccount: 'Global' });
    expect(depths).not.toHaveProperty('prvDeleteLead');
    expect((await bridgeUser(call)).user.isdisabled).toBe(false);
  });

  test('tells of roles that the file does not name and takes them only with --exclusive', async () => {
    const { setUp, call } = await open();
    await setUp(SAMPLE, '--apply');
    const { user } = await bridgeUser(call);
    const [broad] = (await call('GET', "roles?$filter=name eq 'System Administrator'")).value;
    await call('POST', `systemusers(${user.systemuserid})/systemuserroles_association/$ref`, {
      '@odata.id': `/roles(${broad.roleid})`,
    });
    const told = await setUp(SAMPLE, '--apply');
    expect(told.output).toContain("also has the role 'System Administrator'. It lets the application do everything.");
    expect((await bridgeUser(call)).roleNames).toHaveLength(2);
    await setUp(SAMPLE, '--apply', '--exclusive');
    expect((await bridgeUser(call)).roleNames).toEqual(['Dataverse Bridge']);
  });

  test('refuses broad roles, tables and depths that do not exist, all at once', async () => {
    const { setUp, file, dump } = await open();
    const before = await dump();
    const sample = JSON.parse(readFileSync(SAMPLE, 'utf8'));
    const broad = await setUp(file({ ...sample, role: 'System Administrator' }), '--apply');
    expect(broad).toMatchObject({ code: 1, output: expect.stringContaining('must be a role of your own') });
    const impossible = {
      ...sample,
      tables: { acount: { read: 'Global' }, transactioncurrency: { read: 'Basic', share: 'Global' } },
      privileges: { prvReadNothing: 'Global' },
    };
    const { code, output } = await setUp(file(impossible), '--apply');
    expect(code).toBe(1);
    expect(output).toContain('There is no table acount');
    expect(output).toContain('prvReadTransactionCurrency cannot be Basic, only Global');
    expect(output).toContain('transactioncurrency has no privilege to share');
    expect(output).toContain('There is no privilege prvReadNothing');
    expect((await setUp(file('{'))).output).toContain('The file is no JSON.');
    expect(await dump()).toEqual(before);
  });

  test('runs as a command with a token of the environment, which it never prints', async () => {
    const { dataverse, token, call } = await open();
    const entry = new URL('../../src/commands/setup-user.ts', import.meta.url).pathname;
    const args = ['--file', SAMPLE, '--url', dataverse.url, '--application', BRIDGE_CLIENT, '--apply'];
    const child = spawn(process.execPath, [entry, ...args], {
      env: { ...process.env, DATAVERSE_ADMIN_TOKEN: token },
    });
    const exit = new Promise<number | null>((resolve) => child.once('close', resolve));
    const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
    expect({ code: await exit, errors }).toEqual({ code: 0, errors: '' });
    expect(output).toContain('Done: 4 corrections.');
    expect(output).not.toContain(token);
    expect((await bridgeUser(call)).roleNames).toEqual(['Dataverse Bridge']);
  });

  test('wants arguments that fit together', async () => {
    const { run } = await open();
    expect((await run('--help')).output).toContain('npm run setup-user -- --file FILE');
    const faults: [string[], string][] = [
      [[], '--file is missing.'],
      [['--file', SAMPLE, '--url', 'https://localhost:1'], '--url and --application belong together.'],
      [['--file', SAMPLE, '--unknown'], '--unknown'],
      [['--file', SAMPLE, '--for', 'other'], "There is no connection 'other'."],
      [['--file', SAMPLE, '--connection', 'default'], 'signs in as the very user'],
      [['--file', '/nowhere.json'], 'cannot be read'],
    ];
    for (const [args, message] of faults) {
      expect(await run(...args)).toMatchObject({ code: 1, output: expect.stringContaining(message) });
    }
  });
});
