import { describe, expect, test } from 'vitest';
import type { WebhookRequest, WebhookTransport } from '../../../../../src/local/dataverse/events/deliver.ts';
import { createEventQueue, type EventQueueOptions } from '../../../../../src/local/dataverse/events/queue.ts';
import type { RowEvent, WebhookStep } from '../../../../../src/local/dataverse/events/row-event.ts';

const STEP: WebhookStep = {
  id: 'step-1',
  name: 'Hook: Update of account',
  message: 'Update',
  table: 'account',
  enabled: true,
  mode: 'asynchronous',
  stage: 40,
  filteringAttributes: [],
  images: [],
  endpoint: { url: 'http://localhost/hook', auth: { kind: 'key', value: 'secret' } },
};
const EVENT: RowEvent = {
  message: 'Update',
  table: 'account',
  id: 'row-1',
  primaryIdColumn: 'accountid',
  columns: { name: 'A' },
  userId: 'u',
  initiatingUserId: 'u',
  businessUnitId: 'b',
  correlationId: 'c',
  requestId: 'r',
  operationTime: 1_700_000_000_000,
  depth: 1,
};

function queueWith(transport: WebhookTransport, options: Partial<EventQueueOptions> = {}) {
  let ids = 0;
  return createEventQueue({
    organization: { id: 'o', name: 'org', host: 'org.crm4.dynamics.com' },
    transport,
    clock: { now: () => 42, sleep: () => new Promise(() => undefined) },
    newId: () => `job-${++ids}`,
    ...options,
  });
}

/** A transport whose requests wait until they are answered; `arrived(n)` resolves when n requests wait. */
function heldTransport() {
  const held: { request: WebhookRequest; answer: (status: number) => void }[] = [];
  let check = () => {};
  const transport: WebhookTransport = (request) =>
    new Promise((resolve, reject) => {
      request.signal.addEventListener('abort', () => reject(request.signal.reason));
      held.push({ request, answer: (status) => resolve({ status }) });
      check();
    });
  const arrived = (count: number) =>
    new Promise<void>((resolve) => {
      check = () => void (held.length >= count && resolve());
      check();
    });
  return { held, transport, arrived };
}

describe('who is told', () => {
  test.each<[string, Partial<WebhookStep>, Partial<RowEvent>, number]>([
    ['a step of the message and table', {}, {}, 1],
    ['a step of another message', { message: 'Create' }, {}, 0],
    ['a step of another table', { table: 'contact' }, {}, 0],
    ['a disabled step', { enabled: false }, {}, 0],
    ['a step whose filtering attributes are in the request', { filteringAttributes: ['name', 'fax'] }, {}, 1],
    ['a step whose filtering attributes are not in the request', { filteringAttributes: ['fax'] }, {}, 0],
    [
      'a step whose filtering attribute only followed',
      { filteringAttributes: ['fullname'] },
      { derived: { fullname: 'x' } },
      0,
    ],
    [
      'a step of Create with filtering attributes',
      { message: 'Create', filteringAttributes: ['fax'] },
      { message: 'Create' },
      1,
    ],
  ])('%s', async (_, step, event, jobs) => {
    const queue = queueWith(async () => ({ status: 200 }));
    expect(queue.enqueue({ ...EVENT, ...event }, [{ ...STEP, ...step }])).toHaveLength(jobs);
    await queue.idle();
  });
});

test('a step without a table is told of every table', async () => {
  const { table: _, ...step } = STEP;
  const queue = queueWith(async () => ({ status: 200 }));
  expect(queue.enqueue(EVENT, [step])).toHaveLength(1);
  await queue.idle();
});

describe('jobs', () => {
  test('each step gets its own payload, whose OperationId is the job', async () => {
    const bodies: Record<string, unknown>[] = [];
    const queue = queueWith(async ({ body }) => {
      bodies.push(JSON.parse(body));
      return { status: 200 };
    });
    queue.enqueue(EVENT, [STEP, { ...STEP, id: 'step-2' }]);
    await queue.idle();
    expect(bodies.map((body) => [body['OperationId'], body['OwningExtension']])).toMatchObject([
      ['job-1', { Id: 'step-1' }],
      ['job-2', { Id: 'step-2' }],
    ]);
  });

  test('what became of a delivery is kept', async () => {
    const answers = [200, 503, 503, 410];
    const queue = queueWith(async () => ({ status: answers.shift() ?? 0 }), { concurrency: 1 });
    queue.enqueue(EVENT, [STEP, { ...STEP, id: 'step-2' }, { ...STEP, id: 'step-3' }]);
    expect(queue.jobs().map(({ status }) => status)).toEqual(['waiting', 'waiting', 'waiting']);
    await queue.idle();
    expect(queue.jobs()).toMatchObject([
      { id: 'job-1', status: 'succeeded', attempts: 1, httpStatus: 200, row: 'row-1', completedOn: 42 },
      { id: 'job-2', status: 'failed', attempts: 2, httpStatus: 503, error: 'The endpoint answered 503' },
      { id: 'job-3', status: 'failed', attempts: 1, httpStatus: 410 },
    ]);
  });

  test('no more deliveries run at a time than allowed', async () => {
    const { held, transport, arrived } = heldTransport();
    const queue = queueWith(transport, { concurrency: 2 });
    queue.enqueue(EVENT, [STEP, STEP, STEP]);
    await arrived(2);
    expect(queue.jobs().map(({ status }) => status)).toEqual(['inProgress', 'inProgress', 'waiting']);
    held[1]?.answer(200);
    await arrived(3);
    expect(queue.jobs().map(({ status }) => status)).toEqual(['inProgress', 'succeeded', 'inProgress']);
    held[0]?.answer(200);
    held[2]?.answer(200);
    await queue.idle();
  });

  test('idle waits for what was enqueued before and meanwhile', async () => {
    const { held, transport, arrived } = heldTransport();
    const queue = queueWith(transport);
    await queue.idle();
    queue.enqueue(EVENT, [STEP]);
    const order: string[] = [];
    const idle = queue.idle().then(() => order.push('idle'));
    await arrived(1);
    queue.enqueue(EVENT, [STEP]);
    held[0]?.answer(200);
    await arrived(2);
    order.push('second');
    held[1]?.answer(200);
    await idle;
    expect(order).toEqual(['second', 'idle']);
  });

  test('only so many finished jobs are remembered, and all can be forgotten', async () => {
    const queue = queueWith(async () => ({ status: 200 }), { keep: 2, concurrency: 1 });
    queue.enqueue(EVENT, [STEP, STEP, STEP]);
    await queue.idle();
    expect(queue.jobs().map(({ id }) => id)).toEqual(['job-2', 'job-3']);
    queue.clear();
    expect(queue.jobs()).toEqual([]);
  });

  test('a stop aborts what runs, cancels what waits and takes nothing more', async () => {
    const { transport, arrived } = heldTransport();
    const queue = queueWith(transport, { concurrency: 1 });
    queue.enqueue(EVENT, [STEP, STEP]);
    await arrived(1);
    await queue.stop();
    expect(queue.jobs().map(({ status }) => status)).toEqual(['cancelled', 'cancelled']);
    expect(queue.enqueue(EVENT, [STEP])).toEqual([]);
  });
});
