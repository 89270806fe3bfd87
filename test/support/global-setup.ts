import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { startAzurite } from '../../src/local/azurite.ts';
import { extraCaFile, makeCertificate, openAuthority } from '../../src/local/certificates.ts';
import { newIdentityState } from '../../src/local/identity-state.ts';
import { systemClock } from '../../src/shared/clock.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The one Azurite of the run; `freshStorage` in storage.ts hands out its accounts. */
    storage: {
      blobServiceUri: string;
      queueServiceUri: string;
      tableServiceUri: string;
      accounts: number;
      /** An account is taken by whoever can make the folder of its number in here. */
      takenFolder: string;
    };
    /** PEM files of the authority that the test workers trust, and of a server certificate for localhost. */
    authority: { caFile: string; certFile: string; keyFile: string };
    /** PEM texts of the test company in identity.ts: the key of its Entra, its application's certificate and key. */
    company: { signingKeyPem: string; certPem: string; keyPem: string };
  }
}

// The list goes to Azurite in an environment variable, which Linux limits to 128 KB.
const ACCOUNTS = 2_000;
const DAY_MS = 86_400_000;

/** Starts what all test files share: a local authority that they trust, one Azurite in memory, and keys that take long to make. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), 'dataverse-bridge-test-'));
  // Also when a start below fails, or the run is broken off.
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const authority = openAuthority(join(folder, 'authority'));
  // Node reads this when a process starts: it reaches the workers, which vitest forks after this.
  process.env['NODE_EXTRA_CA_CERTS'] = extraCaFile(authority, process.env['NODE_EXTRA_CA_CERTS']);

  // The test workers, and the programs that they start, load the same modules over and over: compiling them once saves
  // each a third of a second. Node reads this, too, when a process starts.
  process.env['NODE_COMPILE_CACHE'] = join(folder, 'compile-cache');

  const takenFolder = join(folder, 'taken-accounts');
  mkdirSync(takenFolder);
  const azurite = await startAzurite({
    tls: authority.server,
    accounts: Array.from({ length: ACCOUNTS }, (_, number) => `test${number}`),
  });
  const origin = (uri: string) => new URL(uri).origin;
  project.provide('storage', {
    blobServiceUri: origin(azurite.blobServiceUri),
    queueServiceUri: origin(azurite.queueServiceUri),
    tableServiceUri: origin(azurite.tableServiceUri),
    accounts: ACCOUNTS,
    takenFolder,
  });
  const { certFile, keyFile } = authority.server;
  project.provide('authority', { caFile: authority.caFile, certFile, keyFile });

  const now = systemClock.now();
  // Keys take a tenth of a second each, and a signature of node-forge more.
  const certificate = makeCertificate({
    subject: 'Dataverse Bridge',
    validFrom: now - DAY_MS,
    validTo: now + 90 * DAY_MS,
  });
  project.provide('company', {
    signingKeyPem: newIdentityState().signingKeyPem,
    certPem: certificate.certPem,
    keyPem: certificate.keyPem,
  });

  return () => azurite.stop();
}
