import { describe, expect, test } from 'vitest';
import { defineFunctions } from '../../../../src/local/host/function-definitions.ts';
import type { BindingInfo, RegisteredFunction, RetryOptions } from '../../../../src/local/host/functions-core.ts';

const httpOut: BindingInfo = { type: 'http', direction: 'out' };

function http(name: string, options: object = {}, more: Record<string, BindingInfo> = {}): RegisteredFunction {
  const trigger: BindingInfo = {
    type: 'httpTrigger',
    direction: 'in',
    authLevel: 'anonymous',
    methods: ['GET'],
    ...options,
  };
  return { metadata: { name, bindings: { request: trigger, $return: httpOut, ...more } }, callback: () => {} };
}

function bound(name: string, bindings: Record<string, BindingInfo>, retryOptions?: RetryOptions): RegisteredFunction {
  return { metadata: { name, bindings, retryOptions }, callback: () => {} };
}

const timer = (name: string, options: object, retryOptions?: RetryOptions): RegisteredFunction =>
  bound(name, { timer: { type: 'timerTrigger', direction: 'in', ...options } }, retryOptions);
const queue = (name: string, options: object, retryOptions?: RetryOptions): RegisteredFunction =>
  bound(name, { message: { type: 'queueTrigger', direction: 'in', ...options } }, retryOptions);

function define(registered: RegisteredFunction[], settings: Record<string, string> = {}) {
  const warnings: string[] = [];
  const definitions = defineFunctions(registered, {
    routePrefix: 'api',
    settings,
    warn: (text) => warnings.push(text),
  });
  return { definitions, warnings };
}

test('an HTTP function is reached at its route below the prefix, or at its name', () => {
  const { definitions } = define([http('one', { route: 'tables/{table}', methods: ['get', 'post'] }), http('two')]);
  expect(definitions.map(({ trigger }) => trigger)).toMatchObject([
    { type: 'http', authLevel: 'anonymous', methods: ['GET', 'POST'], route: { text: 'api/tables/{table}' } },
    { type: 'http', route: { text: 'api/two' } },
  ]);
});

test('%NAME% in schedules, queue names and blob paths stands for a setting', () => {
  const output: BindingInfo = {
    type: 'blob',
    direction: 'out',
    path: '%Box%/{rand-guid}.json',
    connection: 'AzureWebJobsStorage',
  };
  const registered = [
    timer('tick', { schedule: '%Every%' }),
    bound('work', { message: { type: 'queueTrigger', direction: 'in', queueName: '%Queue%' }, blob: output }),
  ];
  const { definitions } = define(registered, { Every: '0 0 * * * *', Queue: 'jobs', Box: 'inbox' });
  expect(definitions[0]?.trigger).toMatchObject({ schedule: { text: '0 0 * * * *' } });
  expect(definitions[1]).toMatchObject({
    trigger: { queueName: 'jobs' },
    outputs: [{ binding: 'blob', kind: 'blob', target: 'inbox/{rand-guid}.json' }],
  });
});

