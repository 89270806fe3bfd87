import type { Credential, CredentialReport, RehearsalReport } from '../connections/credential.ts';
import { ConnectionError } from '../connections/errors.ts';
import { isoTime } from '../shared/clock.ts';
import type { Finding } from './stages.ts';

/** Days before the end of a credential at which it is warned of. */
export const WARNING_DAYS = [30, 14, 7, 1] as const;

/** Asks the vault once for the two stages that tell of it: whether it lets us read, and what was read. */
export type Described = { readonly report: CredentialReport } | { readonly error: unknown };

export async function describeCredential(credential: Credential, signal: AbortSignal): Promise<Described> {
  try {
    return { report: await credential.describe(signal) };
  } catch (error) {
    return { error };
  }
}

/** Throws what the vault had against being read. */
export function judgeVault(described: Described, vaultUri: string | undefined): Finding | { skip: string } {
  if (vaultUri === undefined) return { skip: 'This kind of credential is kept in no vault.' };
  if ('error' in described && isVaultError(described.error)) throw described.error;
  return { detail: `The vault ${new URL(vaultUri).host} lets the app read what the credential needs.` };
}

const isVaultError = (error: unknown): boolean =>
  !(error instanceof ConnectionError) || error.code.startsWith('vault') || error.code === 'identityUnavailable';

/** Throws ConnectionError when the credential cannot be used; a next version that would fail is a warning. */
export async function judgeCredential(
  described: Described,
  credential: Credential,
  signal: AbortSignal,
): Promise<Finding> {
  if ('error' in described) throw described.error;
  const { report } = described;
  const rehearsal = await rehearse(credential, signal);
  const warnings = [...expiryWarning(report), ...(rehearsal && 'warning' in rehearsal ? [rehearsal.warning] : [])];
  const next = rehearsal && 'report' in rehearsal ? rehearsal.report : undefined;
  return {
    detail: [
      sentenceOf(report),
      ...(next?.accepted ? [`The next version, ${next.version}, was tried and is accepted.`] : []),
    ].join(' '),
    ...(warnings.length > 0 && { warnings }),
    facts: { ...report, ...(next && { rehearsal: next }) },
  };
}

async function rehearse(
  credential: Credential,
  signal: AbortSignal,
): Promise<
  { report: RehearsalReport } | { report: RehearsalReport; warning: string } | { warning: string } | undefined
> {
  try {
    const report = await credential.rehearse(signal);
    if (!report) return undefined;
    if (report.accepted) return { report };
    const why = [report.message, report.hint].filter((text) => text !== undefined).join(' ');
    return { report, warning: `The next version, ${report.version}, would fail: ${why}` };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ConnectionError)) throw error;
    return { warning: `The next version could not be tried: ${error.message}` };
  }
}

const KINDS: Readonly<Record<CredentialReport['kind'], string>> = {
  managedIdentity: 'Managed identity as federated credential',
  vaultKey: 'Certificate whose key stays in the vault',
  certificate: 'Certificate',
  secret: 'Client secret',
};

function sentenceOf({ kind, name, version, thumbprint, expiresAt, daysLeft }: CredentialReport): string {
  return `${[
    `${KINDS[kind]}${name === undefined ? '' : ` '${name}'`}`,
    ...(version === undefined ? [] : [`version ${version}`]),
    ...(thumbprint === undefined ? [] : [`thumbprint ${thumbprint.slice(0, 16)}…`]),
    ...(expiresAt === undefined ? [] : [`valid until ${isoTime(expiresAt)} (${daysLeft} days)`]),
  ].join(', ')}.`;
}

function expiryWarning({ kind, name, expiresAt, daysLeft }: CredentialReport): string[] {
  if (kind !== 'managedIdentity' && expiresAt === undefined) {
    return [`Nobody can warn before '${name}' ends: it has no expiry date in the vault. Set one (npm run secret:set).`];
  }
  if (daysLeft === undefined || daysLeft > WARNING_DAYS[0]) return [];
  return [`The credential ends in ${daysLeft} days: make its next version in the vault and register it before.`];
}
