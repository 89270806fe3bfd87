import type { DataverseRequest } from './request.ts';
import type { TransportResponse } from './transport.ts';

/** A request on its way through the policies. */
export interface Outgoing extends DataverseRequest {
  /** Counts its tries. */
  readonly trail?: { tries: number; throttled: number };
  /** Whether the caller reads the body. */
  readonly streamed?: boolean;
}

/** One try of a request, or what a policy makes of it. */
export type Send = (request: Outgoing) => Promise<TransportResponse>;
export type Policy = (next: Send) => Send;
