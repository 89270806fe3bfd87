import { describe, expect, test } from 'vitest';
import type { BatchAction, Entry } from '../../../../src/actions/batch/entries.ts';
import { sendEntries } from '../../../../src/actions/batch/send.ts';
import { DataverseError } from '../../../../src/dataverse/errors.ts';
import type { DataverseRequest, DataverseResponse } from '../../../../src/dataverse/request.ts';
import type { TableShape } from '../../../../src/dataverse/table.ts';
import { fakeClock } from '../../../support/clock.ts';

const shape: TableShape = {
  logicalName: 'account',
  entitySetName: 'accounts',
  primaryId: 'accountid',
  primaryName: 'name',
  columns: new Map(),
};
const METHODS = { create: 'POST', update: 'PATCH', delete: 'DELETE' } as const;

const entry = (index: number, action: BatchAction = 'update', changes: Partial<Entry> = {}): Entry => ({
  index,
  action,
  shape,
  table: 'account',
  key: undefined,
  gets: {},
  address: undefined,
  id: `id-${index}`,
  ownId: action === 'create',
  looksUp: false,
  returnRepresentation: false,
  bytes: 1,
  operation: { method: METHODS[action], path: `accounts(id-${index})`, body: '{}' },
  ...changes,
});

/** The answer to one operation: a status, and what the service says besides. */
type Part = number | { status: number; code?: string; headers?: Record<string, string>; body?: unknown };
/** The answer to a request: parts of a batch (`'cut'` ends it there), one part for any other, or none. */
type Reply = (Part | 'cut')[] | Error;