describe('what the real host would drop or this one does not run is refused at start:', () => {
  const queueOut: BindingInfo = { type: 'queue', direction: 'out', queueName: 'jobs' };
  const cases: [string, RegisteredFunction[], string][] = [
    ['a function name with a space', [http('a b')], 'not a valid function name'],
    ['a function name that starts with a digit', [http('1st')], 'not a valid function name'],
    ['the function name host', [http('Host')], 'not a valid function name'],
    ['a binding name with a dash', [http('a', {}, { 'my-queue': queueOut })], "binding name 'my-queue' is invalid"],
    ['a route under admin/', [http('a', { route: 'admin/x' })], 'reserved'],
    ['a route that starts with a slash', [http('a', { route: '/x' })], "must not start with '/'"],
    ['an unknown route constraint', [http('a', { route: '{x:range(1,2)}' })], "'range(1,2)' is not supported"],
    ['an unknown key level', [http('a', { authLevel: 'system' })], 'authLevel'],
    ['an answer that is no HTTP output', [http('a', {}, { $return: queueOut })], 'answers with what it returns'],
    ['two functions of one name', [http('a'), http('A', { route: 'b' })], 'the name is taken'],
    [
      'two functions of one method and route',
      [http('a', { route: 'x/{id}' }), http('b', { route: 'X/{key}', methods: ['PUT', 'GET'] })],
      'GET api/X/{key} is already the route of a',
    ],
    ['a schedule that is no NCRONTAB', [timer('a', { schedule: '0 0 0 * * 7' })], 'not an NCRONTAB expression'],
    ['a queue name in capitals', [queue('a', { queueName: 'Jobs' })], 'not a valid queue name'],
    ['a setting that is missing', [queue('a', { queueName: '%Jobs%' })], "'%Jobs%' does not resolve"],
    [
      'another storage account',
      [queue('a', { queueName: 'jobs', connection: 'Other' })],
      "'Other' is not AzureWebJobsStorage",
    ],
    [
      'another trigger',
      [bound('a', { event: { type: 'eventGridTrigger', direction: 'in' } })],
      'triggers of type eventGridTrigger',
    ],
    [
      'another output',
      [http('a', {}, { table: { type: 'table', direction: 'out' } })],
      'output bindings of type table',
    ],
    ['a second HTTP answer', [http('a', {}, { more: httpOut })], 'output bindings of type http'],
    [
      'an input binding',
      [http('a', {}, { blob: { type: 'blob', direction: 'in', path: 'a/b' } })],
      'input bindings (blob)',
    ],
    [
      'a blob path without a container',
      [http('a', {}, { blob: { type: 'blob', direction: 'out', path: 'b' } })],
      'not a blob path',
    ],
    [
      'a fixed delay without its interval',
      [timer('a', { schedule: '0 0 * * * *' }, { retryStrategy: 'fixedDelay', maxRetryCount: 1 })],
      'fixedDelay retry needs delayInterval',
    ],
    [
      'an exponential backoff without an end',
      [
        timer(
          'a',
          { schedule: '0 0 * * * *' },
          { retryStrategy: 'exponentialBackoff', maxRetryCount: 1, minimumInterval: { seconds: 1 } },
        ),
      ],
      'exponentialBackoff retry minimumInterval and maximumInterval',
    ],
  ];
  test.each(cases)('%s', (_, registered, message) => {
    expect(() => define(registered)).toThrow(
      expect.objectContaining({ code: 'invalidFunctions', message: expect.stringContaining(message) }),
    );
  });

  test('all faults of all functions together', () => {
    expect(() => define([http('a b', { route: '/x' }), queue('work', { queueName: 'J' })])).toThrow(
      /a b: this is not.*a b: the route.*work: 'J'/s,
    );
  });
});

test('one route may be shared by functions of different methods', () => {
  expect(define([http('a', { route: 'x' }), http('b', { route: 'x', methods: ['POST'] })]).definitions).toHaveLength(2);
});

test('a retry policy counts for timers; on HTTP and queue triggers it does nothing, and a warning says so', () => {
  const retry: RetryOptions = { retryStrategy: 'fixedDelay', maxRetryCount: 2, delayInterval: { seconds: 5 } };
  const onHttp = http('web');
  onHttp.metadata.retryOptions = retry;
  const { definitions, warnings } = define([
    timer('tick', { schedule: '0 0 * * * *' }, retry),
    queue('work', { queueName: 'jobs' }, retry),
    onHttp,
  ]);
  expect(definitions.map((definition) => definition.retry)).toEqual([
    { kind: 'fixedDelay', maxRetryCount: 2, delayMs: 5_000 },
    undefined,
    undefined,
  ]);
  expect(warnings).toEqual([
    "Function 'work': a retry policy does nothing on queue triggers; host.json says how often a message is tried.",
    "Function 'web': a retry policy does nothing on http triggers.",
  ]);
});
