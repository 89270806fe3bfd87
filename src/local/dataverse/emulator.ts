import type { CallLog } from './calls.ts';
import type { EventQueue } from './events/queue.ts';
import type { Rules } from './rules.ts';
import type { Authenticator } from './security.ts';
import type { RunSynchronousSteps } from './synchronous-steps.ts';
import type { Turn } from './turns.ts';
import type { WebServers } from './web-servers.ts';
import type { Environment } from './work.ts';

/** What the HTTP side of the emulator works with. */
export interface Emulator {
  readonly env: Environment;
  readonly queue: EventQueue;
  readonly calls: CallLog;
  readonly rules: Rules;
  readonly authenticate: Authenticator;
  /** Everything that uses the database takes one. */
  readonly turn: Turn;
  /** Aborted when the emulator ends; what waits for a synchronous step then gives up. */
  readonly stopping: AbortController;
  readonly runSynchronousSteps: RunSynchronousSteps;
  /** How fast requests are answered, and how many. */
  readonly webServers: WebServers;
  readonly bodyMax: number;
  log(line: string): void;
  idle(): Promise<void>;
  origin: string;
}
