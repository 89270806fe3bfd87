import { describe, expect, test } from 'vitest';
import { definition, openWorld, putSource, type World } from './world.ts';

const QUARTER = 15 * 60_000;

async function openScheduled(): Promise<World> {
  const world = openWorld();
  await world.activations.put('companies', definition({ schedule: { cron: '0 */15 * * * *', timeZone: 'UTC' } }));
  await putSource(world, 'number,name,employees\nA,Alpha,1\n');
  return world;
}

const runsOf = async (world: World) => (await world.activations.runs('companies')).value;

describe('the scheduler', () => {
  test('starts one run for a slot, however many instances tick', async () => {
    const world = await openScheduled();
    await world.activations.tick();
    expect(await runsOf(world)).toEqual([]);
    world.later(QUARTER);
    const instances = Array.from({ length: 4 }, () => world.process());
    const ticks = await Promise.all(instances.map((instance) => instance.tick()));
    expect(ticks.flatMap((tick) => tick.started)).toHaveLength(1);
    await world.activations.tick();
    await world.settle();
    expect(await runsOf(world)).toMatchObject([{ state: 'succeeded', startedBy: 'schedule' }]);
  });

  test('starts one run for all the slots that were missed', async () => {
    const world = await openScheduled();
    world.later(10 * QUARTER);
    await world.activations.tick();
    await world.activations.tick();
    await world.settle();
    expect(await runsOf(world)).toHaveLength(1);
  });

  test('does not queue a second scheduled run behind one that waits', async () => {
    const world = await openScheduled();
    for (let slot = 0; slot < 3; slot += 1) {
      world.later(QUARTER);
      await world.activations.tick();
    }
    expect(await runsOf(world)).toHaveLength(1);
  });

  test('leaves a paused activation alone and does not make up for the pause', async () => {
    const world = await openScheduled();
    await world.activations.pause('companies');
    world.later(QUARTER);
    await world.activations.tick();
    await world.activations.resume('companies');
    await world.activations.tick();
    expect(await runsOf(world)).toEqual([]);
    world.later(QUARTER);
    await world.activations.tick();
    expect(await runsOf(world)).toHaveLength(1);
    await expect(world.activations.pause('nothing')).rejects.toMatchObject({ code: 'activationUnknown' });
  });

  test('takes on a run whose message was lost', async () => {
    const world = await openScheduled();
    const { id } = await world.activations.start('companies', { startedBy: 'test' });
    world.storage.messages.length = 0;
    expect((await world.activations.tick()).woken).toEqual([]);
    world.later(60_000);
    expect((await world.activations.tick()).woken).toEqual([{ activation: 'companies', run: id }]);
    await world.settle();
    expect(await world.activations.run('companies', id)).toMatchObject({ state: 'succeeded' });
  });

  test('takes on a run whose chunks were lost on their way', async () => {
    const world = await openScheduled();
    const { id } = await world.activations.start('companies', { startedBy: 'test' });
    await world.activations.planRun({ activation: 'companies', run: id });
    world.storage.messages.length = 0;
    world.later(29 * 60_000);
    expect((await world.activations.tick()).woken).toEqual([]);
    world.later(60_000);
    expect((await world.activations.tick()).woken).toHaveLength(1);
    await world.settle();
    expect(await world.activations.run('companies', id)).toMatchObject({ state: 'succeeded', counts: { created: 1 } });
  });
});

describe('definitions', () => {
  test('are stored, listed and removed under conditions of their ETag', async () => {
    const { activations } = openWorld();
    const first = await activations.put('companies', definition(), { ifNoneMatch: '*' });
    expect(first.created).toBe(true);
    await expect(activations.put('companies', definition(), { ifNoneMatch: '*' })).rejects.toMatchObject({
      code: 'definitionConflict',
    });
    const second = await activations.put('companies', definition({ nulls: 'clear' }), { ifMatch: first.etag });
    expect(second.created).toBe(false);
    expect(await activations.list()).toMatchObject([{ etag: second.etag, definition: { nulls: 'clear' } }]);
    await expect(activations.remove('companies', { ifMatch: first.etag })).rejects.toMatchObject({
      code: 'definitionConflict',
    });
    await activations.remove('companies', { ifMatch: second.etag });
    await expect(activations.get('companies')).rejects.toMatchObject({ code: 'activationUnknown' });
    await expect(activations.remove('companies')).rejects.toMatchObject({ code: 'activationUnknown' });
  });

  test('govern the runs that were started with them, whatever they become', async () => {
    const world = openWorld();
    await world.activations.put('companies', definition());
    await putSource(world, 'number,name,employees\nA,Alpha,1\n');
    const { id } = await world.activations.start('companies', { startedBy: 'test' });
    await world.activations.put('companies', definition({ mapping: { accountnumber: 'name' } }));
    await world.settle();
    expect(await world.allRows('companies', id)).toMatchObject([{ key: { accountnumber: 'A' } }]);
  });
});
