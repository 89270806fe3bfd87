import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import type { Answer } from '../dataverse/http-client.ts';
import type { World } from './world.ts';

const recordedError = z.object({
  status: z.number(),
  body: z.object({ error: z.looseObject({ code: z.string(), message: z.string() }) }).optional(),
  /** The text alone was recorded. */
  messageOnly: z.string().optional(),
  /** The whole body, where it is no JSON. */
  bodyText: z.string().optional(),
  headers: z.record(z.string(), z.string()).optional(),
});

export type RecordedError = z.infer<typeof recordedError>;

/** All errors of the fixtures. */
export const RECORDED_ERRORS: readonly RecordedError[] = z
  .array(recordedError)
  .parse(
    JSON.parse(readFileSync(new URL('../../fixtures/dataverse/errors/error-bodies.json', import.meta.url), 'utf8')),
  );

export const textOf = ({ body, messageOnly, bodyText }: RecordedError): string =>
  body?.error.message ?? messageOnly ?? bodyText ?? '';

const MISSING = '00000000-0000-0000-0000-000000000001';
const LF_BATCH = '--b\nContent-Type: application/http\n\nGET accounts HTTP/1.1\n\n--b--\n';

/** Requests that every environment answers with a recorded error, by the beginning of its message. */
export const RAISED_ANYWHERE: Readonly<Record<string, (world: World) => Promise<Answer>>> = {
  'A validation error occurred.  The length': ({ call }) => call('POST', 'tasks', { subject: 'x'.repeat(201) }),
  "Resource not found for the segment 'Account'.": ({ call }) => call('GET', 'Account'),
  "Could not find a property named 'Name'": ({ call }) => call('GET', 'accounts?$select=Name'),
  'No HTTP resource was found': ({ call }) => call('POST', 'WhoAmI'),
  'Error identified in Payload provided by the user': ({ call }) =>
    call('POST', '$batch', LF_BATCH, { 'Content-Type': 'multipart/mixed; boundary=b' }),
  'The version of the existing record': async (world) => {
    const id = await world.create('accounts', { name: `${world.mark} version` });
    return world.call('PATCH', `accounts(${id})`, { name: 'b' }, { 'If-Match': 'W/"1"' });
  },
  'account With Id =': ({ call }) => call('PATCH', `accounts(${MISSING})`, { name: 'x' }, { 'If-Match': '*' }),
  'A record with matching key values already exists.': async (world) => {
    const id = await world.create('accounts', { name: `${world.mark} matching` });
    return world.call('PATCH', `accounts(${id})`, { name: 'b' }, { 'If-None-Match': '*' });
  },
  'Only $select and $filter clause can be provided': ({ call }) =>
    call('GET', 'accounts?$expand=Account_Tasks($orderby=subject;$expand=createdby)'),
  'Expand with $ref is only supported': ({ call }) => call('GET', 'accounts?$expand=Account_Tasks/$ref'),
};

const normal = (text: string, apiUrl: string): string =>
  text.replaceAll(apiUrl, '').replaceAll('[Organization URI]/api/data/v9.2/', '');

/** The recorded errors that a request alone can raise. */
export function describeRecordedErrors(world: World): void {
  describe('an error is answered as recorded', () => {
    test.each(Object.entries(RAISED_ANYWHERE))('%s', async (beginning, request) => {
      const recorded = RECORDED_ERRORS.find((one) => textOf(one).startsWith(beginning));
      const { status, json } = await request(world);
      expect(normal(json.error.message, world.apiUrl)).toBe(normal(recorded ? textOf(recorded) : '', world.apiUrl));
      expect(status).toBe(recorded?.status);
      // The documentation leaves some codes empty that the service's list of errors names.
      const code = recorded?.body?.error.code;
      if (code) expect(json.error.code).toBe(code);
    });
  });
}
