import type { Clock } from '../../../shared/clock.ts';
import { messageOf } from '../../../shared/errors.ts';
import type { NewId } from '../../../shared/ids.ts';
import { deliverEvent, type WebhookTransport } from './deliver.ts';
import type { EventMessage, OrganizationFacts, RowEvent, WebhookStep } from './row-event.ts';

/** One delivery of one event to one step, as the service's `asyncoperation` rows show it. */
export interface SystemJob {
  /** Also the payload's `OperationId`. */
  id: string;
  stepId: string;
  stepName: string;
  message: EventMessage;
  table: string;
  row: string;
  status: 'waiting' | 'inProgress' | 'succeeded' | 'failed' | 'cancelled';
  attempts: number;
  httpStatus?: number;
  error?: string;
  /** Milliseconds UTC. */
  createdOn: number;
  completedOn?: number;
}

export interface EventQueueOptions {
  organization: OrganizationFacts;
  transport: WebhookTransport;
  clock: Clock;
  newId: NewId;
  /** Deliveries at a time; their order is not promised. Default 8. */
  concurrency?: number;
  /** Finished jobs that are remembered. Default 10,000. */
  keep?: number;
}

export interface EventQueue {
  /** Makes a job for each asynchronous step that listens to the event; call it after the commit. Answers the new jobs. */
  enqueue(event: RowEvent, steps: readonly WebhookStep[]): readonly SystemJob[];
  /** Oldest first. */
  jobs(): readonly SystemJob[];
  /** Forgets the finished jobs. */
  clear(): void;
  /** Resolves when nothing is waiting or being delivered. */
  idle(): Promise<void>;
  /** Cancels what is waiting, aborts what is being delivered, and resolves when all of it has ended. */
  stop(): Promise<void>;
}

interface Task {
  job: SystemJob;
  event: RowEvent;
  step: WebhookStep;
}

/** Runs asynchronous steps beside the requests that raised their events, several at a time and in no promised order. */
export function createEventQueue(options: EventQueueOptions): EventQueue {
  const { clock, newId, concurrency = 8, keep = 10_000 } = options;
  const jobs = new Map<string, SystemJob>();
  const waiting: Task[] = [];
  const finished: string[] = [];
  const stopping = new AbortController();
  let idleWaiters: (() => void)[] = [];
  let running = 0;

  const finish = (job: SystemJob, changes: Pick<SystemJob, 'status'> & Partial<SystemJob>): void => {
    Object.assign(job, changes, { completedOn: clock.now() });
    finished.push(job.id);
    if (finished.length > keep) jobs.delete(finished.shift() ?? '');
  };

  const run = async ({ job, event, step }: Task): Promise<void> => {
    job.status = 'inProgress';
    try {
      finish(job, await deliver(job.id, event, step, options, stopping.signal));
    } catch (error) {
      finish(job, { status: stopping.signal.aborted ? 'cancelled' : 'failed', error: messageOf(error) });
    }
    running -= 1;
    pump();
  };

  const pump = (): void => {
    while (running < concurrency) {
      const task = waiting.shift();
      if (!task) break;
      running += 1;
      void run(task);
    }
    if (running > 0) return;
    const waiters = idleWaiters;
    idleWaiters = [];
    for (const resolve of waiters) resolve();
  };

  const idle = (): Promise<void> =>
    running === 0 && waiting.length === 0
      ? Promise.resolve()
      : new Promise((resolve) => {
          idleWaiters.push(resolve);
        });

  return {
    enqueue(event, steps) {
      if (stopping.signal.aborted) return [];
      const tasks = steps
        .filter((step) => step.mode === 'asynchronous' && concerns(step, event))
        .map((step) => ({ event, step, job: newJob(newId(), event, step, clock.now()) }));
      for (const task of tasks) jobs.set(task.job.id, task.job);
      waiting.push(...tasks);
      // Not at once, so that the caller's answer does not wait for the payloads to be built.
      setImmediate(pump);
      return tasks.map(({ job }) => ({ ...job }));
    },
    jobs: () => [...jobs.values()].map((job) => ({ ...job })),
    clear() {
      for (const id of finished.splice(0)) jobs.delete(id);
    },
    idle,
    stop() {
      stopping.abort(new Error('The emulator stopped'));
      for (const { job } of waiting.splice(0)) finish(job, { status: 'cancelled', error: 'The emulator stopped' });
      return idle();
    },
  };
}

/** Whether a step listens to an event. Filtering attributes count the columns of the request, whether or not their values changed. */
export function concerns(step: WebhookStep, event: RowEvent): boolean {
  if (!step.enabled || step.message !== event.message) return false;
  if (step.table !== undefined && step.table !== event.table) return false;
  if (event.message !== 'Update' || step.filteringAttributes.length === 0) return true;
  return step.filteringAttributes.some((column) => Object.hasOwn(event.columns, column));
}

const newJob = (id: string, event: RowEvent, step: WebhookStep, createdOn: number): SystemJob => ({
  id,
  stepId: step.id,
  stepName: step.name,
  message: event.message,
  table: event.table,
  row: event.id,
  status: 'waiting',
  attempts: 0,
  createdOn,
});

async function deliver(
  jobId: string,
  event: RowEvent,
  step: WebhookStep,
  { organization, transport, clock }: EventQueueOptions,
  signal: AbortSignal,
): Promise<Pick<SystemJob, 'status' | 'attempts'> & Partial<SystemJob>> {
  const to = { organization, transport, clock, signal };
  const { delivered, attempts, status, error } = await deliverEvent({ event, step, operationId: jobId }, to);
  return {
    status: delivered ? 'succeeded' : 'failed',
    attempts,
    ...(status !== undefined && { httpStatus: status }),
    ...(error !== undefined && { error }),
  };
}
