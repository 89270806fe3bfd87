import { setImmediate } from 'node:timers/promises';
import type { Steps } from './bulk.ts';
import type { Effort } from './effort.ts';
import { wireErrorReply } from './error-reply.ts';
import { unexpected, WireError } from './errors.ts';
import type { RowEvent } from './events/row-event.ts';
import { actingUser } from './impersonation.ts';
import { parseQuery } from './odata/query.ts';
import type { Reply } from './reply.ts';
import type { ApiRequest, OperationFacts } from './request.ts';
import { executeInSteps } from './route.ts';
import type { Intervention } from './rules.ts';
import type { Caller } from './security.ts';
import type { RunSynchronousSteps } from './synchronous-steps.ts';
import type { Environment, RowReference, Work } from './work.ts';

/** What all operations of one HTTP request share. */
export interface Session {
  readonly env: Environment;
  /** Who signed in. */
  readonly caller: Caller;
  /** `https://host/api/data/v9.2/` */
  readonly root: string;
  readonly correlationId: string;
  readonly requestId: string;
  /** Grows with every operation. */
  readonly effort: Effort;
  /** What the rules do to an operation inside a `$batch`; delays are waited for before the whole is answered. */
  intervene(request: ApiRequest, facts: OperationFacts): Intervention;
  /** Told of every operation inside a `$batch`; status 0 when the connection is reset instead. */
  noteOperation(request: ApiRequest, facts: OperationFacts, status: number): void;
  /** Tells synchronous steps of what is about to be committed; undefined when none listens. */
  readonly runSynchronousSteps: RunSynchronousSteps;
  /** Takes the events of what was committed. */
  publish(events: readonly RowEvent[]): void;
  /** Told of errors that are the emulator's own fault. */
  noteFault(error: unknown): void;
}

/** Carries out one request other than `$batch` in a transaction of its own, and answers whatever happens. */
export async function runAlone(session: Session, request: ApiRequest, facts: OperationFacts): Promise<Reply> {
  try {
    const work = newWork(session, request);
    const reply = await session.env.store.confirmedTransaction(
      () => withPauses(executeInSteps(work, request, facts)),
      () => session.runSynchronousSteps(work.events),
    );
    session.publish(work.events);
    return reply;
  } catch (error) {
    forgetRolledBack(session.env);
    return errorReply(session, request, error);
  }
}

/** Lets the sockets be served between the steps. */
async function withPauses<Result>(steps: Steps<Result>): Promise<Result> {
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done) return step.value;
    await setImmediate();
  }
}

/** Throws WireError when the request is for another user whom the caller may not act for. */
export function newWork(session: Session, request: ApiRequest, contentIds?: Map<string, RowReference>): Work {
  return {
    env: session.env,
    caller: actingUser(session.env, session.caller, request.headers),
    root: session.root,
    correlationId: session.correlationId,
    requestId: session.requestId,
    tag: tagOf(request),
    effort: session.effort,
    events: [],
    ...(contentIds ? { contentIds } : {}),
  };
}

function tagOf(request: ApiRequest): string | undefined {
  try {
    return parseQuery(request.rawQuery).tag;
  } catch {
    // The operation itself answers with what is wrong.
    return undefined;
  }
}

/** What was read inside a transaction that is undone may be wrong now. */
export function forgetRolledBack(env: Environment): void {
  env.catalog.changed();
  env.keys.changed();
  env.steps.changed();
}

/** An error as an answer: the service's own body, or none for a 401. */
export function errorReply(session: Pick<Session, 'noteFault'>, request: ApiRequest, thrown: unknown): Reply {
  const isOurs = thrown instanceof WireError;
  if (!isOurs) session.noteFault(thrown);
  return wireErrorReply(isOurs ? thrown : unexpected(), request.headers.get('prefer'));
}
