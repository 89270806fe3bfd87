/** A service protection limit whose window was used up, as a 429 tells it. */
export interface ServiceLimit {
  readonly facet: 'requests' | 'executionTime';
  /** Requests, or milliseconds of execution time, that one web server allows within the window. */
  readonly amount: number;
  readonly windowMs: number;
}

const FACETS: Readonly<Record<string, ServiceLimit['facet']>> = {
  '0x80072322': 'requests',
  '0x80072321': 'executionTime',
};

/**
 * The limit that a 429 names in its text; undefined for the limit on concurrent requests, which has no window, and for
 * any other text. Environments differ in their limits, so they are read and not assumed (Dataverse, "Service protection
 * API limits"): `Number of requests exceeded the limit of 6000 over time window of 300 seconds.`, `Combined execution
 * time of incoming requests exceeded limit of 1,200,000 milliseconds over time window of 300 seconds.`
 */
export function limitOf(serviceCode: string | undefined, message: string): ServiceLimit | undefined {
  const facet = FACETS[serviceCode?.toLowerCase() ?? ''];
  const [, amount, seconds] =
    /limit of ([\d.,]+)(?: milliseconds)? over time window of (\d+) seconds/.exec(message) ?? [];
  if (facet === undefined || amount === undefined || seconds === undefined) return undefined;
  return { facet, amount: Number(amount.replaceAll(/[.,]/g, '')), windowMs: Number(seconds) * 1000 };
}
