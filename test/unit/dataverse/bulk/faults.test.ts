import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { OutcomeKind, RowOutcome } from '../../../../src/dataverse/bulk/outcomes.ts';
import { createBulkSupport } from '../../../../src/dataverse/bulk/support.ts';
import { type RowToWrite, type WriteContext, writeRows } from '../../../../src/dataverse/bulk/write-rows.ts';
import type { Fault, Sent } from './simulated-service.ts';
import { account, id, kinds, openWorld, row } from './world.ts';

const rows = [0, 1, 2, 3, 4, 5].map((at) => row(at, `A${at}`));
const reject = { onOutage: 'reject' } as const;

/** Lets requests of a kind meet a fault, so many times. */
const meeting = (kind: Sent['kind'], fault: Fault, times = Number.POSITIVE_INFINITY) => {
  let left = times;
  return (sent: Sent): Fault | undefined => {
    if (sent.kind !== kind || left === 0) return undefined;
    left -= 1;
    return fault;
  };
};

describe('an answer that is lost', () => {
  test.each([
    ['before the rows are created', { reset: 'before' }],
    ['after the rows are created', { reset: 'after' }],
    ['to a gateway’s 502', { html: 502 }],
    ['to a gateway’s 503', { html: 503 }],
    ['to a gateway’s 504', { html: 504 }],
  ] as const)('%s is cleared up by reading back, and each row is created once', async (_, fault) => {
    const world = openWorld({ fault: meeting('create', fault, 1) });
    const outcomes = await world.write(rows);
    expect(outcomes.map(({ outcome, id: found }) => [outcome, found])).toEqual(
      rows.map(({ newId }) => ['created', newId]),
    );
    expect(world.rows.size).toBe(6);
    const creates = world.sent.filter(({ kind }) => kind === 'create');
    expect(creates).toHaveLength('reset' in fault && fault.reset === 'after' ? 1 : 2);
  });

  test.each(['update', 'delete'] as const)('to an %s is cleared up by doing it again', async (kind) => {
    const fault = meeting(kind, { reset: 'after' }, 1);
    const world = openWorld({ fault, rows: rows.map((_, at) => account(id(at), `A${at}`)) });
    const outcomes = await world.write(rows, { mode: kind });
    expect(new Set(kinds(outcomes))).toEqual(new Set([`${kind}d`]));
    expect(world.rows.size).toBe(kind === 'delete' ? 0 : 6);
  });

  test('midway through a $batch leaves what arrived as it is, and clears up the rest', async () => {
    const world = openWorld({ bulkMessages: false, fault: meeting('create', { parts: 2 }, 1) });
    expect(new Set(kinds(await world.write(rows)))).toEqual(new Set(['created']));
    const [first, second] = world.sent.filter(({ form }) => form === 'batch');
    expect([first?.rows.length, second]).toEqual([6, undefined]);
    expect(world.rows.size).toBe(6);
  });

  test('time and again ends the write, and the rows of that call are told as unknown', async () => {
    const fault = meeting('update', { reset: 'after' });
    const world = openWorld({ fault, rows: rows.map((_, at) => account(id(at), `A${at}`)) });
    const outcomes = await world.write(rows, { ...reject, mode: 'update' });
    expect(outcomes[0]).toMatchObject({ outcome: 'rejected', error: { code: 'outcomeUnknown' } });
    expect(world.sent.filter(({ kind }) => kind === 'update')).toHaveLength(6);
  });

  test('time and again throws where the write is to be repeated, and repeating it is true', async () => {
    const faults = meeting('create', { reset: 'after' }, 20);
    const world = openWorld({
      fault: (sent) => (sent.form === 'query' && world.rows.size > 0 ? { reset: 'before' } : faults(sent)),
    });
    await expect(world.write(rows)).rejects.toMatchObject({ code: 'network' });
    expect(world.outcomes).toEqual([]);
    const again = openWorld({ rows: [...world.rows.values()] });
    expect(new Set(kinds(await again.write(rows)))).toEqual(new Set(['created']));
  });
});

