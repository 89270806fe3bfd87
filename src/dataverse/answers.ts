import { parseExactJson } from '../shared/exact-json.ts';
import { DataverseError, errorFromAnswer } from './errors.ts';
import type { DataverseResponse } from './request.ts';
import { parseRetryAfter } from './retry.ts';
import type { TransportResponse } from './transport.ts';

/** The id under which the service knows the request, for a support case. */
export function requestIdOf(response: TransportResponse): { serviceRequestId?: string } {
  const serviceRequestId = headerOf(response, 'x-ms-service-request-id') ?? headerOf(response, 'req_id');
  return serviceRequestId === undefined ? {} : { serviceRequestId };
}

/** A header by its lower-case name. */
export function headerOf(response: TransportResponse, name: string): string | undefined {
  const value = response.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** An answer as the client gives it. */
export function toResponse(response: TransportResponse): DataverseResponse {
  return {
    status: response.status,
    header: (name) => headerOf(response, name),
    get text() {
      return response.body.toString('utf8');
    },
    json() {
      try {
        return parseExactJson(this.text);
      } catch (cause) {
        throw new DataverseError(
          'notDataverse',
          `Dataverse answered ${response.status} with a body that is no JSON.`,
          { status: response.status },
          {
            cause,
            hint: 'Something other than Dataverse answered: check the URL, a proxy, and whether the environment is active.',
          },
        );
      }
    },
  };
}

/** The error that an answer with a failing status stands for. */
export const failureOf = (response: TransportResponse, now: () => number): DataverseError =>
  errorFromAnswer({
    status: response.status,
    contentType: headerOf(response, 'content-type') ?? '',
    text: response.body.toString('utf8'),
    ...requestIdOf(response),
    retryAfterMs: parseRetryAfter(headerOf(response, 'retry-after'), now()),
  });
