import { inspect } from 'node:util';
import { type Clock, isoTime } from '../../shared/clock.ts';
import type { LogLevel } from './functions-core.ts';

/** Writes one line to the host's log, unless its level is below the one that host.json asks for. */
export type HostLog = (level: LogLevel, text: string) => void;

const ORDER: readonly LogLevel[] = ['trace', 'debug', 'information', 'warning', 'error', 'critical', 'none'];

/** Lines read `[2026-11-20T10:00:00.000Z] [Information] text`. */
export function createHostLog(write: (line: string) => void, clock: Clock, minimum: LogLevel): HostLog {
  return (level, text) => {
    if (ORDER.indexOf(level) < ORDER.indexOf(minimum)) return;
    write(`[${isoTime(clock.now())}] [${level.charAt(0).toUpperCase()}${level.slice(1)}] ${text}`);
  };
}

/** Message and stack of whatever was thrown: all of an error that crosses from worker to host (`cause` is lost). */
export function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return `Exception: ${typeof error === 'string' ? error : inspect(error)}`;
  return `Exception: ${error.message}\nStack: ${error.stack ?? '(none)'}`;
}