function partText(part: Part): string {
  const {
    status,
    code,
    headers = {},
    body = code && { error: { code, message: `message of ${code}` } },
  } = typeof part === 'number' ? { status: part } : part;
  const lines = Object.entries({ 'Content-Type': 'application/json', ...headers }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  return [
    'Content-Type: application/http',
    '',
    `HTTP/1.1 ${status} X`,
    ...lines,
    '',
    body ? JSON.stringify(body) : '',
    '',
  ].join('\r\n');
}

function batchText(parts: readonly (Part | 'cut')[]): string {
  const whole = parts.filter((part) => part !== 'cut').map((part) => `--b\r\n${partText(part)}`);
  return parts.includes('cut') ? `${whole.join('')}--b\r\nContent-Ty` : `${whole.join('')}--b--\r\n`;
}

/** Sends entries to a service that gives these replies in turn. */
async function send(
  entries: Entry[],
  replies: Reply[],
  { lanes = {}, deadline = 200_000 }: { lanes?: Record<number, string>; deadline?: number } = {},
) {
  const clock = fakeClock();
  const startedAt = clock.now();
  const sent: DataverseRequest[] = [];
  const outcomes = await sendEntries(
    {
      client: {
        async send(request): Promise<DataverseResponse> {
          const reply = replies[sent.length];
          sent.push(request);
          if (!reply || reply instanceof Error) throw reply ?? new Error('No reply is left.');
          const text =
            request.path === '$batch' ? batchText(reply) : JSON.stringify({ accountid: 'id-0', name: 'Read back' });
          return { status: 200, header: () => 'multipart/mixed; boundary=b', text, json: () => JSON.parse(text) };
        },
        open: () => Promise.reject(new Error('Nothing is streamed here.')),
      },
      apiPath: '/api/data/v9.2/',
      clock,
      random: () => 0,
      newId: () => 'id',
      limits: { deadline: startedAt + deadline },
      laneOf: ({ index }) => lanes[index] ?? index,
    },
    entries,
  );
  const shown = outcomes
    .sort((a, b) => a.index - b.index)
    .map(({ outcome, error }) => (error ? `${outcome} ${error.code}` : outcome));
  /** Which entries each batch held. */
  const held = sent.map(({ body = '' }) => [...String(body).matchAll(/id-(\d+)/g)].map((match) => Number(match[1])));
  return { outcomes, shown, held, waitedMs: clock.now() - startedAt, requests: sent.map(({ path }) => path) };
}

const network = new DataverseError('network', 'Dataverse gave no answer.');
const throttled: Part = { status: 429, code: '0x80072322', headers: { 'Retry-After': '7' } };
const deadlock: Part = { status: 500, code: '0x80044150' };
const missing: Part = { status: 404, code: '0x80040217' };
const duplicate: Part = { status: 412, code: '0x80040237' };

describe('entries of one batch', () => {
  test('are settled each by its own answer', async () => {
    const { shown } = await send(
      [entry(0, 'create'), entry(1), entry(2, 'delete'), entry(3)],
      [[204, 204, 204, missing]],
    );
    expect(shown).toEqual(['created', 'updated', 'deleted', 'rejected 0x80040217']);
  });

  test('that limits held back are sent again after the time that the service tells', async () => {
    const { shown, held, waitedMs } = await send(
      [entry(0), entry(1), entry(2)],
      [
        [204, throttled, throttled],
        [204, 204],
      ],
    );
    expect(shown).toEqual(['updated', 'updated', 'updated']);
    expect(held).toEqual([
      [0, 1, 2],
      [1, 2],
    ]);
    expect(waitedMs).toBe(7_000);
  });

  test('that ran into a deadlock are sent again, so many times', async () => {
    const { shown, held } = await send([entry(0)], Array(9).fill([deadlock]));
    expect(shown).toEqual(['rejected 0x80044150']);
    expect(held).toHaveLength(6);
  });

  test('are not sent again behind one of their lane that has been carried out', async () => {
    const lanes = { 0: 'row', 1: 'row' };
    const { shown, held } = await send([entry(0), entry(1), entry(2)], [[deadlock, 204, deadlock], [204]], { lanes });
    expect(shown).toEqual(['rejected 0x80044150', 'updated', 'updated']);
    expect(held).toEqual([[0, 1, 2], [2]]);
  });

  test('are sent again in their order when all that is left of a lane was held back', async () => {
    const lanes = { 0: 'row', 1: 'row' };
    const { shown, held } = await send(
      [entry(0), entry(1)],
      [
        [throttled, throttled],
        [204, 204],
      ],
      { lanes },
    );
    expect([shown, held]).toEqual([
      ['updated', 'updated'],
      [
        [0, 1],
        [0, 1],
      ],
    ]);
  });

  test('whose answers were cut off are sent again, the others not', async () => {
    const { shown, held } = await send(
      [entry(0, 'create'), entry(1), entry(2, 'delete')],
      [
        [204, 'cut'],
        [204, 204],
      ],
    );
    expect([shown, held]).toEqual([
      ['created', 'updated', 'deleted'],
      [
        [0, 1, 2],
        [1, 2],
      ],
    ]);
  });

  test('that were carried out although their answers were lost are told as carried out', async () => {
    const entries = [entry(0, 'create'), entry(1, 'delete'), entry(2)];
    const { shown, requests } = await send(entries, [network, [duplicate, missing, 204], [200]]);
    expect(shown).toEqual(['created', 'deleted', 'updated']);
    expect(requests).toEqual(['$batch', '$batch', 'accounts(id-0)?$select=accountid']);
  });

  test('tell the row that a lost answer had told', async () => {
    const { outcomes } = await send(
      [entry(0, 'create', { returnRepresentation: true })],
      [network, [duplicate], [200]],
    );
    expect(outcomes).toEqual([
      { index: 0, outcome: 'created', status: 201, id: 'id-0', data: { accountid: 'id-0', name: 'Read back' } },
    ]);
  });

  test('are refused for a key of another row although an answer was lost', async () => {
    const notFound = new DataverseError('notFound', 'There is none.', { status: 404 });
    const taken: Part = { status: 412, code: '0x80060892' };
    expect((await send([entry(0, 'create')], [network, [taken], notFound])).shown).toEqual(['rejected 0x80060892']);
  });

  test('under the caller’s own id are not known to be this request’s', async () => {
    expect((await send([entry(0, 'create', { ownId: false })], [network, [duplicate]])).shown).toEqual([
      'rejected outcomeUnknown',
    ]);
    expect((await send([entry(0, 'create', { ownId: false })], [[duplicate]])).shown).toEqual(['rejected 0x80040237']);
  });

  test('that lead away from their own key are not known to be carried out', async () => {
    const values = { accountnumber: 'A' };
    const address = { kind: 'key', table: { ...shape, columns: new Map(), keys: [] }, parts: [], values } as const;
    const moving = entry(0, 'update', { address, gets: { accountnumber: 'B' } });
    expect((await send([moving], [network, [missing]])).shown).toEqual(['rejected outcomeUnknown']);
    const staying = entry(0, 'update', { address, gets: { name: 'B' } });
    expect((await send([staying], [network, [missing]])).shown).toEqual(['rejected 0x80040217']);
  });

  test('are told as unknown when no answer comes at all', async () => {
    const { shown, outcomes, held } = await send([entry(0, 'create'), entry(1)], Array(9).fill(network));
    expect(shown).toEqual(['rejected outcomeUnknown', 'rejected outcomeUnknown']);
    expect(outcomes[0]).toMatchObject({ id: 'id-0', status: 504 });
    expect(held).toHaveLength(6);
  });

  test('are told as not carried out where the service refused them all', async () => {
    const refused = new DataverseError('unauthenticated', 'No.', { status: 401 });
    expect((await send([entry(0)], [refused])).shown).toEqual(['rejected unauthenticated']);
    const limited = new DataverseError('limitExceeded', 'Limits hold.', { retryAfterMs: 900_000 });
    expect((await send([entry(0)], [limited])).outcomes).toMatchObject([
      { status: 429, error: { code: 'limitExceeded' } },
    ]);
  });

  test('are not begun with too little time, and then told so', async () => {
    const { shown, requests } = await send([entry(0)], [], { deadline: 5_000 });
    expect([shown, requests]).toEqual([['rejected deadline'], []]);
  });

  test('are not waited for longer than there is time', async () => {
    const { shown, waitedMs } = await send(
      [entry(0), entry(1)],
      [[{ ...throttled, headers: { 'Retry-After': '300' } }, 204]],
    );
    expect(shown).toEqual(['rejected deadline', 'updated']);
    expect(waitedMs).toBe(0);
    expect((await send([entry(0)], [network], { deadline: 10_400 })).shown).toEqual(['rejected outcomeUnknown']);
  });
});
