import type { Clock } from '../shared/clock.ts';
import { messageOf } from '../shared/errors.ts';
import { abortable } from './abortable.ts';
import { headerOf } from './answers.ts';
import type { Outgoing, Policy } from './policy.ts';
import type { TokenOptions, TokenSource } from './request.ts';
import { challengedClaims } from './wire/claims-challenge.ts';

interface AuthenticationOptions {
  readonly tokens: TokenSource;
  readonly clock: Clock;
  readonly log?: (message: string, facts: Readonly<Record<string, unknown>>) => void;
}

/**
 * Adds the token; a 401 is answered once with a renewed one, which carries the claims that the 401 asks for. Where no
 * other token is to be had, the 401 stands: it is what the caller needs to hear.
 */
export function authentication({ tokens, clock, log }: AuthenticationOptions): Policy {
  const withToken = (request: Outgoing, token: string): Outgoing => ({
    ...request,
    headers: { ...request.headers, authorization: `Bearer ${token}` },
  });
  const inTime = async (request: Outgoing, options: TokenOptions): Promise<string> => {
    const signal = untilDeadline(request, clock.now());
    return abortable(tokens({ ...options, signal: request.signal }), signal);
  };
  const anotherToken = async (rejected: string, claims: string | undefined, request: Outgoing) => {
    try {
      return await inTime(request, { rejected, claims });
    } catch (error) {
      request.signal?.throwIfAborted();
      log?.('token refused by Dataverse was not renewed', { reason: messageOf(error) });
      return rejected;
    }
  };
  return (next) => async (request) => {
    const token = await inTime(request, {});
    const response = await next(withToken(request, token));
    if (response.status !== 401) return response;
    const claims = challengedClaims(headerOf(response, 'www-authenticate'));
    const other = await anotherToken(token, claims, request);
    if (other === token) return response;
    if (request.meter) request.meter.calls += 1;
    if (request.trail) request.trail.tries += 1;
    return next(withToken(request, other));
  };
}

/** Aborts with the request's signal, and once there is no time left. */
function untilDeadline({ signal, deadline }: Outgoing, now: number): AbortSignal | undefined {
  if (deadline === undefined) return signal;
  const timeout = AbortSignal.timeout(Math.max(0, deadline - now));
  return signal ? AbortSignal.any([signal, timeout]) : timeout;
}
