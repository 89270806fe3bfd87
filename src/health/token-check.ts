import type { ConnectionSettings } from '../config/connection-settings.ts';
import { isoTime } from '../shared/clock.ts';
import { isGuid } from '../shared/ids.ts';
import { type Finding, StageError } from './stages.ts';

/** Claims that say whom a token is for, from whom and about whom; none of them opens anything. */
const SHOWN = ['aud', 'iss', 'tid', 'appid', 'azp', 'oid', 'ver', 'idtyp', 'roles', 'iat', 'nbf', 'exp'] as const;

/** The application id of Dataverse, which a token of version 2 may have as audience (Microsoft first-party applications). */
const DATAVERSE_APP_ID = '00000007-0000-0000-c000-000000000000';

/**
 * Holds a token's claims against the settings. They are read for people only: whether a token is good is decided by
 * Dataverse. Throws StageError `scopeMismatch`, `tenantMismatch`, `applicationMismatch` or `tokenUnreadable`.
 */
export function checkToken(token: string, settings: ConnectionSettings): Finding {
  const claims = claimsOf(token);
  if (!claims) throw new StageError('tokenUnreadable', 'Entra’s token is no JWT, so nothing can be said about it.');
  const facts = { claims };
  const setting = (property: string): string => `Dataverse__${settings.name}__${property}`;
  const audience = String(claims['aud'] ?? '');
  if (audience !== DATAVERSE_APP_ID && hostOf(audience) !== new URL(settings.environment).host) {
    throw new StageError(
      'scopeMismatch',
      `The token is for ${audience || 'nobody'}, but the environment is ${settings.environment}, which refuses it.`,
      { hint: `Leave out ${setting('scope')} to have it derived from ${setting('url')}, or correct its host.`, facts },
    );
  }
  const tenant = String(claims['tid'] ?? '');
  if (isGuid(settings.tenantId) && tenant.toLowerCase() !== settings.tenantId.toLowerCase()) {
    throw new StageError(
      'tenantMismatch',
      `The token is of the tenant ${tenant || '(none)'}, not ${settings.tenantId}.`,
      {
        hint: `Make ${setting('tenantId')} and ${setting('tokenUrl')} name one tenant.`,
        facts,
      },
    );
  }
  const application = String(claims['appid'] ?? claims['azp'] ?? '');
  if (application.toLowerCase() !== settings.clientId) {
    throw new StageError('applicationMismatch', `The token is for the application ${application || '(none)'}.`, {
      hint: `Check ${setting('clientId')}, which is ${settings.clientId}.`,
      facts,
    });
  }
  const ends = typeof claims['exp'] === 'number' ? ` until ${isoTime(claims['exp'] * 1000)}` : '';
  return {
    detail: `Entra gave a token for ${audience}, issued by ${String(claims['iss'] ?? 'nobody')} to the application ${application}, good${ends}.`,
    facts,
  };
}

function claimsOf(token: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
    if (typeof parsed !== 'object' || parsed === null) return undefined;
    const all: Readonly<Record<string, unknown>> = { ...parsed };
    return Object.fromEntries(SHOWN.flatMap((name) => (all[name] === undefined ? [] : [[name, all[name]]])));
  } catch {
    return undefined;
  }
}

const hostOf = (audience: string): string => (URL.canParse(audience) ? new URL(audience).host : '');
