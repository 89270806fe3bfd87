import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { addClientSecret, registerApplication } from '../../../src/local/entra/directory.ts';
import { homeTenant, openIdentityState } from '../../../src/local/identity-state.ts';
import { setSecret } from '../../../src/local/key-vault/vault.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'identity-state-'));
  file = join(folder, 'new', 'identity.json');
});
afterEach(() => rmSync(folder, { recursive: true }));

test('what was saved is there when the state is opened again', () => {
  const state = openIdentityState(file);
  const application = registerApplication(homeTenant(state), { name: 'Bridge' });
  addClientSecret(application, 'secret', 1);
  setSecret(state.vault, 'webhook-key', 'value', { now: 0, attributes: { exp: 5 } });
  state.save();

  const { save: _, ...again } = openIdentityState(file);
  expect(again).toEqual(JSON.parse(JSON.stringify(state)));
  expect(again.vault.secrets[0]?.versions[0]).toMatchObject({ value: 'value', attributes: { exp: 5 } });
});

test('a new state is on disk at once, for its owner only', () => {
  const state = openIdentityState(file);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(openIdentityState(file).signingKeyPem).toBe(state.signingKeyPem);
});

test.each([
  ['is cut off', (text: string) => text.slice(0, 200)],
  ['lacks the tenant of the vault', (text: string) => text.replace(/"tenantId": "[^"]+"/, '"tenantId": "other"')],
  ['has another shape', () => '{}'],
])('a state file that %s is refused without telling its content', async (_, damage) => {
  const state = openIdentityState(file);
  writeFileSync(file, damage(readFileSync(file, 'utf8')));
  const opened = Promise.resolve(file).then(openIdentityState);
  await expect(opened).rejects.toMatchObject({ code: 'identityStateUnreadable', hint: expect.any(String) });
  await expect(opened).rejects.toSatisfy((error) => !inspect(error).includes(state.signingKeyPem.slice(30, 60)));
});
