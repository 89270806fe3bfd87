import { type BlobServiceClient, RestError } from '@azure/storage-blob';
import * as z from 'zod';
import { isoTime } from '../../shared/clock.ts';
import type { Schedule } from './ncrontab.ts';

/** When a timer fired and will fire, in milliseconds since 1970; undefined = never. */
export interface TimerStatus {
  readonly last: number | undefined;
  readonly next: number | undefined;
  readonly lastUpdated: number | undefined;
}

/** The status of one timer, kept where the host's timers extension keeps it. */
export interface TimerStatusStore {
  read(): Promise<TimerStatus | undefined>;
  write(status: TimerStatus): Promise<void>;
}

const CONTAINER = 'azure-webjobs-hosts';
// How .NET writes a DateTimeOffset that was never set.
const NEVER = '0001-01-01T00:00:00+00:00';

const schema = z.object({ Last: z.string(), Next: z.string(), LastUpdated: z.string() });

/** The form of a status in the blob, and in the timer object that the function gets. */
export const statusJson = (status: TimerStatus): z.infer<typeof schema> => ({
  Last: dotNetTime(status.last),
  Next: dotNetTime(status.next),
  LastUpdated: dotNetTime(status.lastUpdated),
});

/** Keeps the status in `azure-webjobs-hosts/timers/<hostId>/Host.Functions.<function>/status`. */
export function blobTimerStatus(blobs: BlobServiceClient, hostId: string, functionName: string): TimerStatusStore {
  const container = blobs.getContainerClient(CONTAINER);
  const blob = container.getBlockBlobClient(`timers/${hostId}/Host.Functions.${functionName}/status`);
  return {
    async read() {
      try {
        const { Last, Next, LastUpdated } = schema.parse(JSON.parse((await blob.downloadToBuffer()).toString()));
        return { last: fromDotNet(Last), next: fromDotNet(Next), lastUpdated: fromDotNet(LastUpdated) };
      } catch (error) {
        if (error instanceof RestError && error.statusCode === 404) return undefined;
        throw error;
      }
    },
    async write(status) {
      await container.createIfNotExists();
      await blob.uploadData(Buffer.from(JSON.stringify(statusJson(status))));
    },
  };
}

/**
 * What a timer finds at start: the status to go on with, whether it must be written, and whether an occurrence was
 * missed. A schedule that was changed is not past due. After `ScheduleMonitor.CheckPastDueAsync` of the timers extension.
 */
export function checkStatus(
  stored: TimerStatus | undefined,
  schedule: Schedule,
  now: number,
): { status: TimerStatus; changed: boolean; pastDue: boolean } {
  if (!stored) {
    return { status: { last: undefined, next: schedule.next(now), lastUpdated: now }, changed: true, pastDue: false };
  }
  const base = stored.last ?? stored.lastUpdated ?? now;
  const expected = schedule.next(base);
  if (stored.next === expected) {
    return { status: stored, changed: false, pastDue: expected !== undefined && now > expected };
  }
  const missed = expected !== undefined && now > expected;
  const status = missed
    ? { last: undefined, next: schedule.next(now), lastUpdated: now }
    : { last: undefined, next: expected, lastUpdated: base };
  return { status, changed: true, pastDue: false };
}

const dotNetTime = (ms: number | undefined): string => (ms === undefined ? NEVER : isoTime(ms).replace('Z', '+00:00'));

function fromDotNet(text: string): number | undefined {
  const ms = Date.parse(text);
  return Number.isNaN(ms) || ms <= 0 ? undefined : ms;
}
