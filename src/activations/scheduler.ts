import type { Clock } from '../shared/clock.ts';
import { messageOf } from '../shared/errors.ts';
import type { Log } from '../telemetry/log.ts';
import type { Definitions, StoredDefinition } from './definitions.ts';
import { isEnded, type RunStore } from './runs.ts';
import { latestSlot } from './schedule.ts';
import type { StateStore } from './states.ts';
import type { Turns } from './turns.ts';

export const STARTED_BY_SCHEDULE = 'schedule';

/** What a tick did, by activation. */
export interface Tick {
  readonly started: readonly { readonly activation: string; readonly run: string }[];
  /** Runs that nobody seemed to work on and that were queued again. */
  readonly woken: readonly { readonly activation: string; readonly run: string }[];
}

/** A run whose record did not change for so long is taken on again; doing so too early costs work and harms nothing. */
const STALE_MS = 30 * 60_000;
/** A run that waits though nothing stands in its way; its message may just be on its way. */
const UNNOTICED_MS = 60_000;

/**
 * Starts what is due and takes on again what was left lying, for every activation on its own: the failure of one is
 * logged and the others go on. Safe on several instances at once, since a slot's run has one id.
 */
export async function runTick(
  tools: {
    readonly definitions: Definitions;
    readonly runs: RunStore;
    readonly states: StateStore;
    readonly turns: Turns;
    readonly clock: Clock;
    readonly log: Log;
    /** Starts the run of a slot. */
    startSlot(stored: StoredDefinition, slot: number, signal?: AbortSignal): Promise<string | undefined>;
  },
  signal?: AbortSignal,
): Promise<Tick> {
  const { definitions, runs, states, turns, clock, log } = tools;
  const started: { activation: string; run: string }[] = [];
  const woken: { activation: string; run: string }[] = [];

  const startDue = async (stored: StoredDefinition): Promise<void> => {
    const { name, schedule } = stored.definition;
    if (!schedule) return;
    const now = clock.now();
    const { paused, lastSlot } = await states.get(name, signal);
    if (paused) return;
    const slot = lastSlot === undefined ? undefined : latestSlot(schedule, lastSlot, now);
    if (lastSlot !== undefined && slot === undefined) return;
    if (slot !== undefined) {
      // Slots that were missed are one run, and so are slots that pass while a run waits for its turn.
      const waiting = await runs.queued(name, signal);
      const isWaiting = waiting.some(({ run }) => run.startedBy === STARTED_BY_SCHEDULE);
      const run = isWaiting ? undefined : await tools.startSlot(stored, slot, signal);
      if (run !== undefined) started.push({ activation: name, run });
    }
    // After the start, which cannot happen twice: a crash in between starts nothing again and loses nothing.
    const dealtWith = slot ?? now;
    await states.change(
      name,
      (state) => ((state.lastSlot ?? 0) < dealtWith ? { ...state, lastSlot: dealtWith } : undefined),
      signal,
    );
  };

  const wakeForgotten = async (activation: string): Promise<void> => {
    const { activeRun } = await states.get(activation, signal);
    const active = activeRun === undefined ? undefined : await runs.get(activation, activeRun, signal);
    const isHeld = active !== undefined && !isEnded(active.run.state);
    if (isHeld && clock.now() - active.changedAt < STALE_MS) return;
    const candidate = active ?? (await runs.queued(activation, signal))[0];
    if (!candidate || (!isHeld && clock.now() - candidate.changedAt < UNNOTICED_MS)) return;
    await turns.wake(activation, candidate.run.id, signal);
    woken.push({ activation, run: candidate.run.id });
  };

  const guarded = async (activation: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      signal?.throwIfAborted();
      log('The scheduler could not deal with an activation.', { activation, reason: messageOf(error) });
    }
  };

  for (const stored of await definitions.list(signal)) {
    await guarded(stored.definition.name, () => startDue(stored));
  }
  for (const activation of await states.names(signal)) await guarded(activation, () => wakeForgotten(activation));
  return { started, woken };
}
