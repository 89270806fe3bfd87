import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runSecretSet } from '../../src/commands/secret-set/command.ts';
import { addManagedIdentity } from '../../src/local/entra/directory.ts';
import { homeTenant } from '../../src/local/identity-state.ts';
import { findNamed } from '../../src/local/key-vault/vault.ts';
import { fakeClock } from '../support/clock.ts';
import { CERTIFICATE_NAME, startTestIdentity, type TestIdentity, useManagedIdentity } from '../support/identity.ts';

const VALUE = 'hunter2-the-value~of.a_secret';
let identity: TestIdentity;
let administrator: string;

beforeAll(async () => {
  identity = await startTestIdentity();
  const { state } = identity.company;
  const added = addManagedIdentity(homeTenant(state), { kind: 'userAssigned', resourceId: '/administrator' });
  administrator = added.clientId;
  state.vault.roleAssignments.push({ principalId: added.objectId, role: 'Key Vault Secrets Officer' });
  useManagedIdentity(identity);
});
afterAll(() => identity.close());

/** Runs the command as an administrator, `input` on standard input. */
async function run(
  args: string,
  {
    input = `${VALUE}\n`,
    isTTY,
    clientId = administrator,
  }: { input?: string; isTTY?: boolean; clientId?: string } = {},
): Promise<{ code: 0 | 1; text: string }> {
  const lines: string[] = [];
  const stream = (async function* () {
    yield Buffer.from(input);
  })();
  const code = await runSecretSet(args.split(' '), {
    env: { MANAGED_IDENTITY_CLIENT_ID: clientId },
    input: Object.assign(stream, { isTTY }),
    print: (line) => lines.push(line),
    clock: fakeClock(),
  });
  const text = lines.join('\n');
  expect(text).not.toContain('hunter2');
  return { code, text };
}

const versionsOf = (name: string) => findNamed(identity.company.state.vault.secrets, name)?.versions ?? [];
const complete = (name: string): string => `--vault ${identity.vaultUri} --name ${name} --expires 2027-01-31`;

test('says what it would do, and does nothing', async () => {
  const { code, text } = await run(complete('dry'));
  expect([code, text]).toEqual([0, expect.stringMatching(/Would add version 1 of 'dry' .*expiring on 2027-01-31/)]);
  expect(versionsOf('dry')).toEqual([]);
});

test('writes the value with its dates, and leaves earlier versions enabled', async () => {
  expect((await run(`${complete('wet')} --apply`)).text).toMatch(/^Wrote version [0-9a-f]{32} of 'wet'/);
  const second = await run(`${complete('wet')} --from 2026-12-24 --apply`, { input: 'another' });
  expect(second.text).toContain('Earlier versions go on serving');
  expect(
    versionsOf('wet').map(({ value, attributes }) => [value, attributes.enabled, attributes.nbf, attributes.exp]),
  ).toEqual([
    [VALUE, true, undefined, Date.parse('2027-01-31') / 1000],
    ['another', true, Date.parse('2026-12-24') / 1000, Date.parse('2027-01-31') / 1000],
  ]);
});

test('mentions that the value looks like the id of a secret', async () => {
  const { text } = await run(`${complete('guid')} --apply`, { input: '5a0b6a0e-1111-4a4a-8b8b-000000000001' });
  expect(text).toContain('not its id');
});

test('tells an identity that may only read what it lacks', async () => {
  const reader = identity.company.userAssigned.clientId;
  const { code, text } = await run(`${complete('denied')} --apply`, { clientId: reader });
  expect([code, text]).toEqual([1, expect.stringContaining('Key Vault Secrets Officer')]);
});

test('does not overwrite the secret of a certificate', async () => {
  const { code, text } = await run(`${complete(CERTIFICATE_NAME)} --apply`);
  expect([code, text]).toEqual([1, expect.stringContaining('belongs to a certificate')]);
});

describe('refuses', () => {
  test.each([
    ['a value on the command line', `--name a --expires 2027-01-31 ${VALUE}`, {}, /standard input/],
    ['a vault that is none', '--vault https://example.org/ --name a --expires 2027-01-31', {}, /--vault names a host/],
    ['no name', '--expires 2027-01-31', {}, /--name must be/],
    ['no date', '--name a', {}, /--expires must be a date/],
    ['a day that is none', '--name a --expires 2027-02-30', {}, /--expires must be a date/],
    ['a day that is over', '--name a --expires 2020-01-01', {}, /future/],
    ['a beginning behind the end', '--name a --expires 2027-01-31 --from 2027-02-01', {}, /before/],
    ['an empty value', '--name a --expires 2027-01-31 --apply', { input: '\n' }, /no value/],
    ['several lines', '--name a --expires 2027-01-31 --apply', { input: 'hunter2\nhunter2' }, /one line/],
    ['a value that is typed', '--name a --expires 2027-01-31 --apply', { isTTY: true }, /pipe/],
  ])('%s', async (_, args, options, expected) => {
    const vault = args.includes('--vault') ? '' : `--vault ${identity.vaultUri} `;
    const { code, text } = await run(vault + args, options);
    expect(text).toMatch(expected);
    expect(code).toBe(1);
  });
});
