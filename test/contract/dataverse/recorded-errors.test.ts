import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { type Answer, DISABLED_CLIENT, idOf, openSecuredEnvironment } from './environment.ts';

const recorded = z
  .array(
    z.object({
      status: z.number().optional(),
      body: z.object({ error: z.object({ code: z.string(), message: z.string() }) }).optional(),
    }),
  )
  .parse(
    JSON.parse(readFileSync(new URL('../../fixtures/dataverse/errors/error-bodies.json', import.meta.url), 'utf8')),
  );

type Environment = Awaited<ReturnType<typeof openSecuredEnvironment>>;

const MISSING = '00000000-0000-0000-0000-000000000001';
const LF_BATCH = '--b\nContent-Type: application/http\n\nGET accounts HTTP/1.1\n\n--b--\n';

/** Requests that must be answered as recorded, by the beginning of the recorded message. */
const REQUESTS: Readonly<Record<string, (environment: Environment) => Promise<Answer>>> = {
  'A validation error occurred.  The length': async ({ as }) =>
    (await as({}))('POST', 'tasks', { subject: 'x'.repeat(201) }),
  "Resource not found for the segment 'Account'.": async ({ as }) => (await as({}))('GET', 'Account'),
  "Could not find a property named 'Name'": async ({ as }) => (await as({}))('GET', 'accounts?$select=Name'),
  'No HTTP resource was found': async ({ as }) => (await as({}))('POST', 'WhoAmI'),
  'Error identified in Payload provided by the user': async ({ as }) =>
    (await as({}))('POST', '$batch', LF_BATCH, { 'Content-Type': 'multipart/mixed; boundary=b' }),
  'The version of the existing record': async ({ as }) => {
    const call = await as({});
    const id = idOf(await call('POST', 'accounts', { name: 'a' }));
    return call('PATCH', `accounts(${id})`, { name: 'b' }, { 'If-Match': 'W/"1"' });
  },
  'account With Id =': async ({ as }) =>
    (await as({}))('PATCH', `accounts(${MISSING})`, { name: 'x' }, { 'If-Match': '*' }),
  'A record with matching key values already exists.': async ({ as }) => {
    const call = await as({});
    const id = idOf(await call('POST', 'accounts', { name: 'a' }));
    return call('PATCH', `accounts(${id})`, { name: 'b' }, { 'If-None-Match': '*' });
  },
  'Only $select and $filter clause can be provided': async ({ as }) =>
    (await as({}))('GET', 'accounts?$expand=Account_Tasks($orderby=subject;$expand=createdby)'),
  'Expand with $ref is only supported': async ({ as }) => (await as({}))('GET', 'accounts?$expand=Account_Tasks/$ref'),
  'The user is not a member of the organization.': async ({ as }) =>
    (await as({ appid: DISABLED_CLIENT }))('GET', 'WhoAmI'),
};

/** What raises these is not emulated, or belongs to a rule. */
const NOT_EMULATED = [
  'A record was not created or updated because a duplicate',
  'Example Error Message.',
  'Number of requests exceeded the limit',
  'Principal user (Id=',
];

const normal = (text: string, apiUrl: string) =>
  text.replaceAll(apiUrl, '[Organization URI]/api/data/v9.2/').replaceAll('[Organization URI]/api/data/v9.2/', '');

for (const { status, body } of recorded) {
  if (!body) continue;
  const { code, message } = body.error;
  if (NOT_EMULATED.some((beginning) => message.startsWith(beginning))) continue;
  test(`answers as recorded: ${message.slice(0, 100)}`, async () => {
    const found = Object.entries(REQUESTS).find(([beginning]) => message.startsWith(beginning));
    if (!found) throw new Error(`No request is known that raises: ${message}`);
    const environment = await openSecuredEnvironment();
    const answer = await found[1](environment);
    expect(normal(answer.json.error.message, environment.apiUrl)).toBe(normal(message, environment.apiUrl));
    expect(answer.status).toBe(status);
    // The documentation leaves some codes empty that the service's list of errors names.
    if (code !== '') expect(answer.json.error.code).toBe(code);
  });
}
