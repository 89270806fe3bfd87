import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import {
  APP_CLIENT,
  client,
  DISABLED_CLIENT,
  openEnvironment,
  openSecuredEnvironment,
} from '../dataverse/environment.ts';
import { RAISED_ANYWHERE, RECORDED_ERRORS, type RecordedError, textOf } from './recorded-errors.ts';

const ROOT = new URL('../../../', import.meta.url);
const FIXTURES = new URL('test/fixtures/', ROOT);
const json = (url: URL): unknown => JSON.parse(readFileSync(url, 'utf8'));

/** What holds each file or folder of test/fixtures; `HERE` names the test below. */
const HERE = 'test/contract/suite/fixtures.test.ts';
const HELD: Readonly<Record<string, string>> = {
  'dataverse/errors/error-bodies.json': HERE,
  'dataverse/http/batch-response-continue-on-error.http': 'test/contract/dataverse/batch-format.test.ts',
  'dataverse/http/batch-response-fail-fast.http': 'test/contract/dataverse/batch-format.test.ts',
  'dataverse/http/changeset-response.http': 'test/contract/dataverse/batch-format.test.ts',
  'dataverse/http/delta-response.json': HERE,
  'dataverse/http/elastic-table-operations.http': 'test/contract/dataverse/elastic.test.ts',
  'dataverse/http/fetchxml-page-response.json': 'test/contract/dataverse/fetchxml-paging.test.ts',
  'dataverse/http/odata-page-response.json': HERE,
  // These two hold all files of their folder.
  'fetchxml/ppsamples-': 'test/contract/dataverse/fetchxml-samples.test.ts',
  'webhooks/': 'test/unit/webhooks/execution-context.test.ts',
  // Not of Dataverse.
  'bicep-types/': 'test/unit/infra/resource-types.ts',
  'certificates/elliptic.pem': 'test/unit/connections/certificate.test.ts',
  'host-apps/': 'test/contract/host-process.test.ts',
};

describe('the fixtures', () => {
  const files = readdirSync(FIXTURES, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/^(?:PROVENANCE|README)\.md$/.test(entry.name))
    .map(({ parentPath, name }) => `${parentPath}/${name}`.split('/test/fixtures/')[1] ?? name);

  test('are all held by a test', () => {
    const lines = Object.keys(HELD);
    expect(files.filter((file) => !lines.some((line) => file.startsWith(line)))).toEqual([]);
    expect(lines.filter((line) => !files.some((file) => file.startsWith(line)))).toEqual([]);
  });

  test.each(Object.entries(HELD))('%s is read by %s', (file, reader) => {
    const [, name = ''] = /([^/]+?)(?:\.\w+)?\/?$/.exec(file) ?? [];
    expect(readFileSync(new URL(reader, ROOT), 'utf8')).toContain(name);
  });

  test('name where they come from', () => {
    const folders = readdirSync(FIXTURES).filter((name) => name !== 'host-apps');
    for (const folder of folders.flatMap((name) =>
      name === 'dataverse' ? readdirSync(new URL('dataverse/', FIXTURES)).map((inner) => `${name}/${inner}`) : [name],
    )) {
      const told = ['PROVENANCE.md', 'README.md'].some((name) => existsSync(new URL(`${folder}/${name}`, FIXTURES)));
      expect(told, folder).toBe(true);
    }
  });
});

describe('the pages of the documentation', () => {
  const page = z.object({ value: z.array(z.record(z.string(), z.unknown())) });
  const recorded = (name: string) => {
    const whole = z.record(z.string(), z.unknown()).parse(json(new URL(`dataverse/http/${name}.json`, FIXTURES)));
    return { whole, ...page.parse(whole) };
  };

  test('odata-page-response.json: rows, context and the link with the cookie', async () => {
    const { call, url } = await openEnvironment();
    const { whole, value } = recorded('odata-page-response');
    const link = String(whole['@odata.nextLink']);
    // The page is cut short: the cookie names the rows that it began and ended with.
    const ids = [...link.matchAll(/%257b([0-9A-Fa-f-]{36})%257d/g)].map(([, id = '']) => id.toLowerCase());
    const [last = '', first = ''] = ids;
    const names = value.map(({ fullname }) => String(fullname).split(' '));
    for (const [at, contactid] of [first, last, 'ffffffff-d01c-ed11-b83e-000d3a572421'].entries()) {
      const [firstname, ...lastname] = names[at] ?? ['Later'];
      await call('POST', 'contacts', { contactid, firstname, lastname: lastname.join(' ') });
    }
    const { json: answer } = await call('GET', 'contacts?$select=fullname', undefined, {
      Prefer: 'odata.maxpagesize=2',
    });
    const here = (text: unknown) => String(text).replace('[Organization URI]', url);
    expect(Object.keys(answer)).toEqual(Object.keys(whole));
    expect(answer['@odata.context']).toBe(here(whole['@odata.context']));
    expect(answer['@odata.nextLink']).toBe(here(link));
    expect(answer.value.map((row: object) => Object.keys(row))).toEqual(value.map((row) => Object.keys(row)));
    expect(answer.value.map((row: { fullname: string }) => row.fullname)).toEqual(
      value.map(({ fullname }) => fullname),
    );
  });

  test('delta-response.json: change tracking is not emulated, neither its beginning nor its link', async () => {
    const { call } = await openEnvironment();
    const [, link = ''] = /\/(accounts\?.*)$/.exec(String(recorded('delta-response').whole['@odata.deltaLink'])) ?? [];
    const [query = ''] = link.split('&$deltatoken');
    const begun = await call('GET', query, undefined, { Prefer: 'odata.track-changes' });
    expect([begun.status, begun.json.error.code]).toEqual([501, '0x80040219']);
    const followed = await call('GET', link);
    expect([followed.status, followed.json.error.code]).toEqual([501, '0x80040219']);
  });
});

