import type { Chance } from './random.ts';

/** A rule of the emulator. */
export type Rule = Readonly<Record<string, unknown>>;

/** What is to go wrong. */
export interface Faults {
  readonly rules: readonly Rule[];
  /** Whether no writer can be expected to bring all rows to an end: something fails for longer than it may try. */
  readonly outage: boolean;
}

/** Texts that make the service refuse a row for good. */
export const REFUSED = 'refuse-me';

/** The writer's requests, as opposed to those of the second writer and of the check, which use another version. */
const OURS = '/v9\\.2\\/(?:accounts|teams|contoso_sensordatas|\\$batch)/';

const BULK = ['CreateMultiple', 'UpdateMultiple', 'UpsertMultiple', 'DeleteMultiple'] as const;
const MESSAGES = [undefined, ...BULK, 'Batch', 'RetrieveMultiple', 'Create', 'Update', 'Upsert', 'Delete'] as const;

/** Tries that a writer has for each class of failure; together no more may be spoilt, or a request may run out of them. */
const SPOILT_AT_MOST = { unknown: 5, transient: 3, deadlock: 8, timeout: 4 } as const;
type Class = keyof typeof SPOILT_AT_MOST;

const gateway = (chance: Chance) => ({ html: chance.one([502, 503, 504]) });
const lost = (chance: Chance) => ({ reset: chance.one(['before', 'after', 'body']) });
const cut = (chance: Chance) => ({
  truncate: chance.is(0.7) ? { parts: chance.whole(0, 12) } : { bytes: chance.whole(0, 2000) },
  // A body that ends too early looks like another one unless the connection says so, or it is multipart.
  end: 'reset',
});
const LIMITS = ['requests', 'executionTime', 'concurrency'] as const;

/** Faults for one trial; some have more of them than anybody can sit out. */
export function drawFaults(chance: Chance): Faults {
  const left: Record<Class, number> = { ...SPOILT_AT_MOST };
  const rules: Rule[] = [
    { action: { rowFault: { table: 'account', column: 'description', contains: REFUSED } } },
    { action: { rowFault: { table: 'team', column: 'description', contains: REFUSED } } },
    { action: { rowFault: { table: 'contoso_sensordata', column: 'contoso_deviceid', contains: REFUSED } } },
  ];
  const outage = chance.is(0.15);
  const add = (action: Rule, times: number, of?: readonly string[]): void => {
    const message = of ? chance.one(of as [string, ...string[]]) : chance.one(MESSAGES);
    rules.push({ match: { path: OURS, ...(message && { message }) }, after: chance.whole(0, 5), times, action });
  };
  const spoil = (kind: Class, action: Rule, of?: readonly string[]): void => {
    const times = Math.min(left[kind], chance.whole(1, 3));
    left[kind] -= times;
    if (times > 0) add(action, times, of);
  };
  for (let count = chance.whole(2, 9); count > 0; count -= 1) {
    switch (chance.whole(0, 10)) {
      case 0:
        add({ fault: chance.one(LIMITS), retryAfterSeconds: chance.whole(1, 20) }, chance.whole(1, 12));
        break;
      case 1:
        // A storm without Retry-After, whose code is that of elastic tables.
        add({ status: 429, body: { error: { code: '429', message: 'Too many requests.' } } }, chance.whole(1, 3));
        break;
      case 2:
        spoil('unknown', gateway(chance));
        break;
      case 3:
      case 4:
        spoil('unknown', lost(chance));
        break;
      case 5:
        spoil('unknown', cut(chance), ['Batch', 'Batch', 'RetrieveMultiple', 'CreateMultiple']);
        break;
      case 6:
        spoil('deadlock', { fault: chance.one(['deadlock', 'lockTimeout', 'rolledBack']) });
        break;
      case 7:
        spoil('timeout', { fault: 'sqlTimeout' });
        break;
      case 8:
        spoil('transient', { fault: 'customizationRunning' });
        break;
      case 9:
        add({ delayMs: chance.whole(10, 4000), when: chance.one(['before', 'after']) }, chance.whole(1, 5));
        break;
      default:
        add({ trickle: { pieces: chance.whole(2, 6), pauseMs: chance.whole(1, 300) } }, chance.whole(1, 3));
    }
  }
  if (outage) {
    const action = chance.one<Rule>([gateway(chance), lost(chance), { status: 401 }, { status: 403 }]);
    rules.push({ match: { path: OURS }, after: chance.whole(0, 12), action });
  }
  return { rules, outage };
}