describe('a failure after which the service has rolled back', () => {
  test.each([
    ['a deadlock', { status: 500, code: '0x80044150' }],
    ['an unexpected error', { status: 500, code: '0x80040216' }],
    ['a customisation that is running', { status: 400, code: '0x80071154' }],
  ])('%s is tried again after a pause', async (_, fault) => {
    const world = openWorld({ fault: meeting('create', fault, 2) });
    const start = world.clock.now();
    expect(new Set(kinds(await world.write(rows)))).toEqual(new Set(['created']));
    expect(world.clock.now() - start).toBeGreaterThan(1000);
  });

  test('an unexpected error of one row does not keep the others back', async () => {
    const world = openWorld({ refuses: ({ name }) => (name === 'plug-in' ? [500, '0x80040216'] : undefined) });
    const outcomes = await world.write([...rows, row(6, 'A6', 'plug-in')]);
    expect(kinds(outcomes)).toEqual([...rows.map(() => 'created'), 'rejected']);
  });

  test.each([
    ['a time-out', { status: 500, code: '0x80044151' }],
    ['a body too large', { status: 413, code: '0x8004418a' }],
  ])('%s makes calls smaller', async (_, fault) => {
    const most = 20;
    const world = openWorld({
      fault: ({ kind, rows: sent }) => (kind === 'create' && sent.length > most ? fault : undefined),
    });
    const many = Array.from({ length: 400 }, (_each, at) => row(at, `A${at}`));
    expect(new Set(kinds(await world.write(many)))).toEqual(new Set(['created']));
    const refusals = world.sent.filter(({ kind, rows: sent }) => kind === 'create' && sent.length > most);
    expect(refusals.length).toBeLessThan(20);
  });
});

describe('a service protection limit', () => {
  const limited: Fault = { status: 429, code: '0x80072322', headers: { 'retry-after': '30' } };

  test('is waited for however often it comes, and is no failure of a row', async () => {
    const world = openWorld({ fault: (_, number) => (number % 2 === 1 ? limited : undefined) });
    expect(new Set(kinds(await world.write(rows)))).toEqual(new Set(['created']));
    expect(world.meter.throttled.count).toBeGreaterThan(1);
    expect(world.meter.throttled.waitedMs).toBe(world.meter.throttled.count * 30_000);
  });

  test('that an operation in a $batch meets holds for all, and the operation is sent again', async () => {
    let met = false;
    const world = openWorld({
      bulkMessages: false,
      refuses: ({ accountnumber }) => {
        if (accountnumber !== 'A3' || met) return undefined;
        met = true;
        return [429, '0x80072322'];
      },
    });
    const start = world.clock.now();
    expect(new Set(kinds(await world.write(rows)))).toEqual(new Set(['created']));
    expect(world.meter.throttled.count).toBe(1);
    expect(world.clock.now() - start).toBeGreaterThanOrEqual(1000);
  });

  test('that holds beyond the deadline rejects what was refused and skips the rest', async () => {
    const world = openWorld({ fault: meeting('create', limited) });
    const outcomes = await world.write(rows, { ...reject, deadline: world.clock.now() + 10_000 });
    expect(kinds(outcomes)).toEqual(rows.map(() => 'rejected'));
    expect(outcomes[0]?.error).toMatchObject({ code: 'limitExceeded', hint: expect.stringContaining('Retry-After') });
  });
});

describe('an outage', () => {
  test.each([
    ['401', { status: 401 }, 'unauthenticated'],
    ['a user who is no member', { status: 403, code: '0x80072560' }, 'forbidden'],
  ])('of %s rejects what was refused', async (_, fault, code) => {
    const world = openWorld({ fault: meeting('create', fault) });
    const outcomes = await world.write(rows, reject);
    expect(outcomes.map(({ outcome, error }) => [outcome, error?.code])).toEqual(rows.map(() => ['rejected', code]));
  });

  test('of look-ups skips the rows, for none was sent', async () => {
    const world = openWorld({ fault: meeting('lookUp', { html: 200 }) });
    const outcomes = await world.write(rows, reject);
    expect(outcomes.map(({ outcome, error }) => [outcome, error?.code])).toEqual(
      rows.map(() => ['skipped', 'notDataverse']),
    );
  });

  test('is not what a look-up meets that the role does not allow: its rows are rejected', async () => {
    const world = openWorld({ fault: meeting('lookUp', { status: 403, code: '0x80040220' }) });
    const outcomes = await world.write(rows, reject);
    expect(outcomes[0]).toMatchObject({
      outcome: 'rejected',
      error: { code: '0x80040220', hint: expect.stringContaining('privilege') },
    });
  });

  test('is not what one key means that the service cannot read', async () => {
    const world = openWorld({
      fault: ({ form, rows: wanted }) =>
        form === 'query' && wanted.some(({ accountnumber }) => accountnumber === 'A3')
          ? { status: 400, code: '0x0' }
          : undefined,
    });
    const outcomes = await world.write(rows, reject);
    expect(kinds(outcomes)).toEqual(rows.map((_, at) => (at === 3 ? 'rejected' : 'created')));
  });
});

