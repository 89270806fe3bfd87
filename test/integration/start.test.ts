import { globSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Program, paste, root, start } from './program.ts';

const TIMEOUT_MS = 300_000;
const startProgram = 'src/local/start.ts';

let folder: string;
let program: Program;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'dataverse-bridge-start-'));
  program = start(process.execPath, [startProgram, '--port', '0', '--data', folder]);
  await program.line(/^Serving/);
}, TIMEOUT_MS);

afterAll(async () => {
  program.child.kill('SIGTERM');
  await program.ended;
  rmSync(folder, { recursive: true, force: true });
}, TIMEOUT_MS);

/** How far a run is. */
const FAR = /^ {2}nasdaq-listed-[\d-]+\.csv: /;
const printed = (label: RegExp): string => program.lines.find((line) => label.test(line)) ?? '';
const lastWord = (line: string): string => line.trim().split(/\s+/).at(-1) ?? '';

/** What the emulator was asked, from its call log. */
async function calls(): Promise<
  { method: string; path: string; table?: string; message: string; rows?: number; status: number }[]
> {
  const dispatcher = new Agent({ connect: { ca: readFileSync(join(folder, 'authority', 'ca.pem')) } });
  const { origin } = new URL(lastWord(printed(/^ {2}Dataverse /)));
  const answer = await request(`${origin}/emulator/calls`, { dispatcher });
  const log = (await answer.body.json()) as Awaited<ReturnType<typeof calls>>;
  await dispatcher.close();
  return log;
}

const readme = readFileSync(join(root, 'README.md'), 'utf8');

/** The environment of the app, and with it an administrator's token for Dataverse. */
async function operatorsEnvironment(): Promise<Record<string, string>> {
  const read = (file: string) => JSON.parse(readFileSync(join(folder, file), 'utf8'));
  const { Values: values } = read('app.env.json') as { Values: Record<string, string> };
  const registrations: { name: string; clientId: string }[] = read('identity.json').directory.tenants[0].applications;
  const dispatcher = new Agent({ connect: { ca: readFileSync(join(folder, 'authority', 'ca.pem')) } });
  const answer = await request(values['Dataverse__default__tokenUrl'] ?? '', {
    dispatcher,
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: registrations.find(({ name }) => name === 'Local administrator')?.clientId ?? '',
      client_secret: read('local.json').administratorSecret,
      scope: `${values['Dataverse__default__url']}/.default`,
    }).toString(),
  });
  const { access_token: token } = (await answer.body.json()) as { access_token: string };
  await dispatcher.close();
  return { ...values, DATAVERSE_ADMIN_TOKEN: token };
}

