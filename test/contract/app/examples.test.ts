import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { healthRoutes } from '../../../src/functions/health.ts';
import { appRoutes } from '../../../src/functions/register.ts';
import { createServices } from '../../../src/functions/services.ts';
import type { RouteDescription } from '../../../src/http/routes.ts';
import { type Answer, KEYS, startApp, type TestApp, WEBHOOK_SECRET } from '../../support/app.ts';

// The examples are read from the document that the running app serves, and sent to it.

const routes: readonly RouteDescription[] = [...healthRoutes, ...appRoutes(createServices({}))];

const values = z.record(z.string(), z.string()).default({});
const example = z.strictObject({
  path: values,
  query: values,
  headers: values,
  body: z.unknown().optional(),
  type: z.string().default('application/json'),
  status: z.int(),
});
const operation = z.looseObject({ operationId: z.string(), 'x-example': example });
const document = z.looseObject({ paths: z.record(z.string(), z.record(z.string(), operation)) });

let app: TestApp;
const examples = new Map<string, z.output<typeof example>>();

beforeAll(async () => {
  app = await startApp({ settings: ({ connection }) => connection('admin') });
  await app.defineKey('account', 'accountnumber');
  await app.admin('POST', 'accounts', { name: 'Contoso Ltd', revenue: 2_000_000 });
  const roles = await app.admin('GET', "roles?$select=roleid&$filter=name eq 'System Customizer'");
  const reference = { '@odata.id': `${app.environmentUrl}/api/data/v9.2/roles(${roles.json.value[0].roleid})` };
  const user = '0b000000-0000-4000-8000-000000000001';
  await app.admin('POST', `systemusers(${user})/systemuserroles_association/$ref`, reference);
  const { paths } = document.parse((await app.call('GET', 'openapi.json')).json);
  for (const methods of Object.values(paths)) {
    for (const one of Object.values(methods)) examples.set(one.operationId, one['x-example']);
  }
});
afterAll(() => app.close());

/** What stands for `{name}` in examples: what an earlier answer gave, or is made for this one. */
const placeholders: Readonly<Record<string, () => Promise<string>>> = {
  secret: () => Promise.resolve(WEBHOOK_SECRET),
  async id() {
    const made = await app.admin('POST', 'accounts', { name: 'Contoso Ltd' });
    return /\(([^)]+)\)$/.exec(made.headers.get('odata-entityid') ?? '')?.[1] ?? '';
  },
  async event() {
    const events = () => app.call('GET', 'webhooks/events');
    await expect.poll(events, { timeout: 15_000 }).toMatchObject({ json: { value: [{ state: 'received' }] } });
    return (await events()).json.value[0].id;
  },
  async run() {
    const runs = () => app.call('GET', 'activations/nasdaq-accounts/runs');
    await expect.poll(runs, { timeout: 15_000 }).toMatchObject({ json: { value: [{ state: 'succeeded' }] } });
    return (await runs()).json.value[0].id;
  },
};

async function filled(text: string): Promise<string> {
  const [, name] = /^\{(\w+)\}$/.exec(text) ?? [];
  if (name === undefined) return text;
  const fill = placeholders[name];
  if (!fill) throw new Error(`Nothing fills ${text}.`);
  return fill();
}

const filledAll = async (given: Readonly<Record<string, string>>): Promise<Record<string, string>> =>
  Object.fromEntries(await Promise.all(Object.entries(given).map(async ([name, text]) => [name, await filled(text)])));

/** What stands for the example's company, which nothing is asked of. */
const ownCompany = () => ({
  url: app.environmentUrl,
  tenantId: app.identity.tenantId,
  clientId: app.identity.company.application.clientId,
  tokenUrl: `${app.identity.authority}/oauth2/v2.0/token`,
});

async function send(
  { name, route, methods, access }: RouteDescription,
  given: z.output<typeof example>,
): Promise<Answer> {
  const path = await filledAll(given.path);
  const address = route.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(path[name] ?? ''));
  const query = new URLSearchParams(await filledAll(given.query)).toString();
  const { type } = given;
  const body = name === 'testUnsavedConnection' ? { ...Object(given.body), ...ownCompany() } : given.body;
  return app.call(methods[0] ?? 'GET', query === '' ? address : `${address}?${query}`, {
    key: access === 'anonymous' ? null : access === 'admin' ? KEYS.master : KEYS.function,
    headers: await filledAll(given.headers),
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body), type }),
  });
}

/** Headers that an answer may have only where the document tells of them. */
const TOLD_HEADERS = ['etag', 'location', 'preference-applied', 'retry-after'];

/** Calls that others build on come first, those that end something last. */
const ORDER = ['putActivation', 'startRun', 'receiveWebhook', 'webhookEvent', 'testConnection'];
const LAST = ['deleteActivation'];
const rank = (name: string): number => {
  const at = ORDER.indexOf(name);
  return at >= 0 ? at : ORDER.length + Number(LAST.includes(name));
};
const inOrder = [...routes].sort((one, other) => rank(one.name) - rank(other.name));

describe('the example of', () => {
  test.each(inOrder.map((route) => [route.name, route] as const))('%s works as described', async (name, route) => {
    const given = examples.get(name);
    if (!given) throw new Error(`The document has no example of ${name}.`);
    const { status, json, text, headers } = await send(route, given);
    expect(status, text).toBe(given.status);
    const described = route.answers[status];
    if (!described) throw new Error(`${name} does not describe the status ${status}.`);
    const [type = ''] = (headers.get('content-type') ?? '').split(';');
    if (described.schema === undefined && described.types === undefined) {
      expect(text).toBe('');
      return;
    }
    expect(
      described.schema === undefined ? described.types : ['application/json', ...(described.types ?? [])],
    ).toContain(type);
    // A member that the schema does not tell of would be missing in what it makes of the answer.
    if (described.schema) {
      const body: unknown = json ?? JSON.parse(text);
      expect(described.schema.parse(body)).toEqual(body);
    }
    const told = Object.keys(described.headers ?? {}).map((header) => header.toLowerCase());
    expect(TOLD_HEADERS.filter((header) => headers.has(header) && !told.includes(header))).toEqual([]);
  });

  test('every route is in the document', () => {
    expect([...examples.keys()].sort()).toEqual(routes.map(({ name }) => name).sort());
  });
});