describe('an abort', () => {
  const model = { call: 1000, create: 1, update: 1, operation: 1, key: 0 };
  const many = Array.from({ length: 2000 }, (_, at) => row(at, `A${at}`));

  /** Aborts after so many milliseconds. */
  const aborted = async (world: ReturnType<typeof openWorld>, ms: number, options: Partial<WriteContext>) => {
    const controller = new AbortController();
    void world.clock.sleep(ms).then(() => controller.abort(new Error('enough')));
    await expect(world.write(many, { ...options, signal: controller.signal })).rejects.toThrow('enough');
    return [...world.outcomes].sort((a, b) => a.index - b.index);
  };

  test('before the first row ends the write with its reason', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(openWorld().write(rows, { signal })).rejects.toThrow('enough');
  });

  test('lets calls under way end, and tells every row that was taken', async () => {
    const world = openWorld({ model });
    const outcomes = await aborted(world, 3500, reject);
    for (const { index, outcome, error } of outcomes) {
      const exists = world.byNumber(`A${index}`) !== undefined;
      expect([outcome, error?.code]).toEqual(exists ? ['created', undefined] : ['skipped', 'aborted']);
    }
    expect(kinds(outcomes)).toContain('created');
    expect(kinds(outcomes)).toContain('skipped');
  });

  test('leaves rows without an outcome for the next time, where the write is to be repeated', async () => {
    const world = openWorld({ model });
    const outcomes = await aborted(world, 3500, {});
    expect(outcomes).toHaveLength(world.rows.size);
    expect(new Set(kinds(outcomes))).toEqual(new Set(['created']));
  });

  test('does not wait for a source that has fallen silent', async () => {
    const world = openWorld();
    const controller = new AbortController();
    const source = (async function* () {
      yield row(0, 'A');
      await world.clock.sleep(3_600_000);
    })();
    const outcomes: RowOutcome[] = [];
    const collect = async (): Promise<void> => {
      const options = { ...world.context, ...reject, signal: controller.signal };
      for await (const outcome of writeRows(options, source)) outcomes.push(outcome);
    };
    void world.clock.sleep(1_000).then(() => controller.abort(new Error('enough')));
    await expect(world.clock.run(collect())).rejects.toThrow('enough');
    expect(kinds(outcomes)).toEqual(['created']);
  });

  test('while the table’s messages are asked for ends the write, and leaves the question to others', async () => {
    const world = openWorld({ fault: ({ form }) => (form === 'support' ? { slow: 1_000 } : undefined) });
    const support = createBulkSupport(world.client);
    const controller = new AbortController();
    void world.clock.sleep(500).then(() => controller.abort(new Error('enough')));
    await expect(world.write(rows, { support, signal: controller.signal })).rejects.toThrow('enough');
    expect(kinds(await world.write(rows, { support }))).toEqual(rows.map(() => 'created'));
    expect(world.sent.filter(({ form }) => form === 'support')).toHaveLength(1);
  });

  test('does not wait for a call that never ends: what it did is read back', async () => {
    const world = openWorld({ fault: meeting('create', { slow: 3_600_000 }, 1) });
    const start = world.clock.now();
    const outcomes = await aborted(world, 500, reject);
    expect(world.clock.now() - start).toBeLessThan(60_000);
    for (const { index, outcome } of outcomes) {
      expect(outcome).toBe(world.byNumber(`A${index}`) ? 'created' : 'skipped');
    }
  });
});

test('rows that are not sent by the deadline are skipped', async () => {
  const world = openWorld({ model: { call: 100, create: 10, update: 1, operation: 1, key: 0 } });
  const many = Array.from({ length: 3000 }, (_, at) => row(at, `A${at}`));
  const outcomes = await world.write(many, { ...reject, deadline: world.clock.now() + 4000 });
  const late = outcomes.filter(({ error }) => error?.code === 'deadline');
  expect(late.length).toBeGreaterThan(500);
  for (const { index, outcome } of outcomes)
    expect(world.byNumber(`A${index}`) !== undefined).toBe(outcome === 'created');
});

