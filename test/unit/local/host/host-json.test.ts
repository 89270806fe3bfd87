import { expect, test } from 'vitest';
import { parseHostJson } from '../../../../src/local/host/host-json.ts';

test('a host.json without settings gives the defaults of Flex Consumption, but polls queues each second', () => {
  expect(parseHostJson({ version: '2.0' })).toEqual({
    routePrefix: 'api',
    functionTimeoutMs: 30 * 60_000,
    logLevel: 'information',
    queues: {
      batchSize: 16,
      newBatchThreshold: 8,
      maxDequeueCount: 5,
      visibilityTimeoutMs: 0,
      maxPollingIntervalMs: 1_000,
      messageEncoding: 'base64',
    },
  });
});

test('every setting that is honoured is read', () => {
  const hostJson = {
    version: '2.0',
    functionTimeout: '1.02:00:00',
    logging: { logLevel: { default: 'Warning' }, applicationInsights: {} },
    extensions: {
      http: { routePrefix: '' },
      queues: {
        batchSize: 4,
        newBatchThreshold: 1,
        maxDequeueCount: 2,
        visibilityTimeout: '00:00:30',
        maxPollingInterval: '00:00:00.500',
        messageEncoding: 'None',
      },
    },
  };
  expect(parseHostJson(hostJson)).toEqual({
    routePrefix: '',
    functionTimeoutMs: 26 * 3_600_000,
    logLevel: 'warning',
    queues: {
      batchSize: 4,
      newBatchThreshold: 1,
      maxDequeueCount: 2,
      visibilityTimeoutMs: 30_000,
      maxPollingIntervalMs: 500,
      messageEncoding: 'none',
    },
  });
});

test('a function timeout of -1 is no limit', () => {
  expect(parseHostJson({ version: '2.0', functionTimeout: '-1' }).functionTimeoutMs).toBeUndefined();
});

test('all faults are told together', () => {
  const hostJson = {
    version: '1.0',
    functionTimeout: 'ten minutes',
    extensions: { queues: { batchSize: 64, visibilityTimeout: '00:99:00' } },
  };
  expect(() => parseHostJson(hostJson)).toThrow(
    expect.objectContaining({
      code: 'invalidHostJson',
      message: expect.stringMatching(
        /version: .*functionTimeout: .*batchSize: .*visibilityTimeout: '00:99:00' is not/s,
      ),
    }),
  );
});
