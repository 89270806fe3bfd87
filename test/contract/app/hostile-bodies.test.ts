import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { appRoutes } from '../../../src/functions/register.ts';
import { createServices } from '../../../src/functions/services.ts';
import type { RouteDescription } from '../../../src/http/routes.ts';
import { type Answer, KEYS, startApp, type TestApp } from '../../support/app.ts';

// Made from the schemas that validate: each member of each body that is JSON, missing, of every wrong type and too long,
// and what is hostile in every place that takes it.

let app: TestApp;
let account = '';

beforeAll(async () => {
  app = await startApp({ settings: ({ connection }) => connection('admin') });
  const made = await app.admin('POST', 'accounts', { name: 'Contoso Ltd' });
  account = /\(([^)]+)\)$/.exec(made.headers.get('odata-entityid') ?? '')?.[1] ?? '';
});
afterAll(() => app.close());

interface BodyRoute {
  readonly route: RouteDescription;
  readonly schema: z.ZodType;
  /** A body that is taken. */
  readonly valid: unknown;
}

/** One route for each schema. */
const bodies: readonly BodyRoute[] = appRoutes(createServices({})).flatMap((route, at, all) => {
  const schema = route.bodySchema ?? route.body;
  const isFirst = all.findIndex((other) => (other.bodySchema ?? other.body) === schema) === at;
  return schema && isFirst ? [{ route, schema, valid: takenBody(route) }] : [];
});

/** The example's body, of a list the first entry; nothing that would be looked for in the network. */
function takenBody({ name, example: { body } }: RouteDescription): unknown {
  if (name === 'testUnsavedConnection') return changed(body, ['tenantId'], 'a');
  return Array.isArray(body) ? body.slice(0, 1) : body;
}

function send({ methods, route, example }: RouteDescription, body: string): Promise<Answer> {
  const value = (text = '') => encodeURIComponent(text.replace('{id}', account));
  const path = route.replace(/\{(\w+)\}/g, (_, name: string) => value(example.path?.[name]));
  const query = Object.entries(example.query ?? {}).map(([name, text]) => `${name}=${value(text)}`);
  const address = query.length === 0 ? path : `${path}?${query.join('&')}`;
  return app.call(methods[0] ?? 'POST', address, { key: KEYS.master, body, type: 'application/json' });
}

type Path = readonly (string | number)[];

/** Where the body of the example has values, objects and lists among them. */
const places = (value: unknown, at: Path = []): Path[] => [
  ...(at.length > 0 ? [at] : []),
  ...(typeof value === 'object' && value !== null
    ? Object.entries(value).flatMap(([name, inner]) =>
        places(inner, [...at, Array.isArray(value) ? Number(name) : name]),
      )
    : []),
];

/** Those of texts. */
const texts = (value: unknown): Path[] =>
  places(value).filter((path) => typeof path.reduce<unknown>(member, value) === 'string');

const member = (value: unknown, step: string | number): unknown => Object(value)[step];

/** Members that the schema has besides those of the example. */
function unusedMembers(schema: z.ZodType, valid: unknown): Path[] {
  const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  const known = typeof valid === 'object' && valid !== null ? Object.keys(valid) : [];
  return Object.keys(json.properties ?? {})
    .filter((name) => !known.includes(name))
    .map((name) => [name]);
}

/** A copy with another value at the path; undefined takes it away. */
function changed(value: unknown, [step, ...rest]: Path, put: unknown): unknown {
  if (step === undefined) return put;
  if (Array.isArray(value)) return value.map((one, at) => (at === step ? changed(one, rest, put) : one));
  const object = z.record(z.string(), z.unknown()).parse(value);
  return { ...object, [step]: changed(object[step], rest, put) };
}

const LONG = 'x'.repeat(70_000);

/** Of each kind the first that is refused is sent; undefined leaves the member out. */
const WRONG: readonly (readonly unknown[])[] = [
  [undefined, null],
  [7.5, 'nonsense', true],
  [[], { a: { b: 1 } }],
  [LONG],
];

/** Bodies whose members the schema does not know: those of rows are columns, those of a connection settings. */
const ANY_MEMBER: ReadonlySet<string> = new Set(['createRow', 'testUnsavedConnection']);

/** Bodies that are not to be taken, with the place that is wrong. */
const wrongBodies = ({ route, schema, valid }: BodyRoute): { path: Path; body: unknown }[] =>
  [...places(valid), ...unusedMembers(schema, valid)].flatMap((path) =>
    WRONG.flatMap((kind) => {
      const isRefused = (put: unknown): boolean =>
        ANY_MEMBER.has(route.name)
          ? put === LONG ||
            (put !== undefined && put !== null && typeof put !== typeof path.reduce<unknown>(member, valid))
          : !schema.safeParse(JSON.parse(JSON.stringify(changed(valid, path, put)))).success;
      return kind
        .filter(isRefused)
        .slice(0, 1)
        .map((put) => ({ path, body: changed(valid, path, put) }));
    }),
  );