describe('npm start', () => {
  test('tests the connection stage by stage', () => {
    expect(program.lines).toContain('Connection test: passed');
    const stages = ['settings', 'network', 'vault', 'credential', 'token', 'api', 'user', 'privileges', 'limits'];
    for (const stage of stages) expect(printed(new RegExp(`^ {2}${stage} `))).toMatch(/ passed /);
    expect(printed(/^ {2}keys /)).toMatch(/ skipped /);
  });

  test('sends both lists, with counts that add up', () => {
    const [june = '', july = ''] = program.lines.filter((line) => / rows = /.test(line));
    expect(june).toMatch(
      /^ +5,472 rows = 5,472 created \+ 0 updated \+ 0 unchanged \+ 0 rejected \+ 0 skipped; 0 left /,
    );
    expect(july).toMatch(
      /^ +5,524 rows = 122 created \+ 14 updated \+ 5,388 unchanged \+ 0 rejected \+ 0 skipped; 70 left /,
    );
  });

  test('says how far a run is', () => {
    expect(printed(FAR)).toMatch(/: (queued|planning|finishing|[\d,]+ of 5,472 rows, .*)$/);
  });

  test('gets an event for each changed row back', () => {
    expect(printed(/^ {2}events /)).toBe('  events  136 of 136 received from Dataverse and stored');
  });

  test('reads and sends nothing for the rows that did not change', async () => {
    const log = await calls();
    // The steps are registered between the two runs.
    const between = log.findLastIndex((call) => call.path.includes('/sdkmessageprocessingsteps'));
    const afterIt = log.slice(between).filter((call) => call.path.includes('/accounts'));
    const secondRun = afterIt.filter((call) => call.message !== 'Retrieve');
    const written = (message: string): number =>
      secondRun.filter((call) => call.message === message).reduce((sum, call) => sum + (call.rows ?? 0), 0);
    expect(secondRun.every((call) => call.status < 300)).toBe(true);
    expect(written('CreateMultiple')).toBe(122);
    expect(written('UpdateMultiple')).toBe(14);
    expect(written('RetrieveMultiple')).toBe(0);
    const messages = new Set(secondRun.map((call) => call.message));
    expect([...messages].sort()).toEqual(['CreateMultiple', 'RetrieveMultiple', 'UpdateMultiple']);
  });

  test('prints commands that work as they stand', async (context) => {
    if ((await paste('curl --version')).code !== 0) context.skip('curl is not installed on this machine');
    const commands = program.lines.filter((_, at) => program.lines[at - 1]?.startsWith('  # '));
    expect(commands).toHaveLength(8);
    for (const command of commands) {
      // --fail makes curl exit with 22 when the answer is a problem.
      const { code, output } = await paste(command.replace('curl -sS', 'curl -sS --fail-with-body'));
      expect({ command, code, output }).toMatchObject({ code: 0 });
    }
  });

  test(
    'stands up to the operator’s commands of the README',
    async () => {
      const env = await operatorsEnvironment();
      const commands = [...readme.matchAll(/^\| `(npm run [^`]+)` \|/gm)].map((match) => match[1] ?? '');
      expect(commands).toHaveLength(6);
      // The emulator serves until it is told to end (test/contract/dataverse/stand-alone.test.ts); the soak is tried by
      // test/contract/bulk-writer, the package by package.test.ts; benchmarks take minutes.
      for (const command of commands.filter((each) => !/^npm run (emulator|soak|bench|package)/.test(each))) {
        const filledIn = command
          .replace('https://<vault>.vault.azure.net/', env['KEY_VAULT_URI'] ?? '')
          .replace('<secret>', 'webhook-main');
        const { code, output } = await paste(filledIn, env);
        expect({ command: filledIn, code, output }).toMatchObject({ code: 0 });
      }
    },
    TIMEOUT_MS,
  );

  test('prints the keys that open the app', async () => {
    const url = lastWord(printed(/^ {2}function app /));
    const activations = (key: string) => fetch(`${url}/api/activations`, { headers: { 'x-functions-key': key } });
    expect((await activations(lastWord(printed(/^ {2}function key /)))).status).toBe(200);
    expect((await activations(lastWord(printed(/^ {2}master key /)))).status).toBe(200);
    expect((await activations('another')).status).toBe(401);
  });

  test('leaves no secret, key or token in its log, its output or its storage', () => {
    const { functionKey, masterKey, webhookSecret, administratorSecret } = JSON.parse(
      readFileSync(join(folder, 'local.json'), 'utf8'),
    );
    const kept = globSync('azurite/**', { cwd: folder })
      .map((file) => join(folder, file))
      .filter((file) => statSync(file).isFile());
    const written = [join(folder, 'app.log'), ...kept].map((file) => ({ file, bytes: readFileSync(file, 'latin1') }));
    expect(written.reduce((sum, { bytes }) => sum + bytes.length, 0)).toBeGreaterThan(1_000_000);
    const secrets = [functionKey, masterKey, webhookSecret, administratorSecret, '-----BEGIN', 'client_assertion'];
    const isToken = /eyJ[\w-]{20,}\.eyJ[\w-]{20,}/;
    const found = written.filter(
      ({ bytes }) => isToken.test(bytes) || secrets.some((secret) => bytes.includes(secret)),
    );
    expect(found.map(({ file }) => file)).toEqual([]);
    // What is printed for its owner holds the keys to call with, and nothing beyond.
    const output = program.lines.join('\n');
    expect([administratorSecret, '-----BEGIN'].filter((secret) => output.includes(secret))).toEqual([]);
    expect(output).not.toMatch(isToken);
  });

  test(
    'keeps what is stored, and does not run the sample again',
    async () => {
      program.child.kill('SIGTERM');
      expect(await program.ended).toBe(0);
      program = start(process.execPath, [startProgram, '--port', '0', '--data', folder]);
      await program.line(/^Serving/);
      expect(printed(/not run again/)).not.toBe('');
      expect(program.lines.some((line) => / rows = /.test(line))).toBe(false);
      const url = lastWord(printed(/^ {2}function app /));
      const key = lastWord(printed(/^ {2}function key /));
      const runs = await fetch(`${url}/api/activations/nasdaq-accounts/runs`, { headers: { 'x-functions-key': key } });
      const { value } = (await runs.json()) as { value: { counts: { created: number } }[] };
      expect(value.map((run) => run.counts.created)).toContain(5472);
    },
    TIMEOUT_MS,
  );
});

describe('the README', () => {
  const [commands = ''] = [...readme.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => match[1]);

  test('names two commands, of which CI runs the test', () => {
    expect(commands.trim().split('\n')).toEqual(['npm ci && npm start -- --once', 'npm ci && npm test']);
    expect(readFileSync(join(root, '.ci/run'), 'utf8')).toContain('\nnpm ci && npm test\n');
  });

  test('names npm scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const named = [...readme.matchAll(/npm run (?:--silent )?([\w:-]+)/g)].map((match) => match[1] ?? '');
    expect(named.length).toBeGreaterThan(4);
    expect(named.filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
  });

  test(
    'shows what the first command prints',
    async () => {
      const [example = ''] = [...readme.matchAll(/```text\n(Dataverse Bridge on[\s\S]*?)```/g)].map(
        (match) => match[1],
      );
      const { code, output } = await paste('npm start -- --once --port 0');
      expect({ code, output }).toMatchObject({ code: 0 });
      expect(shape(output.slice(output.indexOf('Dataverse Bridge on')))).toEqual(shape(example));
    },
    TIMEOUT_MS,
  );
});

/** Lines without what differs from run to run: addresses, keys, ids, times and speeds, and how far a run was when. */
function shape(text: string): string[] {
  return text
    .trim()
    .split('\n')
    .filter((line) => !FAR.test(line))
    .map((line) =>
      line
        .replace(/[\w-]{32}(?=['\s]|$)/g, 'KEY')
        .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'GUID')
        .replace(/(localhost|127\.0\.0\.1):\d+/g, '$1:PORT')
        .replace(/\/tmp\/\S+/g, 'FOLDER')
        .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
        .replace(/ +\d+ ms/g, ' N ms')
        .replace(/version [0-9a-f]{32}, thumbprint [0-9A-F]{16}…/g, 'version KEY, thumbprint KEY')
        .replace(/\d+ calls/g, 'N calls')
        .replace(/[\d,]+ rows\/s/g, 'N rows/s')
        .replace(/in [\d.]+ s\./g, 'in N s.'),
    );
}
