import type { CredentialKind } from '../config/connection-settings.ts';
import type { Clock } from '../shared/clock.ts';
import { assertCurrent, type CertificateDetails, notYetValid } from './certificate.ts';
import type { Credential, CredentialReport, RehearsalReport } from './credential.ts';
import type { ClientProof, EntraClient } from './entra-client.ts';
import { ConnectionError } from './errors.ts';
import type { Token } from './token-source.ts';
import type { VaultVersion } from './vault.ts';

/** A credential that the vault keeps in versions: how to list them, and what one of them proves. */
export interface VersionSource {
  readonly kind: Exclude<CredentialKind, 'managedIdentity'>;
  readonly name: string;
  /** The enabled versions, at least one, the newest first. Throws ConnectionError. */
  list(signal?: AbortSignal): Promise<readonly VaultVersion[]>;
  /** Throws ConnectionError. */
  open(version: VaultVersion, signal?: AbortSignal): Promise<OpenedVersion>;
}

export interface OpenedVersion {
  readonly proof: ClientProof;
  /** Of a certificate; Entra accepts none outside its validity. */
  readonly certificate?: CertificateDetails;
}

export interface VersionedCredentialOptions {
  readonly source: VersionSource;
  readonly connect: (proof: ClientProof) => EntraClient;
  readonly clock: Clock;
  /** Hears of failures that hurt nobody: what was read before serves on. */
  readonly onVaultFailed: (error: unknown) => void;
}

/** How long a list of versions is used before the vault is asked again, and how long to rest once that failed. */
const LIST_LIFETIME_MS = 10 * 60_000;
const LIST_RETRY_MS = 60_000;
/** During a rotation there are two; more than three are old ones that nobody disabled. */
const MOST_TRIED = 3;
const DAY_MS = 86_400_000;

/**
 * Wrong certificate or signature, wrong secret, expired secret: they say that this version is not the registered one,
 * and nothing of the others.
 */
const VERSION_REFUSED: ReadonlySet<number | undefined> = new Set([700027, 50013, 7000215, 7000222]);

interface Entry {
  readonly version: VaultVersion;
  readonly opened: OpenedVersion;
  readonly client: EntraClient;
}

/**
 * Uses the newest version that Entra accepts. While a new certificate is not registered yet, or a new secret not yet
 * valid, the one before serves; and where every version that we know is refused, the vault is asked for newer ones.
 */