const numberOf = ({ key }: RowToWrite): string => String(key['accountnumber']).toLowerCase();
const WRITTEN: readonly OutcomeKind[] = ['created', 'updated'];

/** What every row's outcome says must be what the service holds. `toldApart`: created and updated rows are. */
function compare(
  world: ReturnType<typeof openWorld>,
  sent: readonly RowToWrite[],
  outcomes: readonly RowOutcome[],
  toldApart: boolean,
): void {
  expect(outcomes.map(({ index }) => index)).toEqual(sent.map(({ index }) => index));
  const stored = [...world.rows.values()];
  const numbers = stored.map((each) => String(each['accountnumber']).toLowerCase());
  expect(new Set(numbers).size).toBe(numbers.length);
  const expected = new Map<string, unknown>(SEED.map(({ accountnumber, name }) => [accountnumber.toLowerCase(), name]));
  let unknown = 0;
  for (const each of sent) {
    const { outcome, error } = outcomes[each.index] ?? {};
    if (error?.code === 'outcomeUnknown') {
      const there = world.byNumber(numberOf(each));
      if (there) expected.set(numberOf(each), there['name']);
      else expected.delete(numberOf(each));
      unknown += 1;
    }
    if (outcome === 'deleted') expect(expected.delete(numberOf(each))).toBe(true);
    if (!outcome || !WRITTEN.includes(outcome)) continue;
    if (toldApart) expect(outcome).toBe(expected.has(numberOf(each)) ? 'updated' : 'created');
    expected.set(numberOf(each), each.values['name']);
  }
  expect(unknown).toBeLessThanOrEqual(2);
  expect(new Map(stored.map((each) => [String(each['accountnumber']).toLowerCase(), each['name']]))).toEqual(expected);
}

const SEED = Array.from({ length: 20 }, (_, at) => account(id(at), `K${at}`));
const faults: readonly Fault[] = [
  { status: 429, code: '0x80072322', headers: { 'retry-after': '3' } },
  { status: 429, code: '0x80072326' },
  { html: 502 },
  { html: 503 },
  { status: 504, code: '' },
  { reset: 'before' },
  { reset: 'after' },
  { parts: 1 },
  { slow: 30_000 },
  { status: 500, code: '0x80044150' },
  { status: 500, code: '0x80044151' },
  { status: 413, code: '0x8004418a' },
];

test('under any mix of faults no row is lost, doubled or misreported', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ key: fc.nat(60), known: fc.boolean(), bad: fc.nat(9) }), { minLength: 1, maxLength: 150 }),
      fc.constantFrom('upsert', 'create', 'update', 'delete'),
      fc.array(fc.option(fc.constantFrom(...faults), { freq: 3 }), { maxLength: 30 }),
      fc.record({ bulkMessages: fc.boolean(), resolve: fc.boolean() }),
      async (specs, mode, plan, { bulkMessages, resolve }) => {
        let lost = 0;
        const world = openWorld({
          rows: SEED,
          bulkMessages,
          model: { call: 10, create: 1, update: 1, operation: 2, key: 0 },
          refuses: ({ name }) => (String(name).startsWith('bad') ? '0x80040203' : undefined),
          fault: (_, number) => {
            if (number > 2_000) throw new Error('The write runs away.');
            const fault = plan[number - 1] ?? undefined;
            const loses = fault && (fault.html || fault.reset || fault.parts || fault.status === 504);
            if (loses) lost += 1;
            // More lost answers are an outage, which other tests are about.
            return loses && lost > 5 ? undefined : fault;
          },
        });
        const sent = specs.map(({ key, known, bad }, at) => {
          const number = known ? `K${key % 30}` : `N${key}`;
          return row(at, at % 3 === 0 ? number.toLowerCase() : number, `${bad === 0 ? 'bad' : 'good'} ${at}`);
        });
        const stopAt = { share: 1, rows: 1000 };
        const outcomes = await world.write(sent, { mode, stopAt, resolve });
        compare(world, sent, outcomes, resolve || mode !== 'upsert');
        expect(world.races).toEqual([]);
      },
    ),
    { numRuns: Number(process.env['FAULT_RUNS'] ?? 150) },
  );
});
