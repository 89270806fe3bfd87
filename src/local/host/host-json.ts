import * as z from 'zod';
import type { LogLevel } from './functions-core.ts';
import { HostError } from './host-error.ts';

/** The settings of host.json that the local host honours, with defaults filled in. Times are milliseconds. */
export interface HostSettings {
  /** Route segments before every function's own. */
  readonly routePrefix: string;
  /** undefined = no limit. */
  readonly functionTimeoutMs: number | undefined;
  readonly logLevel: LogLevel;
  readonly queues: QueueSettings;
}

export interface QueueSettings {
  readonly batchSize: number;
  readonly newBatchThreshold: number;
  readonly maxDequeueCount: number;
  readonly visibilityTimeoutMs: number;
  readonly maxPollingIntervalMs: number;
  readonly messageEncoding: 'base64' | 'none';
}

const LOG_LEVELS = ['trace', 'debug', 'information', 'warning', 'error', 'critical', 'none'] as const;
const FLEX_DEFAULT_TIMEOUT = '00:30:00';
// In Azure a minute: there every poll of an idle queue costs money. Here only this process polls.
const LOCAL_MAX_POLLING_INTERVAL = '00:00:01';

const timeSpan = z.string().transform((text, context) => {
  const ms = parseTimeSpan(text);
  if (ms !== undefined) return ms;
  context.addIssue({ code: 'custom', message: `'${text}' is not a time span such as 00:00:30` });
  return z.NEVER;
});

const queuesSchema = z.object({
  batchSize: z.int().min(1).max(32).default(16),
  newBatchThreshold: z.int().min(0).optional(),
  maxDequeueCount: z.int().min(1).default(5),
  visibilityTimeout: timeSpan.prefault('00:00:00'),
  maxPollingInterval: timeSpan.prefault(LOCAL_MAX_POLLING_INTERVAL),
  messageEncoding: z
    .string()
    .toLowerCase()
    .pipe(z.enum(['base64', 'none']))
    .default('base64'),
});

const schema = z.object({
  version: z.literal('2.0'),
  functionTimeout: z.union([z.literal('-1').transform(() => undefined), timeSpan]).prefault(FLEX_DEFAULT_TIMEOUT),
  logging: z
    .object({
      logLevel: z
        .object({
          default: z.string().toLowerCase().pipe(z.enum(LOG_LEVELS)).default('information'),
        })
        .prefault({}),
    })
    .prefault({}),
  extensions: z
    .object({
      http: z.object({ routePrefix: z.string().default('api') }).prefault({}),
      queues: queuesSchema.prefault({}),
    })
    .prefault({}),
});

/**
 * Reads a parsed host.json. What it does not know is left to Azure.
 * Throws {@link HostError} `invalidHostJson` with every fault.
 */
export function parseHostJson(hostJson: unknown): HostSettings {
  const parsed = schema.safeParse(hostJson);
  if (!parsed.success) {
    const faults = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'host.json'}: ${issue.message}`);
    throw new HostError('invalidHostJson', `host.json cannot be used: ${faults.join('; ')}`);
  }
  const { extensions, functionTimeout, logging } = parsed.data;
  const { visibilityTimeout, maxPollingInterval, newBatchThreshold, ...queues } = extensions.queues;
  return {
    routePrefix: extensions.http.routePrefix,
    functionTimeoutMs: functionTimeout,
    logLevel: logging.logLevel.default,
    queues: {
      ...queues,
      newBatchThreshold: newBatchThreshold ?? Math.floor(queues.batchSize / 2),
      visibilityTimeoutMs: visibilityTimeout,
      maxPollingIntervalMs: maxPollingInterval,
    },
  };
}

/** Milliseconds of a .NET time span, `[d.]hh:mm:ss[.fffffff]`; undefined if the text is none. */
function parseTimeSpan(text: string): number | undefined {
  const match = /^(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})(\.\d{1,7})?$/.exec(text);
  if (!match) return undefined;
  const [days, hours, minutes, seconds, fraction] = match.slice(1).map((part) => Number(part ?? 0));
  if (hours === undefined || minutes === undefined || seconds === undefined) return undefined;
  if (hours > 23 || minutes > 59 || seconds > 59) return undefined;
  return ((((days ?? 0) * 24 + hours) * 60 + minutes) * 60 + seconds + (fraction ?? 0)) * 1000;
}