interface Fault {
  readonly path: string;
  readonly message: string;
}

/**
 * The faults of an answer; of a batch, whose entries are refused one by one, that of the first entry; of the test of a
 * connection those that its first stage found.
 */
function faultsOf({ status, json }: Answer): { status: number; faults: readonly Fault[] } {
  if (Array.isArray(json?.stages)) {
    const [{ status: ended, facts }] = json.stages;
    const faults = facts?.faults?.map(({ setting, message }: Record<string, string>) => ({ path: setting, message }));
    return { status: ended === 'failed' ? 400 : status, faults: faults ?? [] };
  }
  if (!Array.isArray(json)) return { status, faults: json?.errors ?? [] };
  const [{ status: refused, error }] = json;
  const [, name, message] = /^(?:([\w.]+): )?(.*)$/s.exec(error?.message ?? '') ?? [];
  return { status: refused, faults: [{ path: name === undefined ? '0' : `0.${name}`, message: message ?? '' }] };
}

/** Whether a fault that is told is at the place, above or below it, or of two members that do not fit, at the other. */
function isNamed(told: readonly Fault[], path: Path, body: unknown): boolean {
  const place = path.join('.');
  // The only member is missing: what is wrong is the body.
  if (JSON.stringify(body) === '{}' && told.length > 0) return true;
  return told.some(
    ({ path: at, message }) =>
      at === place ||
      at.startsWith(`${place}.`) ||
      (at !== '' && place.startsWith(`${at}.`)) ||
      message.includes(`'${String(path.at(-1))}'`),
  );
}

const DEEP = 20_000;
const TEXTS = [
  "../../..' or 1 eq 1 --\r\nX-Injected: 1",
  '\u0000\u202e😀<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>&e;',
  '\ud800',
];

const isProblem = ({ status, json, headers }: Answer): boolean =>
  status >= 400 &&
  status < 500 &&
  (headers.get('content-type') ?? '').startsWith('application/problem+json') &&
  typeof json.code === 'string' &&
  json.code !== 'internal';

describe.each(bodies.map((one) => [one.route.name, one] as const))('the body of %s', (_name, one) => {
  const { route, schema, valid } = one;
  const text = JSON.stringify(valid);

  test('is refused with the name of each member that is missing or of a wrong type', async () => {
    const wrong = wrongBodies(one);
    expect(wrong.length).toBeGreaterThan(0);
    const missed: string[] = [];
    for (const { path, body } of wrong) {
      const sent = JSON.stringify(body);
      const answer = await send(route, sent);
      const { status, faults } = faultsOf(answer);
      if (status !== 400 || !isNamed(faults, path, body)) {
        missed.push(`${path.join('.')} in ${sent.slice(0, 150)}: ${answer.status} ${answer.text.slice(0, 400)}`);
      }
    }
    expect(missed).toEqual([]);
  });

  test('is refused where it is no JSON, of another kind, far too deep or far too long', async () => {
    const deep = `${'['.repeat(DEEP)}${']'.repeat(DEEP)}`;
    const long = JSON.stringify('x'.repeat(10 * 1024 * 1024));
    const [first] = places(valid).filter((path) => path.length === 1 && typeof path[0] === 'string');
    const within = (value: string) => JSON.stringify(changed(valid, first ?? [], '@')).replace('"@"', () => value);
    for (const body of ['', '{', `${text}}`, 'null', '7', '"text"', '\u0000', deep, within(deep), within(long)]) {
      const answer = await send(route, body);
      expect([isProblem(answer), body.slice(0, 40), answer.text.slice(0, 300)]).toEqual([
        true,
        body.slice(0, 40),
        answer.text.slice(0, 300),
      ]);
    }
  });

  test('never leads to a fault of ours, whatever its texts are', async () => {
    for (const path of texts(valid)) {
      for (const put of TEXTS) {
        const { status, text: answered } = await send(route, JSON.stringify(changed(valid, path, put)));
        expect(status, `${path.join('.')}: ${answered.slice(0, 300)}`).toBeLessThan(500);
      }
    }
  });

  test('gives no way to the prototypes of objects', async () => {
    for (const member of ['"__proto__":{"polluted":true}', '"constructor":{"prototype":{"polluted":true}}']) {
      const body = text.replace(/\{/, () => `{${member},`);
      const { status } = faultsOf(await send(route, body));
      expect(status).toBeLessThan(500);
      if (!schema.safeParse(JSON.parse(body)).success) expect(status).toBeGreaterThanOrEqual(400);
    }
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});
