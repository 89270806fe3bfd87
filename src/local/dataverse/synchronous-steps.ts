import type { Clock } from '../../shared/clock.ts';
import type { NewId } from '../../shared/ids.ts';
import { stepAborted } from './errors.ts';
import { deliverEvent, type WebhookTransport } from './events/deliver.ts';
import { concerns } from './events/queue.ts';
import type { OrganizationFacts, RowEvent } from './events/row-event.ts';
import type { Steps } from './steps.ts';

/**
 * Posts the events of a transaction that is not committed yet to the synchronous steps that listen to them, one after
 * another. Answers undefined when there are none; rejects with WireError 400 when a step fails, which undoes everything.
 */
export type RunSynchronousSteps = (events: readonly RowEvent[]) => Promise<void> | undefined;

export function createSynchronousSteps(options: {
  steps: Steps;
  organization: OrganizationFacts;
  transport: WebhookTransport;
  clock: Clock;
  newId: NewId;
  signal: AbortSignal;
}): RunSynchronousSteps {
  const { steps, organization, transport, clock, newId, signal } = options;
  return (events) => {
    const calls = events.flatMap((event) =>
      steps
        .listening(event.message, event.table)
        .filter((step) => step.mode === 'synchronous' && concerns(step, event))
        .map((step) => ({ event, step })),
    );
    if (calls.length === 0) return undefined;
    const run = async (): Promise<void> => {
      for (const { event, step } of calls) {
        const told = deliverEvent({ event, step, operationId: newId() }, { organization, transport, clock, signal });
        const { delivered, error } = await told.catch(() => {
          throw stepAborted(step.name, 'the emulator stopped');
        });
        if (!delivered) throw stepAborted(step.name, error ?? 'no answer');
      }
    };
    return run();
  };
}
