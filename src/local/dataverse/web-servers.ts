import { type Clock, systemClock } from '../../shared/clock.ts';
import type { Effort } from './effort.ts';
import { type Admission, createLimits, type Remaining } from './limits.ts';
import { executionMs, modelledMs, type ServiceModel } from './service-model.ts';

/** One request on the web server that took it. */
export interface Visit {
  /** Lets the user's request in; throws WireError 429 when that user has exceeded a limit there. */
  enter(userId: string): void;
  /** Does not count towards the request's modelled time, such as a delay that a rule wants. */
  exclude(ms: number): void;
  /** Resolves when the modelled service would answer, and counts the request's execution time. */
  finish(effort: Effort, signal: AbortSignal): Promise<void>;
  /** Of every answer: which server it comes from and what it still allows. */
  headers(): Record<string, string>;
}

const LATENESS_MAX_MS = 5;
const LATENESS_LEARNING_RATE = 0.1;

/**
 * The system's clock in fractions of milliseconds. Timers go off late, by a millisecond or so; how late they lately were is
 * taken off the next wait, so that answers that take a few milliseconds come in time on the average.
 */
export function createPreciseClock(): Clock {
  const now = (): number => performance.timeOrigin + performance.now();
  let lateness = 0;
  return {
    now,
    async sleep(ms, signal) {
      const until = now() + ms;
      await systemClock.sleep(Math.max(0, ms - lateness), signal);
      const learned = lateness + (now() - until) * LATENESS_LEARNING_RATE;
      lateness = Math.min(LATENESS_MAX_MS, Math.max(0, learned));
    },
  };
}

/** The web servers of the environment. */
export interface WebServers {
  /** A request arrives. `cookie` is its header `Cookie`, in which a client may keep the server's name. */
  visit(cookie: string | undefined): Visit;
}

const UNLIMITED: Admission = { leave() {} };

const AFFINITY = /(?:^|;\s*)ARRAffinity=([0-9a-f]{64})(?:;|$)/;

/** Servers that are as fast as the model says. They take turns, save for clients that keep their cookie. */
export function createWebServers(model: ServiceModel, clock: Clock): WebServers {
  const limits = model.limits && createLimits(model.limits, clock);
  let next = 0;

  const serverFor = (cookie: string | undefined): number => {
    const named = AFFINITY.exec(cookie ?? '')?.[1];
    const kept = named === undefined ? -1 : servers.indexOf(named);
    if (kept >= 0) return kept;
    next = (next + 1) % servers.length;
    return next;
  };
  const servers = Array.from({ length: model.webServers }, (_, index) => index.toString(16).padStart(64, '0'));

  return {
    visit(cookie) {
      const server = serverFor(cookie);
      let arrived = clock.now();
      let user: string | undefined;
      let admission: Admission | undefined;
      return {
        enter(userId) {
          user = userId;
          admission = limits ? limits.admit(userId, server) : UNLIMITED;
        },
        exclude(ms) {
          arrived += ms;
        },
        async finish(effort, signal) {
          // Who was not let in costs nothing.
          if (!admission) return;
          try {
            const ms = arrived + modelledMs(model, effort) - clock.now();
            if (ms > 0) await clock.sleep(ms, signal);
          } finally {
            admission.leave(executionMs(model, effort));
          }
        },
        headers() {
          const remaining = user === undefined ? undefined : limits?.remaining(user, server);
          return {
            'x-ms-dop-hint': String(model.dopHint),
            ...limitHeaders(remaining),
            'Set-Cookie': `ARRAffinity=${servers[server]}; Path=/; HttpOnly`,
          };
        },
      };
    },
  };
}

const seconds = new Intl.NumberFormat('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 });

/** What the service tells who has hardly begun; told where nothing is limited. */
const UNUSED = { requests: 5999, executionMs: 1_199_990 };

/** The form of the remaining time is UNCONFIRMED: seconds with thousands separators. */
function limitHeaders(remaining: Remaining | undefined): Record<string, string> {
  const requests = remaining?.requests ?? UNUSED.requests;
  const executionMs = remaining?.executionMs ?? UNUSED.executionMs;
  return {
    'x-ms-ratelimit-burst-remaining-xrm-requests': String(requests),
    'x-ms-ratelimit-time-remaining-xrm-requests': seconds.format(executionMs / 1000),
    ...(remaining && { 'x-ms-utilization-percent': String(remaining.utilizationPercent) }),
  };
}