export function createVersionedCredential(options: VersionedCredentialOptions): Credential {
  const { source, clock, onVaultFailed } = options;
  let held: { versions: readonly VaultVersion[]; until: number } | undefined;
  let entries: ReadonlyMap<string, Entry> = new Map();
  let accepted: string | undefined;
  let inUse: Entry | undefined;

  const readList = async (signal?: AbortSignal): Promise<readonly VaultVersion[]> => {
    const versions = await source.list(signal);
    held = { versions, until: clock.now() + LIST_LIFETIME_MS };
    entries = new Map([...entries].filter(([id]) => versions.some(({ version }) => version === id)));
    return versions;
  };

  /** As `readList`; but what is known serves on when the vault fails. */
  const listed = async (signal?: AbortSignal): Promise<readonly VaultVersion[]> => {
    try {
      return await readList(signal);
    } catch (error) {
      if (!held || !(error instanceof ConnectionError)) throw error;
      held = { ...held, until: clock.now() + LIST_RETRY_MS };
      onVaultFailed(error);
      return held.versions;
    }
  };

  const entryOf = async (version: VaultVersion, signal?: AbortSignal): Promise<Entry> => {
    let entry = entries.get(version.version);
    if (!entry) {
      const opened = await source.open(version, signal);
      entry = { version, opened, client: options.connect(opened.proof) };
      entries = new Map(entries).set(version.version, entry);
    }
    if (entry.opened.certificate) assertCurrent(entry.opened.certificate, clock.now());
    return entry;
  };

  /** The result of the first version that `use` gets along with, of those not tried before. */
  const firstThat = async <T>(
    versions: readonly VaultVersion[],
    tried: Map<string, unknown>,
    use: (version: VaultVersion) => Promise<T>,
  ): Promise<T | undefined> => {
    for (const each of candidates(versions, clock.now())) {
      if (tried.has(each.version)) continue;
      try {
        return await use(each);
      } catch (error) {
        if (!concernsVersion(error)) throw error;
        tried.set(each.version, error);
      }
    }
    return undefined;
  };

  const fail = (versions: readonly VaultVersion[], tried: ReadonlyMap<string, unknown>): never => {
    const [error] = tried.values();
    if (error) throw error;
    throw notYetValid(source.kind === 'secret' ? 'secret' : 'certificate', versions[0]?.validFrom ?? 0);
  };

  const known = (): CredentialReport => ({
    kind: source.kind,
    name: source.name,
    ...(inUse && reportOf(inUse, clock.now())),
    ...(accepted !== undefined && { accepted }),
  });

  return {
    kind: source.kind,
    known,

    async fetchToken({ signal, claims } = {}) {
      const tokenOf = async (version: VaultVersion): Promise<Token> => {
        const entry = await entryOf(version, signal);
        const token = await entry.client({ signal, claims });
        inUse = entry;
        accepted = version.version;
        return token;
      };
      const tried = new Map<string, unknown>();
      const current = held && clock.now() < held.until ? held.versions : undefined;
      let versions = current ?? (await listed(signal));
      let token = await firstThat(versions, tried, tokenOf);
      if (!token && current) {
        versions = await listed(signal);
        token = await firstThat(versions, tried, tokenOf);
      }
      return token ?? fail(versions, tried);
    },

    async describe(signal) {
      const versions = await readList(signal);
      const tried = new Map<string, unknown>();
      const usable = versions.filter(({ version }) => version === accepted);
      const open = (version: VaultVersion) => entryOf(version, signal);
      inUse = (await firstThat(usable, tried, open)) ?? (await firstThat(versions, tried, open));
      return inUse ? known() : fail(versions, tried);
    },

    async rehearse(signal) {
      const next = nextVersion(await readList(signal), accepted, clock.now());
      if (!next) return undefined;
      const report = {
        version: next.version,
        ...(next.validFrom !== undefined && next.validFrom > clock.now() && { currentFrom: next.validFrom }),
      };
      try {
        await (await entryOf(next, signal)).client({ signal });
        return { ...report, accepted: true };
      } catch (error) {
        if (!(error instanceof ConnectionError) || !concernsVersion(error)) throw error;
        return { ...report, accepted: false, ...refusalOf(error) };
      }
    },
  };
}

/**
 * The versions to try, in order: those whose validity has begun, the newest first; those that the vault calls expired
 * last, since for a secret that is only a note of the operator's.
 */
function candidates(versions: readonly VaultVersion[], now: number): VaultVersion[] {
  const begun = versions.filter(({ validFrom }) => validFrom === undefined || validFrom <= now);
  const isOver = ({ expiresAt }: VaultVersion): boolean => expiresAt !== undefined && expiresAt <= now;
  return [...begun.filter((each) => !isOver(each)), ...begun.filter(isOver)].slice(0, MOST_TRIED);
}

/** The newest version, unless it is the one in use or, with none in use, simply the next to be used. */
function nextVersion(
  versions: readonly VaultVersion[],
  accepted: string | undefined,
  now: number,
): VaultVersion | undefined {
  const [newest] = versions;
  if (!newest || newest.version === accepted) return undefined;
  const isCurrent = newest.validFrom === undefined || newest.validFrom <= now;
  return accepted === undefined && isCurrent ? undefined : newest;
}

/** Whether a failure speaks against one version only, so that another may do better. */
function concernsVersion(error: unknown): boolean {
  if (!(error instanceof ConnectionError)) return false;
  if (error.code === 'tokenRefused') return VERSION_REFUSED.has(error.aadsts);
  return error.code !== 'entraUnreachable' && error.code !== 'identityUnavailable';
}

function reportOf({ version, opened }: Entry, now: number): Omit<CredentialReport, 'kind' | 'name'> {
  const { validFrom, expiresAt } = opened.certificate ?? version;
  return {
    version: version.version,
    ...(opened.certificate && { thumbprint: opened.certificate.thumbprint }),
    ...(validFrom !== undefined && { validFrom }),
    ...(expiresAt !== undefined && { expiresAt, daysLeft: Math.floor((expiresAt - now) / DAY_MS) }),
  };
}

const refusalOf = ({ code, aadsts, message, hint }: ConnectionError): Partial<RehearsalReport> => ({
  code,
  message,
  ...(aadsts !== undefined && { aadsts }),
  ...(hint !== undefined && { hint }),
});
