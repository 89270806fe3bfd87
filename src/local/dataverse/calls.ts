/** One request as the call log shows it; operations inside a `$batch` have entries of their own. */
export interface Call {
  readonly method: string;
  /** Percent-encoded, from the host, with its query. */
  readonly path: string;
  readonly table?: string;
  readonly message: string;
  /** Rows read or written; of a `$batch` its operations. */
  readonly rows?: number;
  /** 0 when the connection was reset instead of answered. */
  readonly status: number;
  /** ISO 8601. */
  readonly time: string;
  readonly userId?: string;
  readonly clientRequestId?: string;
  readonly inBatch: boolean;
}

const CALLS_KEPT = 20_000;

/** The newest calls, oldest first. */
export function createCallLog() {
  let calls: Call[] = [];
  return {
    add(call: Call): void {
      calls.push(call);
      // Cut off in blocks, so that a full log does not move its entries at every call.
      if (calls.length >= 2 * CALLS_KEPT) calls = calls.slice(-CALLS_KEPT);
    },
    list: (): readonly Call[] => calls.slice(-CALLS_KEPT),
    clear(): void {
      calls = [];
    },
  };
}

export type CallLog = ReturnType<typeof createCallLog>;
