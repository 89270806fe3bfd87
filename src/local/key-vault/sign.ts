import forge from 'node-forge';

/** Signs a SHA-256 digest. node-forge, because node:crypto signs only what it hashes itself. */
export function signDigest(keyPem: string, algorithm: 'RS256' | 'PS256', digest: Buffer): Buffer {
  const key = forge.pki.privateKeyFromPem(keyPem);
  const hashed = forge.md.sha256.create();
  hashed.digest = () => forge.util.createBuffer(digest.toString('binary'));
  const pss = forge.pss.create({
    md: forge.md.sha256.create(),
    mgf: forge.mgf.mgf1.create(forge.md.sha256.create()),
    saltLength: 32,
  });
  return Buffer.from(algorithm === 'PS256' ? key.sign(hashed, pss) : key.sign(hashed), 'binary');
}
