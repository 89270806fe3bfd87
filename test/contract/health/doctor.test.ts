import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runDoctor } from '../../../src/commands/doctor/command.ts';
import { STAGES } from '../../../src/health/stages.ts';
import { KEYS, startApp, type TestApp, type World } from '../../support/app.ts';

const PROGRAM = fileURLToPath(new URL('../../../src/commands/doctor.ts', import.meta.url));
let app: TestApp;
let folder: string;

const connections = ({ connection }: World): Record<string, string> => ({
  ...connection('client', { clientId: '00000000-0000-4000-8000-00000000dead' }),
  ...connection('missing', { certificateName: 'not-there' }),
  ...connection('refused', { url: 'https://localhost:1' }),
  ...connection('privilege', { allowedTables: 'invoice' }),
  Dataverse__broken__url: 'https://example.org',
});

beforeAll(async () => {
  app = await startApp({ settings: connections });
  folder = await mkdtemp(join(tmpdir(), 'doctor-'));
});
afterAll(async () => {
  await app.close();
  await rm(folder, { recursive: true, force: true });
});

async function doctor(args: readonly string[], { colour = false, env = process.env } = {}) {
  const lines: string[] = [];
  const code = await runDoctor(args, env, { colour, print: (line) => lines.push(line) });
  return { code, text: lines.join('\n') };
}

/** Runs the program as npm does, in a folder of its own. */
async function program(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<{ code: number | null; text: string }> {
  const child = spawn(process.execPath, [PROGRAM, ...args], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, text }));
  });
}

describe('the doctor', () => {
  test('tells each stage of a connection that works, with its privileges by table', async () => {
    const { code, text } = await doctor(['default']);
    expect(code, text).toBe(0);
    for (const stage of STAGES) expect(text).toMatch(new RegExp(`^  ${stage} +(passed|skipped) +\\d+ ms  \\S`, 'm'));
    expect(text).toMatch(/^ +create +read +write +delete +append +appendTo$/m);
    expect(text).toMatch(/^ +account +Global unused +Global ok /m);
    expect(text).toContain('! Reading opportunity is not refused');
    expect(text.trimEnd()).toMatch(/The connection works\.$/);
  });

  test.each([
    ['client', 'token', /AADSTS700016/, /→ Check the client id/],
    ['missing', 'vault', /has no 'not-there'/, /→ Check the name in the settings/],
    ['refused', 'network', /refuses connections/, /→ Check host and port in Dataverse__refused__url/],
    ['privilege', 'privileges', /lacks read on invoice/, /→ Add the privileges/],
    ['broken', 'settings', /Dataverse__broken__url names a host/, /→ Correct the settings that are named/],
  ])('tells of %s that it fails at %s, and what to do', async (connection, stage, why, next) => {
    const { code, text } = await doctor([connection, '--probe', 'never']);
    expect(code).toBe(1);
    expect(text).toMatch(new RegExp(`^  ${stage} +failed`, 'm'));
    expect(text).toMatch(why);
    expect(text).toMatch(next);
    expect(text.trimEnd()).toMatch(/The connection does not work\.$/);
  });

  test('tests all connections where none is named', async () => {
    const { code, text } = await doctor(['--probe', 'never']);
    expect(code).toBe(1);
    const named = [...text.matchAll(/^Connection (\w+)/gm)].map((match) => match[1]);
    expect(named).toEqual(['broken', 'client', 'default', 'missing', 'privilege', 'refused']);
  });

  test('colours its text without changing it', async () => {
    const { text } = await doctor(['broken'], { colour: true });
    expect(text).toContain('\u001b[31mfailed');
    const plain = (each: string): string => stripVTControlCharacters(each).replaceAll(/\d+ ms/g, '');
    expect(plain(text)).toBe(plain((await doctor(['broken'])).text));
  });

  test.each([
    [['nowhere'], /no connection 'nowhere'/],
    [['--probe', 'maybe'], /--probe must be/],
    [['one', 'two'], /Name one connection/],
    [['--what'], /--what/],
  ])('refuses %j', async (args, why) => {
    const { code, text } = await doctor(args);
    expect([code, text]).toEqual([1, expect.stringMatching(why)]);
  });

  test('says how it is used, and that no connection is defined', async () => {
    expect(await doctor(['--help'])).toMatchObject({ code: 0, text: expect.stringContaining('npm run doctor') });
    expect(await doctor([], { env: {} })).toMatchObject({
      code: 1,
      text: expect.stringContaining('No connection is defined'),
    });
  });
});

describe('the doctor as a program', () => {
  test('takes its settings from a file, the authorities that Node trusts included', async () => {
    const own = /^(Dataverse__|AzureWebJobsStorage|KEY_VAULT_URI$|IDENTITY_|NODE_EXTRA_CA_CERTS$)/;
    const ofApp = Object.entries(process.env).filter(([name]) => own.test(name));
    const others = Object.entries(process.env).filter(([name]) => !own.test(name));
    const file = join(folder, 'app.env.json');
    await writeFile(file, JSON.stringify(Object.fromEntries(ofApp)));
    const env = Object.fromEntries(others);
    const { code, text } = await program(['default', '--env', file], env);
    expect(code, text).toBe(0);
    expect(text).toContain('The connection works.');
    expect(text).toBe(stripVTControlCharacters(text));
    expect(text).not.toMatch(/eyJ[\w-]{10,}\./);
    for (const secret of [KEYS.function, app.identity.managedIdentity.header]) expect(text).not.toContain(secret);
  });
});
