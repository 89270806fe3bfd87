import { gunzipSync } from 'node:zlib';
import { BlobServiceClient } from '@azure/storage-blob';
import type { FreshStorage } from './storage.ts';

/** Tokens, private keys, assertions and cookies, whatever their value is. */
const SECRET_FORMS =
  /eyJ[\w-]{10,}\.eyJ[\w-]{10,}|-----BEGIN [A-Z ]*(?:PRIVATE KEY|CERTIFICATE)|client_assertion=|client_secret=|ARRAffinity=/;
/** Shorter values would be found in innocent texts. */
const SHORTEST = 8;

/** Something that a test run has produced, with where it stands. */
export interface Produced {
  readonly where: string;
  readonly text: string;
}

/** Throws, naming the places and not the secrets, when anything produced holds one. */
export function assertNoSecret(produced: readonly Produced[], secrets: readonly string[]): void {
  const known = secrets.filter((secret) => secret.length >= SHORTEST);
  const found = produced.filter(({ text }) => SECRET_FORMS.test(text) || known.some((secret) => text.includes(secret)));
  if (found.length > 0) throw new Error(`A secret stands in ${found.map(({ where }) => where).join(', ')}.`);
}

/** Every blob of an account, unpacked. */
export async function storedBlobs({ blobServiceUri, credential }: FreshStorage): Promise<Produced[]> {
  const service = new BlobServiceClient(blobServiceUri, credential);
  const found: Produced[] = [];
  for await (const { name: container } of service.listContainers()) {
    const client = service.getContainerClient(container);
    for await (const { name } of client.listBlobsFlat()) {
      const bytes = await client.getBlobClient(name).downloadToBuffer();
      const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
      found.push({ where: `blob ${container}/${name}`, text: (isGzip ? gunzipSync(bytes) : bytes).toString('latin1') });
    }
  }
  return found;
}
