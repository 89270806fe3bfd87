import { createHash } from 'node:crypto';
import type { ClientAssertionCallback } from '@azure/msal-node';
import type { Clock } from '../shared/clock.ts';
import type { NewId } from '../shared/ids.ts';

export interface VaultAssertionOptions {
  /** The certificate in DER, which Entra knows. */
  readonly der: Buffer;
  /** Signs with its key, RSASSA-PSS and SHA-256. */
  readonly sign: (data: Buffer) => Promise<Buffer>;
  readonly clock: Clock;
  readonly newId: NewId;
}

/** As long as MSAL's own assertions last; another is made a minute before the end. */
const LIFETIME_SECONDS = 600;
const SAFETY_SECONDS = 60;

const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/**
 * Client assertions signed elsewhere, in the form of learn.microsoft.com, "Microsoft identity platform application
 * authentication certificate credentials". MSAL asks at every token, so one is kept for its lifetime and made once
 * however many ask.
 */
export function createVaultAssertion({ der, sign, clock, newId }: VaultAssertionOptions): ClientAssertionCallback {
  const header = base64url({
    alg: 'PS256',
    typ: 'JWT',
    'x5t#S256': createHash('sha256').update(der).digest('base64url'),
    x5c: [der.toString('base64')],
  });
  let kept: { readonly audience: string; readonly until: number; readonly assertion: Promise<string> } | undefined;

  const make = async (audience: string, clientId: string, now: number): Promise<string> => {
    const times = { nbf: now, iat: now, exp: now + LIFETIME_SECONDS };
    const claims = base64url({ aud: audience, iss: clientId, sub: clientId, jti: newId(), ...times });
    const content = `${header}.${claims}`;
    return `${content}.${(await sign(Buffer.from(content))).toString('base64url')}`;
  };

  return ({ clientId, tokenEndpoint = '' }) => {
    const now = Math.floor(clock.now() / 1000);
    if (kept?.audience === tokenEndpoint && now < kept.until) return kept.assertion;
    const assertion = make(tokenEndpoint, clientId, now);
    const mine = { audience: tokenEndpoint, until: now + LIFETIME_SECONDS - SAFETY_SECONDS, assertion };
    kept = mine;
    assertion.catch(() => {
      if (kept === mine) kept = undefined;
    });
    return assertion;
  };
}
