import { randomInt } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TokenCredential } from '@azure/core-auth';
import { inject } from 'vitest';

/** A storage account that no other test has: names in it may be chosen freely. */
export interface FreshStorage {
  blobServiceUri: string;
  queueServiceUri: string;
  tableServiceUri: string;
  credential: TokenCredential;
}

/** Takes an unused account of the Azurite that all test files share. */
export function freshStorage(): FreshStorage {
  const storage = inject('storage');
  const account = takeAccount(storage.takenFolder, storage.accounts);
  return {
    blobServiceUri: `${storage.blobServiceUri}/${account}`,
    queueServiceUri: `${storage.queueServiceUri}/${account}`,
    tableServiceUri: `${storage.tableServiceUri}/${account}`,
    credential: storageCredential(),
  };
}

/** A credential whose token Azurite takes: it reads issuer, audience and times, and checks no signature. */
export function storageCredential(): TokenCredential {
  return {
    getToken: async () => {
      const now = Math.floor(Date.now() / 1000);
      const expires = now + 86_400;
      const claims = {
        iss: 'https://sts.windows.net/00000000-0000-0000-0000-000000000001/',
        aud: 'https://storage.azure.com',
        iat: now - 60,
        nbf: now - 60,
        exp: expires,
      };
      const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
      return { token: `${part({ alg: 'none', typ: 'JWT' })}.${part(claims)}.`, expiresOnTimestamp: expires * 1000 };
    },
  };
}

function takeAccount(takenFolder: string, accounts: number): string {
  const start = randomInt(accounts);
  for (let step = 0; step < accounts; step += 1) {
    const number = (start + step) % accounts;
    if (claim(join(takenFolder, String(number)))) return `test${number}`;
  }
  throw new Error(`All ${accounts} storage accounts of this run are taken.`);
}

/** Making a folder is atomic, also between the processes of the test files. */
function claim(folder: string): boolean {
  try {
    mkdirSync(folder);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}
