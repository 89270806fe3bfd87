import type { Attributes, Telemetry } from '../telemetry/telemetry.ts';
import type { DataverseFacts } from './errors.ts';

/** A request with all its tries, once it is over. Times in milliseconds since 1970. */
export interface RequestObservation {
  readonly method: string;
  /** Below the Web API's root, query and key values included. */
  readonly path: string;
  readonly startedAt: number;
  readonly endedAt: number;
  /** The code of our error; undefined if it succeeded. */
  readonly failed: string | undefined;
  /** What the last answer said. */
  readonly facts: DataverseFacts;
  /** `x-ms-client-request-id`, the same for all tries. */
  readonly clientRequestId: string;
  readonly tries: number;
  /** Tries that were answered with 429. */
  readonly throttled: number;
}

export type ObserveRequest = (observation: RequestObservation) => void;

/** Tells of a connection's requests to Dataverse: where to, how long, how they ended. Never a value of a row. */
export function observeRequests(telemetry: Telemetry, connection: string, environment: string): ObserveRequest {
  const { hostname } = new URL(environment);
  return ({ method, path, startedAt, endedAt, failed, facts, clientRequestId, tries, throttled }) => {
    const route = routeOf(path);
    const [table = ''] = route.split(/[(/]/);
    const of: Attributes = { 'bridge.connection': connection, 'dataverse.table': table };
    telemetry.span({
      name: `dataverse ${method} ${route}`,
      kind: 'client',
      startedAt,
      endedAt,
      failed,
      attributes: {
        ...of,
        'server.address': hostname,
        'http.request.method': method,
        'http.response.status_code': facts.status,
        'dataverse.route': route,
        'dataverse.service_code': facts.serviceCode,
        'dataverse.service_request_id': facts.serviceRequestId,
        'dataverse.client_request_id': clientRequestId,
        'dataverse.tries': tries,
      },
    });
    telemetry.measure('dataverseDuration', endedAt - startedAt, {
      ...of,
      'http.request.method': method,
      'error.type': failed,
    });
    const repeated = tries - 1 - throttled;
    if (repeated > 0) telemetry.measure('dataverseRetries', repeated, of);
    if (throttled > 0) telemetry.measure('dataverseThrottled', throttled, of);
  };
}

/** The path without query and without what stands in parentheses: keys are values of rows. */
export function routeOf(path: string): string {
  const [address = ''] = path.split('?');
  const open = address.replace(/\((?:'(?:[^']|'')*'|[^()'])*\)/g, '()');
  // A parenthesis or quote that does not close: nothing behind it is safe to tell.
  const [safe = ''] = open.split(/\((?!\))|'/);
  return safe.slice(0, 200);
}
