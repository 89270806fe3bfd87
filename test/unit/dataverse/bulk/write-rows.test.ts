import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { keyStrategy } from '../../../../src/dataverse/bulk/keys.ts';
import type { RowOutcome } from '../../../../src/dataverse/bulk/outcomes.ts';
import { type RowToWrite, type WriteContext, writeRows } from '../../../../src/dataverse/bulk/write-rows.ts';
import { newMeter } from '../../../../src/dataverse/client.ts';
import { DataverseError } from '../../../../src/dataverse/errors.ts';
import { createPace } from '../../../../src/dataverse/pace.ts';
import { BridgeError } from '../../../../src/shared/errors.ts';
import { ACCOUNT, type Fault, fakeDataverse, serviceError } from './fake-dataverse.ts';
import { timeline } from './timeline.ts';

const network = new DataverseError('network', 'Dataverse gave no answer: ECONNRESET.');
const id = (number: number): string => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;

const row = (index: number, number: string, name = 'Name', more: Partial<RowToWrite> = {}): RowToWrite => ({
  index,
  key: { accountnumber: number },
  values: { name },
  newId: id(1_000 + index),
  ...more,
});
const account = (accountid: string, accountnumber: string, name = 'Before') => ({ accountid, accountnumber, name });

async function write(
  fake: ReturnType<typeof fakeDataverse>,
  rows: readonly (RowToWrite | RowOutcome)[],
  context: Partial<WriteContext> = {},
): Promise<RowOutcome[]> {
  const clock = timeline();
  const outcomes: RowOutcome[] = [];
  const all = (async function* () {
    yield* rows;
  })();
  const options: WriteContext = {
    clock,
    pace: createPace({ clock, maxConcurrency: 4 }),
    random: () => 0,
    client: fake.client,
    apiPath: '/api/data/v9.2/',
    table: ACCOUNT,
    strategy: keyStrategy(ACCOUNT, ['accountnumber']),
    mode: 'upsert',
    newId: randomUUID,
    meter: newMeter(),
    ...context,
  };
  const collect = async (): Promise<void> => {
    for await (const outcome of writeRows(options, all)) outcomes.push(outcome);
  };
  await clock.run(collect());
  return outcomes;
}

const kinds = (outcomes: readonly RowOutcome[]) => outcomes.map(({ outcome }) => outcome);

/** Lets the first request of a kind fail. */
const failing = (kind: string, when: 'before' | 'after', error: Error, times = 1): Fault => {
  let left = times;
  return (sent) => {
    if (sent.kind !== kind || left === 0) return undefined;
    left -= 1;
    return { [when]: error };
  };
};

