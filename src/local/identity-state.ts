import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import * as z from 'zod';
import { BridgeError } from '../shared/errors.ts';
import { directorySchema, newTenant, type Tenant } from './entra/directory.ts';
import { newSigningKeyPem } from './entra/signing-key.ts';
import { newVault, vaultSchema } from './key-vault/vault.ts';

/** The state file is there but is not one. */
export class IdentityStateError extends BridgeError<'identityStateUnreadable'> {}

const stateSchema = z.object({
  /** Private key of the local Entra, PKCS#8 PEM; kept, so that tokens outlive a restart. */
  signingKeyPem: z.string(),
  directory: directorySchema,
  vault: vaultSchema,
});

/** Everything that the local Entra and Key Vault know: plain data, changed in place and then saved. */
export interface IdentityState extends z.infer<typeof stateSchema> {
  /** Writes the state file, if there is one. */
  save(): void;
}

/** A state of one tenant, {@link homeTenant}, and an empty vault in it; kept in memory. */
export function newIdentityState(signingKeyPem: string = newSigningKeyPem()): IdentityState {
  const tenant = newTenant('Local company');
  return {
    signingKeyPem,
    directory: { tenants: [tenant] },
    vault: newVault(tenant.id),
    save: () => {},
  };
}

/**
 * Reads the state from a JSON file, or makes a new one there (mode 0600: it holds private keys and secrets).
 * Throws {@link IdentityStateError}.
 */
export function openIdentityState(file: string): IdentityState {
  const text = readIfThere(file);
  const state = text === undefined ? newIdentityState() : parse(file, text);
  state.save = () => {
    const temporary = `${file}.${process.pid}.tmp`;
    writeFileSync(temporary, JSON.stringify(state, null, 2), { mode: 0o600 });
    renameSync(temporary, file);
  };
  if (text === undefined) {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    state.save();
  }
  return state;
}

/** The tenant that the vault and the function app's managed identities are in. */
export function homeTenant(state: Pick<IdentityState, 'directory' | 'vault'>): Tenant {
  const tenant = state.directory.tenants.find(({ id }) => id === state.vault.tenantId);
  if (!tenant) throw new IdentityStateError('identityStateUnreadable', "The vault's tenant is not in the directory.");
  return tenant;
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function parse(file: string, text: string): IdentityState {
  try {
    const state: IdentityState = { ...stateSchema.parse(JSON.parse(text)), save: () => {} };
    homeTenant(state);
    return state;
  } catch (cause) {
    // The cause is not passed on: it may quote the file, which holds secrets.
    throw new IdentityStateError(
      'identityStateUnreadable',
      `${file} is not a state of the local Entra and Key Vault.`,
      {
        hint: cause instanceof IdentityStateError ? cause.message : 'Delete the file to start with an empty one.',
      },
    );
  }
}
