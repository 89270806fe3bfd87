import type { Clock } from '../shared/clock.ts';
import type { NewId } from '../shared/ids.ts';
import { notYetValid, readCertificate, readPublicCertificate } from './certificate.ts';
import type { Vault } from './vault.ts';
import { createVaultAssertion } from './vault-assertion.ts';
import type { VersionSource } from './versioned-credential.ts';

/** A client secret in the vault. */
export const secretSource = (vault: Vault, secretName: string): VersionSource => ({
  kind: 'secret',
  name: secretName,
  list: (signal) => vault.secretVersions(secretName, signal),
  async open({ version }, signal) {
    const { value } = await vault.secret(secretName, version, signal);
    // A file or a pipe ends in a line break, which no secret has.
    return { proof: { clientSecret: value.trim() } };
  },
});

/** A certificate whose key is read with it; the secret beside it holds both. */
export const certificateSource = (vault: Vault, certificateName: string): VersionSource => ({
  kind: 'certificate',
  name: certificateName,
  list: (signal) => vault.secretVersions(certificateName, signal),
  async open({ version }, signal) {
    const { details, privateKeyPem, chainPem } = await readCertificate(
      await vault.secret(certificateName, version, signal),
    );
    const clientCertificate = {
      thumbprintSha256: details.thumbprint,
      privateKey: privateKeyPem,
      x5c: chainPem,
    };
    return { proof: { clientCertificate }, certificate: details };
  },
});

/** A certificate whose key stays in the vault, which signs for us. */
export const vaultKeySource = (
  vault: Vault,
  certificateName: string,
  { clock, newId }: { readonly clock: Clock; readonly newId: NewId },
): VersionSource => ({
  kind: 'vaultKey',
  name: certificateName,
  list: (signal) => vault.certificateVersions(certificateName, signal),
  async open({ version, validFrom }, signal) {
    // Key Vault signs with a key only once its validity has begun, so that such a version cannot be tried before.
    if (validFrom !== undefined && validFrom > clock.now()) throw notYetValid('certificate', validFrom);
    const { der, keyId } = await vault.certificate(certificateName, version, signal);
    const certificate = readPublicCertificate(der);
    const sign = (data: Buffer) => vault.sign(keyId, data);
    return { proof: { clientAssertion: createVaultAssertion({ der, sign, clock, newId }) }, certificate };
  },
});
