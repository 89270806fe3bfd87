import { argv, env, exit, stderr, stdout } from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

export interface SmokeOptions {
  /** Address of the app, without path. */
  readonly url: string;
  readonly functionKey: string;
  readonly connection: string;
  /** Says which calls it would make, and makes none. */
  readonly dryRun: boolean;
  readonly say: (line: string) => void;
}

/** The first call may have to wait for a start of the app; the connection test has two minutes of its own. */
const TIMEOUT_MS = 150_000;

/** Calls a deployed app as a user would, and tells whether it is alive and its connection works. Rejects never. */
export async function smokeTest(options: SmokeOptions): Promise<boolean> {
  const { functionKey, connection, dryRun, say } = options;
  const health = new URL('/api/health', options.url);
  const test = new URL(`/api/connections/${encodeURIComponent(connection)}/test`, options.url);
  if (dryRun) {
    say(`would call GET ${health}`);
    say(`would call POST ${test}`);
    return true;
  }
  return (await isAlive(health, say)) && (await connectionWorks(test, functionKey, say));
}

async function isAlive(url: URL, say: SmokeOptions['say']): Promise<boolean> {
  const answer = await call('GET', url, {});
  const passed = answer.status === 200 && member(answer.body, 'status') === 'ok';
  say(`health: ${passed ? 'ok' : describe(answer)}`);
  return passed;
}

async function connectionWorks(url: URL, key: string, say: SmokeOptions['say']): Promise<boolean> {
  const answer = await call('POST', url, { 'x-functions-key': key });
  const stages = member(answer.body, 'stages');
  if (answer.status !== 200 || !Array.isArray(stages)) {
    say(`connection test: ${describe(answer)}`);
    return false;
  }
  for (const stage of stages) {
    const hint = member(stage, 'hint');
    say(`  ${member(stage, 'name')}: ${member(stage, 'status')}  ${member(stage, 'detail')}${hint ? ` ${hint}` : ''}`);
  }
  const status = member(answer.body, 'status');
  say(`connection test: ${status}`);
  return status === 'passed';
}

interface Answer {
  /** 0 if there was none. */
  readonly status: number;
  /** JSON if it is that, else text. */
  readonly body: unknown;
}

async function call(method: string, url: URL, headers: Readonly<Record<string, string>>): Promise<Answer> {
  try {
    // A redirect would carry the key to another host.
    const response = await fetch(url, { method, headers, redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT_MS) });
    const text = await response.text();
    try {
      return { status: response.status, body: JSON.parse(text) };
    } catch {
      return { status: response.status, body: text.slice(0, 200) };
    }
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    return { status: 0, body: cause instanceof Error ? cause.message : String(cause) };
  }
}

const member = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;

function describe({ status, body }: Answer): string {
  if (status === 0) return `no answer: ${body}`;
  if (status === 401) return '401: the function key is wrong or missing';
  const problem = [member(body, 'code'), member(body, 'detail'), member(body, 'hint')].filter(Boolean).join(' ');
  return `${status} ${problem || body}`.trim();
}

/** An address that a key may be sent to: https, or this machine. */
export function isSafe(url: string): boolean {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  return (
    parsed?.protocol === 'https:' ||
    (parsed?.protocol === 'http:' && ['localhost', '127.0.0.1', '[::1]'].includes(parsed.hostname))
  );
}

const USAGE = `usage: BRIDGE_FUNCTION_KEY=... node infra/scripts/smoke.ts --url https://APP.azurewebsites.net [--connection default] [--dry-run]
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      url: { type: 'string' },
      connection: { type: 'string', default: 'default' },
      'dry-run': { type: 'boolean', default: false },
    },
  });
  const functionKey = env['BRIDGE_FUNCTION_KEY'] ?? '';
  const dryRun = values['dry-run'];
  if (!values.url || !isSafe(values.url) || (functionKey === '' && !dryRun)) {
    stderr.write(USAGE);
    return 2;
  }
  const say = (line: string) => stdout.write(`${line}\n`);
  return (await smokeTest({ url: values.url, functionKey, connection: values.connection, dryRun, say })) ? 0 : 1;
}

if (argv[1] === fileURLToPath(import.meta.url)) exit(await main());
