import type { Clock } from '../../../shared/clock.ts';
import type { NewId } from '../../../shared/ids.ts';
import type { WebhookTransport } from './deliver.ts';
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
  /** Makes a job for each step that listens to the event; call it after the commit. Returns the new jobs. */
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

export function createEventQueue(options: EventQueueOptions): EventQueue {
  throw new Error(`${options}`);
}
