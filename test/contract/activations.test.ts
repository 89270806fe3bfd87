import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { QueueClient } from '@azure/storage-queue';
import { expect, onTestFinished, test } from 'vitest';
import { type Activations, createActivations } from '../../src/activations/activations.ts';
import { systemClock } from '../../src/shared/clock.ts';
import { newGuid } from '../../src/shared/ids.ts';
import { openStorage } from '../../src/storage/storage.ts';
import { type FreshStorage, freshStorage } from '../support/storage.ts';
import { type FakeTarget, fakeTarget } from '../unit/activations/fake-target.ts';

interface Process {
  readonly activations: Activations;
  /** Delivers what is in the queues, as the host's triggers do, until both are empty. */
  settle(): Promise<void>;
}

function openProcess(account: FreshStorage, target: FakeTarget): Process {
  const workFolder = mkdtempSync(join(tmpdir(), 'activations-contract-'));
  onTestFinished(() => rmSync(workFolder, { recursive: true, force: true }));
  const activations = createActivations({
    storage: openStorage(account, account.credential),
    target: target.open,
    clock: systemClock,
    newId: newGuid,
    log: () => undefined,
    workFolder,
    chunkRows: 5,
  });
  const queues = (['activation-runs', 'activation-chunks'] as const).map((name) => ({
    client: new QueueClient(`${account.queueServiceUri}/${name}`, account.credential),
    handle: name === 'activation-runs' ? activations.planRun : activations.writeChunk,
  }));
  const deliver = async ({ client, handle }: (typeof queues)[number]): Promise<number> => {
    const { receivedMessageItems: items } = await client.receiveMessages({ numberOfMessages: 16 });
    await Promise.all(
      items.map(async (item) => {
        await handle(JSON.parse(Buffer.from(item.messageText, 'base64').toString('utf8')));
        await client.deleteMessage(item.messageId, item.popReceipt);
      }),
    );
    return items.length;
  };
  return {
    activations,
    async settle() {
      let delivered: number;
      do {
        delivered = 0;
        for (const queue of queues) delivered += await deliver(queue);
      } while (delivered > 0);
    },
  };
}

const definition = {
  name: 'companies',
  source: { kind: 'blob', path: 'inbox/*.csv' },
  table: 'account',
  key: { kind: 'alternateKey', columns: ['accountnumber'] },
  mapping: { accountnumber: 'number', name: 'name' },
  schedule: { cron: '0 0 1 1 *' },
};

const csv = (count: number, name: string): string =>
  ['number,name', ...Array.from({ length: count }, (_, n) => `N${n},${name} ${n}`)].join('\n');

test('a run goes through the storage service: queued, written in chunks side by side, finished, listed', async () => {
  const account = freshStorage();
  const target = fakeTarget();
  const { activations, settle } = openProcess(account, target);
  const inbox = openStorage(account, account.credential).blobs('inbox');
  const { etag } = await activations.put('companies', definition, { ifNoneMatch: '*' });
  await inbox.write('a.csv', csv(52, 'Company'));
  const first = await activations.start('companies', { startedBy: 'test' });
  await openQueues(account);
  await settle();
  expect(await activations.run('companies', first.id)).toMatchObject({
    state: 'succeeded',
    input: 52,
    calls: 11,
    counts: { created: 52 },
  });

  await inbox.write('a.csv', `${csv(50, 'Company')}\nN50,Renamed\nN60,New`);
  const second = await activations.start('companies', { startedBy: 'test' });
  await settle();
  expect(await activations.run('companies', second.id)).toMatchObject({
    state: 'succeeded',
    left: 1,
    counts: { created: 1, updated: 1, unchanged: 50 },
  });
  const { value: newest, nextPage } = await activations.runs('companies', { pageSize: 1 });
  expect(newest.map((run) => run.id)).toEqual([second.id]);
  const { value: older } = await activations.runs('companies', { pageSize: 1, page: nextPage });
  expect(older.map((run) => run.id)).toEqual([first.id]);
  const { value: rows } = await activations.rows('companies', second.id, { outcome: 'updated' });
  expect(rows).toMatchObject([{ index: 50, key: { accountnumber: 'N50' } }]);

  await activations.pause('companies');
  await activations.remove('companies', { ifMatch: etag });
  await expect(activations.get('companies')).rejects.toMatchObject({ code: 'activationUnknown' });
});

test('two processes that tick, plan and write at the same time come to one run with one outcome a row', async () => {
  const account = freshStorage();
  const target = fakeTarget();
  const one = openProcess(account, target);
  const two = openProcess(account, target);
  await openStorage(account, account.credential).blobs('inbox').write('a.csv', csv(23, 'Company'));
  await one.activations.put('companies', definition);
  const { id } = await one.activations.start('companies', { startedBy: 'test' });
  await openQueues(account);
  const message = { activation: 'companies', run: id };
  await Promise.all([one.activations.planRun(message), two.activations.planRun(message)]);
  await Promise.all([one.settle(), two.settle()]);
  await Promise.all([one.activations.tick(), two.activations.tick()]);
  expect(await two.activations.run('companies', id)).toMatchObject({ state: 'succeeded', counts: { created: 23 } });
  expect(target.rows.size).toBe(23);
  expect((await one.activations.rows('companies', id)).value).toHaveLength(23);
});

/** The triggers of the host make their queues when it starts. */
async function openQueues(account: FreshStorage): Promise<void> {
  for (const name of ['activation-runs', 'activation-chunks']) {
    await new QueueClient(`${account.queueServiceUri}/${name}`, account.credential).createIfNotExists();
  }
}