describe('rows', () => {
  test('that exist go out as one update by id, the others as one create with the id made for them', async () => {
    const fake = fakeDataverse([account(id(1), 'A-1')]);
    const outcomes = await write(fake, [row(0, 'a-1 '), row(1, 'A-2')]);
    expect(outcomes).toEqual([
      { index: 0, key: { accountnumber: 'a-1 ' }, outcome: 'updated', id: id(1) },
      { index: 1, key: { accountnumber: 'A-2' }, outcome: 'created', id: id(1001) },
    ]);
    expect(fake.sent.map(({ kind }) => kind)).toEqual(['lookUp', 'CreateMultiple', 'UpdateMultiple']);
    expect(fake.rows.get(id(1))).toMatchObject({ accountnumber: 'A-1', name: 'Name' });
  });

  test('with equal keys never share a request, and the last value stays', async () => {
    const fake = fakeDataverse();
    const rows = ['A', 'B', 'a', 'A ', 'C'].map((number, at) => row(at, number, `Value ${at}`));
    expect(kinds(await write(fake, rows))).toEqual(['created', 'created', 'updated', 'updated', 'created']);
    for (const { rows: sent } of fake.sent.filter(({ kind }) => kind !== 'lookUp')) {
      const keys = sent.map((each) => String(each['accountid']));
      expect(new Set(keys).size).toBe(keys.length);
    }
    expect(fake.byNumber('A')).toMatchObject({ name: 'Value 3' });
  });

  test('that are outcomes already keep their place', async () => {
    const rejected: RowOutcome = { index: 1, key: {}, outcome: 'rejected', error: { code: 'x', message: 'x' } };
    const outcomes = await write(fakeDataverse(), [row(0, 'A'), rejected, row(2, 'B')], { batchSize: 2 });
    expect(outcomes.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(outcomes[1]).toBe(rejected);
  });

  test('that were made by an earlier try of the same write count as created and are not sent again', async () => {
    const fake = fakeDataverse([account(id(1000), 'A', 'Name')]);
    expect(kinds(await write(fake, [row(0, 'A')]))).toEqual(['created']);
    expect(fake.sent.map(({ kind }) => kind)).toEqual(['lookUp']);
  });

  test('whose remembered id is gone are found again by their key', async () => {
    const gone = row(0, 'A', 'New', { id: id(99) });
    const moved = fakeDataverse([account(id(1), 'A')]);
    expect(await write(moved, [gone])).toMatchObject([{ outcome: 'updated', id: id(1) }]);
    const lost = fakeDataverse();
    expect(await write(lost, [gone])).toMatchObject([{ outcome: 'created', id: id(1000) }]);
    expect(lost.byNumber('A')).toMatchObject({ name: 'New' });
  });

  test('that another writer creates in between are updated', async () => {
    const fake = fakeDataverse([], (sent) => {
      if (sent.kind === 'CreateMultiple') fake.rows.set(id(7), account(id(7), 'A'));
      return undefined;
    });
    expect(await write(fake, [row(0, 'A', 'Ours'), row(1, 'B')])).toMatchObject([
      { outcome: 'updated', id: id(7) },
      { outcome: 'created' },
    ]);
    expect(fake.rows.get(id(7))).toMatchObject({ name: 'Ours' });
  });
});

describe('a bulk message that is refused', () => {
  test('is sent row by row, so that exactly the bad rows are told, whichever they are', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ bad: fc.boolean(), known: fc.boolean() }), { maxLength: 230 }),
        async (specs) => {
          const fake = fakeDataverse(specs.flatMap(({ known }, at) => (known ? [account(id(at), `A${at}`)] : [])));
          const rows = specs.map(({ bad }, at) => row(at, `A${at}`, bad ? 'refused' : 'Good'));
          const outcomes = await write(fake, rows, { batchSize: 60 });
          const expected = specs.map(({ bad, known }) => (bad ? 'rejected' : known ? 'updated' : 'created'));
          expect(kinds(outcomes)).toEqual(expected);
          for (const [at, { bad, known }] of specs.entries()) {
            expect(fake.byNumber(`A${at}`)?.['name']).toBe(bad ? (known ? 'Before' : undefined) : 'Good');
            if (bad) expect(outcomes[at]?.error).toMatchObject({ code: '0x80040203' });
          }
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe('an answer that is lost after the rows are written', () => {
  test.each(['CreateMultiple', 'UpdateMultiple', 'batch'])(
    'to %s leaves true outcomes when the write is repeated',
    async (kind) => {
      const bad = kind === 'batch' ? 'refused' : 'Good';
      const fake = fakeDataverse([account(id(1), 'A')], failing(kind, 'after', network));
      const rows = [row(0, 'A', 'New'), row(1, 'B', 'New'), row(2, 'C', bad)];
      await expect(write(fake, rows)).rejects.toBe(network);
      const again = await write(fake, rows);
      expect(kinds(again)).toEqual(['updated', 'created', kind === 'batch' ? 'rejected' : 'created']);
      expect(fake.rows.size).toBe(kind === 'batch' ? 2 : 3);
      expect(again[1]?.id).toBe(id(1001));
    },
  );

  test('and whose repetition is refused as duplicate counts as created', async () => {
    // As the client does it: CreateMultiple is carried out, its answer lost, and the second try refused.
    const fake = fakeDataverse([], (sent) => {
      if (sent.kind === 'CreateMultiple')
        for (const each of sent.rows) fake.rows.set(String(each['accountid']), { ...each });
      return undefined;
    });
    expect(await write(fake, [row(0, 'A'), row(1, 'B')])).toMatchObject([
      { outcome: 'created', id: id(1000) },
      { outcome: 'created', id: id(1001) },
    ]);
  });
});

describe('an outage', () => {
  const rows = [0, 1, 2, 3, 4, 5].map((at) => row(at, `A${at}`));
  const options = { batchSize: 2 };

  test('ends the write by default', async () => {
    const fake = fakeDataverse([], failing('CreateMultiple', 'before', network));
    await expect(write(fake, rows, options)).rejects.toBe(network);
  });

  test.each([
    ['no answer', network, 'outcomeUnknown'],
    ['503', serviceError(503, '0x80040216'), 'outcomeUnknown'],
    ['a page of HTML', new DataverseError('notDataverse', 'HTML'), 'outcomeUnknown'],
    ['no token', new BridgeError('tokenRefused', 'Entra refused a token.'), 'outcomeUnknown'],
    ['401', serviceError(401, ''), 'unauthenticated'],
    ['429 without end', serviceError(429, '0x80072322'), 'limitExceeded'],
  ])('of %s rejects the rows of its request and skips those behind, where told to', async (_, error, code) => {
    const fault = failing('CreateMultiple', 'before', error, Number.POSITIVE_INFINITY);
    let creates = 0;
    const fake = fakeDataverse([], (sent) => {
      if (sent.kind === 'CreateMultiple') creates += 1;
      return creates > 1 ? fault(sent) : undefined;
    });
    const outcomes = await write(fake, rows, { ...options, onOutage: 'reject' });
    expect(kinds(outcomes)).toEqual(['created', 'created', 'rejected', 'rejected', 'skipped', 'skipped']);
    expect(outcomes[2]?.error).toMatchObject({ code, hint: expect.any(String) });
    expect(outcomes[4]?.error).toMatchObject({ code: error.code, message: expect.stringContaining('Not tried') });
    expect(creates).toBe(2);
  });

  test('in a replay rejects the rows of that part only', async () => {
    const many = Array.from({ length: 250 }, (_, at) => row(at, `A${at}`, at === 0 ? 'refused' : 'Good'));
    let batches = 0;
    const fake = fakeDataverse([], (sent) => {
      if (sent.kind === 'batch') batches += 1;
      return sent.kind === 'batch' && batches === 2 ? { before: network } : undefined;
    });
    const outcomes = await write(fake, many, { onOutage: 'reject' });
    expect(kinds(outcomes).filter((kind) => kind === 'rejected')).toHaveLength(101);
    expect(outcomes[0]?.error?.code).toBe('0x80040203');
    for (const { index, outcome } of outcomes) {
      if (outcome === 'created') expect(fake.byNumber(`A${index}`)).toBeDefined();
    }
  });

  test('is not what a look-up meets that the role does not allow: its rows are rejected and the rest goes on', async () => {
    const fake = fakeDataverse([], failing('lookUp', 'before', serviceError(403, '0x80040220')));
    const outcomes = await write(fake, rows, { ...options, onOutage: 'reject' });
    expect(kinds(outcomes)).toEqual(['rejected', 'rejected', 'created', 'created', 'created', 'created']);
    expect(outcomes[0]?.error).toMatchObject({ code: '0x80040220', hint: expect.stringContaining('privilege') });
  });
});

describe('rows addressed by id', () => {
  const byId = { strategy: { kind: 'id' } } as const;
  const idRow = (number: number) => row(number, '', 'Name', { key: { id: id(number) }, values: { name: 'Name' } });

  test('are created under their id and updated when they exist', async () => {
    const fake = fakeDataverse([account(id(1), 'A')]);
    expect(await write(fake, [idRow(0), idRow(1)], byId)).toMatchObject([
      { outcome: 'created', id: id(0) },
      { outcome: 'updated', id: id(1) },
    ]);
    expect(fake.rows.get(id(0))).toEqual({ accountid: id(0), name: 'Name' });
  });

  test('count as created where the answer to their creation was lost', async () => {
    const fake = fakeDataverse([], (sent) => {
      if (sent.kind === 'CreateMultiple')
        for (const each of sent.rows) fake.rows.set(String(each['accountid']), { ...each });
      return undefined;
    });
    expect(await write(fake, [idRow(0)], byId)).toMatchObject([{ outcome: 'created', id: id(0) }]);
  });
});

describe('mode', () => {
  const both = [row(0, 'A', 'New'), row(1, 'B', 'New')];
  const seed = [account(id(1), 'A')];

  test('create leaves rows alone that exist', async () => {
    const fake = fakeDataverse(seed);
    const outcomes = await write(fake, both, { mode: 'create' });
    expect(outcomes).toMatchObject([{ outcome: 'rejected', error: { code: 'alreadyExists' } }, { outcome: 'created' }]);
    expect(fake.rows.get(id(1))).toMatchObject({ name: 'Before' });
  });

  test('update creates none', async () => {
    const fake = fakeDataverse(seed);
    const outcomes = await write(fake, both, { mode: 'update' });
    expect(outcomes).toMatchObject([{ outcome: 'updated' }, { outcome: 'rejected', error: { code: 'notFound' } }]);
    expect(fake.rows.size).toBe(1);
  });

  test('delete skips what is not there, also what goes in between', async () => {
    const fake = fakeDataverse([...seed, account(id(2), 'B')], (sent) => {
      if (sent.kind === 'batch') fake.rows.delete(id(2));
      return undefined;
    });
    const outcomes = await write(fake, [...both, row(2, 'C')], { mode: 'delete' });
    expect(outcomes).toMatchObject([
      { outcome: 'deleted', id: id(1) },
      { outcome: 'skipped', error: { code: 'notFound' } },
      { outcome: 'skipped', error: { code: 'notFound' } },
    ]);
    expect(fake.rows.size).toBe(0);
  });
});

test('an abort ends the write with its reason', async () => {
  const reason = new Error('enough');
  const controller = new AbortController();
  controller.abort(reason);
  await expect(write(fakeDataverse(), [row(0, 'A')], { signal: controller.signal })).rejects.toBe(reason);
});

test('look-ups stay below the longest URL and find every row', async () => {
  const number = (at: number) => `ä${String(at).padStart(19, '0')}`;
  const seed = Array.from({ length: 500 }, (_, at) => account(id(at), number(at)));
  const fake = fakeDataverse(seed);
  const outcomes = await write(
    fake,
    seed.map((_, at) => row(at, number(at))),
  );
  expect(kinds(outcomes)).toEqual(seed.map(() => 'updated'));
  expect(fake.sent.filter(({ kind }) => kind === 'lookUp').length).toBeGreaterThan(1);
});