describe('the recorded errors', () => {
  const GUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
  /** Leaves the form of the text, without what differs from case to case. */
  const form = (text: string): string =>
    text
      .replace(GUID, 'id')
      .replace(/prv\w+/g, 'privilege')
      .replace(/'[^']*'/g, 'name')
      .replace(/\d+/g, 'number');

  /** Those that need more than a request, by the beginning of their text. */
  const raised: Readonly<Record<string, (recorded: RecordedError) => Promise<void>>> = {
    'A record was not created or updated because a duplicate': async () => {
      const { call } = await openEnvironment();
      const answer = await call('POST', 'accounts', { name: 'a' }, { 'MSCRM.SuppressDuplicateDetection': 'false' });
      expect([answer.status, answer.json.error.code]).toEqual([501, '0x80040219']);
    },
    'Example Error Message.': async ({ status, body }) => {
      const { call, url } = await openEnvironment();
      const rowFault = { table: 'account', column: 'name', equals: 'refused', message: body?.error.message };
      expect((await call('POST', `${url}/emulator/rules`, { action: { rowFault } })).status).toBe(201);
      const answer = await call('POST', 'accounts', { name: 'refused' }, { Prefer: 'odata.include-annotations="*"' });
      // The plug-in itself has chosen the first two and written the third.
      const own = {
        '@Microsoft.PowerApps.CDS.ErrorDetails.OperationStatus': expect.any(String),
        '@Microsoft.PowerApps.CDS.ErrorDetails.SubErrorCode': expect.any(String),
      };
      const { '@Microsoft.PowerApps.CDS.TraceText': _, ...told }: Record<string, unknown> = body?.error ?? {};
      expect(answer.status).toBe(status);
      expect(answer.json.error).toEqual({ ...told, ...own });
    },
    'Number of requests exceeded the limit': async ({ status, body }) => {
      const { call, url } = await openEnvironment();
      await call('POST', `${url}/emulator/rules`, { action: { fault: 'requests' } });
      const answer = await call('GET', 'WhoAmI');
      expect([answer.status, answer.json.error.code]).toEqual([status, body?.error.code]);
      expect(form(answer.json.error.message)).toBe(form(body?.error.message ?? ''));
    },
    'The user is not a member of the organization.': async ({ status, body }) => {
      const { as } = await openSecuredEnvironment();
      const answer = await (await as({ appid: DISABLED_CLIENT }))('GET', 'WhoAmI');
      expect([answer.status, answer.json]).toEqual([status, body]);
    },
    'Principal user (Id=': async ({ status, messageOnly }) => {
      const { as } = await openSecuredEnvironment();
      const answer = await (await as({ appid: APP_CLIENT }))('GET', 'leads');
      expect([answer.status, answer.json.error.code]).toEqual([status, '0x80040220']);
      expect(form(answer.json.error.message)).toBe(form(messageOnly ?? ''));
    },
    'HTTP Error 401': async ({ status, bodyText, headers }) => {
      const { apiUrl } = await openSecuredEnvironment();
      const answer = await client(apiUrl)('GET', 'WhoAmI');
      expect([answer.status, answer.text]).toEqual([status, bodyText]);
      // Since the recording, another host and a further part.
      const [uri = ''] = (answer.headers.get('www-authenticate') ?? '').split(',');
      expect(uri.replace(/https:\/\/[^/]+\/[^/]+/, '')).toBe(
        headers?.['WWW-Authenticate']?.replace(/https:\/\/[^/]+\/[^/]+/, ''),
      );
    },
  };

  test.each(Object.entries(raised))('%s', async (beginning, check) => {
    const recorded = RECORDED_ERRORS.find((one) => textOf(one).startsWith(beginning));
    if (!recorded) throw new Error(`Nothing recorded begins with ${beginning}`);
    await check(recorded);
  });

  test('are all raised by the suite or here', () => {
    const beginnings = [...Object.keys(RAISED_ANYWHERE), ...Object.keys(raised)];
    for (const recorded of RECORDED_ERRORS) {
      expect(
        beginnings.filter((beginning) => textOf(recorded).startsWith(beginning)),
        textOf(recorded),
      ).toHaveLength(1);
    }
    expect(beginnings).toHaveLength(RECORDED_ERRORS.length);
  });
});
