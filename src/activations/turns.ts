import { messageOf } from '../shared/errors.ts';
import type { BlobStore } from '../storage/blobs.ts';
import type { QueueSender } from '../storage/queues.ts';
import type { Log } from '../telemetry/log.ts';
import { isEnded, type RunRecord, type RunStore } from './runs.ts';
import type { StateStore } from './states.ts';

/** Whose turn it is: of an activation's runs one at a time plans and writes, the others wait in the order they came. */
export interface Turns {
  /** True where the run has the turn, now or already. If not, whoever has it wakes the next when it ends. */
  take(record: RunRecord, signal?: AbortSignal): Promise<boolean>;
  /** Gives back the turn of a run that has ended, makes its snapshot the activation's, and wakes the next. Repeatable. */
  giveBack(record: RunRecord, signal?: AbortSignal): Promise<void>;
  /** Sends the message that advances a run. A failure is only logged: the scheduler looks for runs that nobody works on. */
  wake(activation: string, run: string, signal?: AbortSignal): Promise<void>;
}

export function createTurns(tools: {
  readonly runs: RunStore;
  readonly states: StateStore;
  readonly blobs: BlobStore;
  readonly queue: QueueSender;
  readonly log: Log;
}): Turns {
  const { runs, states, blobs, queue, log } = tools;

  const wake = async (activation: string, run: string, signal?: AbortSignal): Promise<void> => {
    try {
      await queue.send({ activation, run }, {}, signal);
    } catch (error) {
      signal?.throwIfAborted();
      log('A run could not be queued now; the scheduler queues it later.', {
        activation,
        run,
        reason: messageOf(error),
      });
    }
  };

  const giveBack = async ({ run, plan, snapshot }: RunRecord, signal?: AbortSignal): Promise<void> => {
    const { activation, id } = run;
    let replaced: string | undefined;
    await states.change(
      activation,
      (state) => {
        replaced = undefined;
        if (state.activeRun !== id) return undefined;
        const { activeRun: _, ...rest } = state;
        if (snapshot === undefined || !plan) return rest;
        replaced = state.snapshot?.path;
        return { ...rest, snapshot: { path: snapshot, scope: plan.scope } };
      },
      signal,
    );
    // Nothing refers to it any more. Left behind by a crash here it costs its space only.
    if (replaced !== undefined && replaced !== snapshot) await blobs.remove(replaced, {}, signal);
    const [next] = await runs.queued(activation, signal);
    if (next) await wake(activation, next.run.id, signal);
  };

  const take = async (record: RunRecord, signal?: AbortSignal): Promise<boolean> => {
    const { activation, id } = record.run;
    const { activeRun } = await states.get(activation, signal);
    if (activeRun !== undefined && activeRun !== id) {
      const active = await runs.get(activation, activeRun, signal);
      // Whoever ended it died before the turn was given back.
      if (active && isEnded(active.run.state)) await giveBack(active, signal);
      return false;
    }
    const [oldest] = await runs.queued(activation, signal);
    if (activeRun === undefined && oldest?.run.id !== id) {
      if (oldest) await wake(activation, oldest.run.id, signal);
      return false;
    }
    const state = await states.change(
      activation,
      (before) => (before.activeRun === undefined ? { ...before, activeRun: id } : undefined),
      signal,
    );
    return state.activeRun === id;
  };

  return { take, giveBack, wake };
}
