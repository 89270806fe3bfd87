import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createDataverseClient, type DataverseClient } from '../../src/dataverse/client.ts';
import { createMetadata, type MetadataOptions } from '../../src/dataverse/metadata.ts';
import { createPace } from '../../src/dataverse/pace.ts';
import type { DataverseRequest } from '../../src/dataverse/request.ts';
import { poolTransport } from '../../src/dataverse/transport.ts';
import { type Dataverse, startDataverse } from '../../src/local/dataverse/server.ts';
import { systemClock } from '../../src/shared/clock.ts';
import { newGuid } from '../../src/shared/ids.ts';
import { fakeClock } from '../support/clock.ts';

let dataverse: Dataverse;
let pool: ReturnType<typeof poolTransport>;
let sent: string[] = [];
let client: DataverseClient;

beforeAll(async () => {
  dataverse = await startDataverse({ auth: { kind: 'none' }, keyStepMs: 1 });
  pool = poolTransport(new URL(dataverse.apiUrl).origin, 4);
  const real = createDataverseClient({
    apiUrl: dataverse.apiUrl,
    tokens: () => 'none',
    transport: pool.transport,
    clock: systemClock,
    pace: createPace({ clock: systemClock, maxConcurrency: 4 }),
    random: () => 0,
    newId: newGuid,
  });
  client = {
    send: (request: DataverseRequest) => {
      sent.push(request.path === '$batch' ? String(request.body) : request.path);
      return real.send(request);
    },
  };
});
afterAll(async () => {
  await pool.close();
  await dataverse.close();
});
beforeEach(() => {
  sent = [];
});

const metadataWith = (options: Partial<MetadataOptions> = {}) =>
  createMetadata({
    client,
    apiPath: '/api/data/v9.2/',
    allowedTables: undefined,
    clock: fakeClock(systemClock.now()),
    newId: newGuid,
    ...options,
  });

describe('what rows look like', () => {
  test('takes one request, whoever asks and by whatever name', async () => {
    const metadata = metadataWith();
    const shapes = await Promise.all([metadata.shape('account'), metadata.shape('account')]);
    const bySet = await metadata.shape('accounts');
    expect(sent).toHaveLength(1);
    expect(new Set([...shapes, bySet]).size).toBe(1);
    expect(bySet).toMatchObject({ logicalName: 'account', entitySetName: 'accounts', primaryId: 'accountid' });
    expect(bySet.columns.get('primarycontactid')).toEqual({ logicalName: 'primarycontactid', type: 'Lookup' });
    expect(bySet.columns.has('primarycontactidname')).toBe(false);
    expect(bySet.columns.get('entityimage_url')?.type).toBe('String');
  });

  test('is read again after a while, and when another version of the definitions is heard of', async () => {
    const clock = fakeClock(systemClock.now());
    const metadata = metadataWith({ clock });
    await metadata.shape('account');
    clock.advance(5 * 60_000);
    await metadata.shape('account');
    expect(sent).toHaveLength(2);
    for (const version of ['1', '1', undefined]) metadata.noteVersion(version);
    await metadata.shape('account');
    expect(sent).toHaveLength(2);
    metadata.noteVersion('2');
    await metadata.shape('account');
    expect(sent).toHaveLength(3);
    // Of a web server that has not heard of the change yet.
    metadata.noteVersion('1');
    await metadata.shape('account');
    expect(sent).toHaveLength(3);
  });

  test('of a table that is not there is asked for again, by exact names only', async () => {
    const metadata = metadataWith();
    for (const name of ['nothing', 'nothing', "account' or 1 eq 1", '']) {
      await expect(metadata.shape(name)).rejects.toMatchObject({ code: 'tableUnknown' });
    }
    expect(sent).toHaveLength(2);
  });

  test('is waited for no longer than the caller wants, while others get it', async () => {
    const metadata = metadataWith();
    const controller = new AbortController();
    const impatient = metadata.shape('lead', controller.signal);
    const patient = metadata.shape('lead');
    controller.abort(new Error('stop'));
    await expect(impatient).rejects.toThrow('stop');
    expect((await patient).logicalName).toBe('lead');
    expect(sent).toHaveLength(1);
  });
});

describe('what writing takes', () => {
  test('is read for the columns in use only, and once', async () => {
    const metadata = metadataWith();
    const table = await metadata.table('account', { columns: ['name'] });
    expect(table.columns.get('name')?.maxLength).toBe(160);
    expect(sent).toHaveLength(2);
    expect(sent[1]?.match(/^GET /gm)).toHaveLength(2);
    expect(sent[1]).toContain('StringAttributeMetadata');
    await metadata.table('account', { columns: ['telephone1'] });
    expect(sent).toHaveLength(2);
  });

  test('has labels of choices, and the entity sets of lookups in use', async () => {
    const metadata = metadataWith();
    const table = await metadata.table('task', { columns: ['prioritycode', 'ownerid'] });
    expect(table.columns.get('prioritycode')?.labels?.get('high')).toEqual([2]);
    expect(table.columns.get('ownerid')?.targets).toEqual(
      new Map([
        ['systemuser', { navigationProperty: 'ownerid_task', entitySetName: 'systemusers' }],
        ['team', { navigationProperty: 'ownerid_task', entitySetName: 'teams' }],
      ]),
    );
    expect(sent.at(-1)).toMatch(/systemuser.*team/);
    expect(sent.at(-1)).not.toContain('salesorder');
  });

  test('leaves tables out that the connection may not touch', async () => {
    const metadata = metadataWith({ allowedTables: new Set(['contact', 'account']) });
    const table = await metadata.table('contact', { columns: ['parentcustomerid', 'ownerid'] });
    expect([...(table.columns.get('parentcustomerid')?.targets?.keys() ?? [])].sort()).toEqual(['account', 'contact']);
    expect(table.columns.get('ownerid')?.targets).toEqual(new Map());
    expect([...(table.columns.get('ownerid')?.closedTargets?.keys() ?? [])]).toEqual(['systemuser', 'team']);
    await expect(metadata.table('lead')).rejects.toMatchObject({ code: 'tableNotAllowed' });
  });

  test('is read anew for a column or a key that it lacks, and not over and over', async () => {
    const clock = fakeClock(systemClock.now());
    const metadata = metadataWith({ clock });
    await metadata.table('account', { columns: ['name'] });
    await metadata.table('account', { columns: ['new_later'] });
    const once = sent.length;
    await metadata.table('account', { columns: ['new_later'] });
    expect(sent).toHaveLength(once);
    clock.advance(3_000);
    await metadata.table('account', { columns: [], keyColumns: ['name'] });
    expect(sent.length).toBeGreaterThan(once);
  });
});

describe('what leads to other rows', () => {
  test('is read for lookups alone, or for all', async () => {
    const metadata = metadataWith();
    const lookups = await metadata.navigations('account', 'lookups');
    expect(lookups.get('primarycontactid')).toEqual({
      property: 'primarycontactid',
      table: 'contact',
      collection: false,
      column: 'primarycontactid',
    });
    expect(lookups.has('Account_Tasks')).toBe(false);
    expect(sent.at(-1)).not.toContain('OneToMany');
    const all = await metadata.navigations('account', 'all');
    expect(all.get('Account_Tasks')).toEqual({ property: 'Account_Tasks', table: 'task', collection: true });
    expect(all.get('accountleads_association')).toMatchObject({ table: 'lead', collection: true });
    expect(sent).toHaveLength(3);
  });
});
