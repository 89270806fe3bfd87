import { AzureCliCredential, ManagedIdentityCredential, type TokenCredential } from '@azure/identity';
import { SecretClient } from '@azure/keyvault-secrets';
import { isLoopback } from '../../config/clouds.ts';
import type { Environment } from '../../config/settings.ts';
import { connectionErrorOfVault } from '../../connections/vault-errors.ts';
import { type Clock, isoTime } from '../../shared/clock.ts';
import { BridgeError, messageOf } from '../../shared/errors.ts';
import { isGuid } from '../../shared/ids.ts';
import { readArguments, type SecretSetArguments, SecretSetError, USAGE, usage } from './arguments.ts';

export interface SecretSetContext {
  readonly env: Environment;
  /** Standard input. */
  readonly input: AsyncIterable<unknown> & { readonly isTTY?: boolean | undefined };
  readonly print: (line: string) => void;
  readonly clock: Clock;
}

/** Runs the command and answers its exit code: 0 unless something went wrong, which is printed. */
export async function runSecretSet(args: readonly string[], context: SecretSetContext): Promise<0 | 1> {
  const { print } = context;
  try {
    const given = readArguments(args, context.clock.now());
    if (given === 'help') print(USAGE);
    else await setSecret(given, context);
    return 0;
  } catch (error) {
    print(`Failed: ${messageOf(error)}`);
    if (error instanceof BridgeError && error.hint !== undefined) print(error.hint);
    return 1;
  }
}

async function setSecret(given: SecretSetArguments, { env, input, print }: SecretSetContext): Promise<void> {
  const { vaultUri, name, expires, from, apply } = given;
  const value = apply ? await readValue(input) : undefined;
  const client = new SecretClient(vaultUri, identityFor(vaultUri, env), {
    disableChallengeResourceVerification: isLoopback(new URL(vaultUri).hostname),
  });
  const versions = await ask(given, () => countVersions(client, name));
  const validity = `${from === undefined ? '' : `current from ${day(from)}, `}expiring on ${day(expires)}`;
  const target = `'${name}' in ${new URL(vaultUri).host}, ${validity}`;
  if (value === undefined) {
    print(`Would add version ${versions + 1} of ${target}. Add --apply to write it, the value on standard input.`);
    return;
  }
  if (isGuid(value)) print('Mind: the value is a GUID. Of a client secret the value is needed, not its id.');
  const { properties } = await ask(given, () =>
    client.setSecret(name, value, {
      expiresOn: new Date(expires),
      ...(from !== undefined && { notBefore: new Date(from) }),
    }),
  );
  print(`Wrote version ${properties.version} of ${target}.`);
  if (versions > 0)
    print('Earlier versions go on serving where needed; disable them once the connection test shows this one in use.');
}

const day = (time: number): string => isoTime(time).slice(0, 10);

/** The Azure CLI's user; in Azure and in the local cloud the managed identity. */
function identityFor(vaultUri: string, env: Environment): TokenCredential {
  const managed = env['IDENTITY_ENDPOINT'] !== undefined || isLoopback(new URL(vaultUri).hostname);
  if (!managed) return new AzureCliCredential();
  const clientId = env['MANAGED_IDENTITY_CLIENT_ID'];
  return clientId ? new ManagedIdentityCredential({ clientId }) : new ManagedIdentityCredential();
}

async function readValue(input: SecretSetContext['input']): Promise<string> {
  if (input.isTTY) {
    throw new SecretSetError(
      'usage',
      'The value must come from a file or a pipe; typed, it would stay on the screen.',
      {
        hint: 'For example: az ad app credential reset --append --id … --query password -o tsv | npm run --silent secret:set -- …',
      },
    );
  }
  const parts: Buffer[] = [];
  for await (const part of input) parts.push(Buffer.from(part instanceof Uint8Array ? part : String(part)));
  const value = Buffer.concat(parts)
    .toString('utf8')
    .replace(/\r?\n$/, '');
  if (value.trim() === '') throw usage('Standard input brought no value.');
  if (/[\r\n]/.test(value)) throw usage('The value must be one line; import certificates as certificates.');
  return value;
}

async function countVersions(client: SecretClient, name: string): Promise<number> {
  let count = 0;
  try {
    for await (const _ of client.listPropertiesOfSecretVersions(name)) count += 1;
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  return count;
}

const statusOf = (error: unknown): unknown =>
  typeof error === 'object' && error !== null && 'statusCode' in error ? error.statusCode : undefined;
const isMissing = (error: unknown): boolean => statusOf(error) === 404;

/** Asks the vault. The SDK's errors are not passed on: they hold the request, and with it the value. */
async function ask<T>({ vaultUri, name }: SecretSetArguments, question: () => Promise<T>): Promise<T> {
  try {
    return await question();
  } catch (error) {
    const { host } = new URL(vaultUri);
    if (statusOf(error) === 409) {
      throw new SecretSetError('failed', `The name '${name}' is taken in ${host}.`, {
        hint: 'It belongs to a certificate, or to a deleted secret that can be recovered or purged; choose another name.',
      });
    }
    const { code, message } = connectionErrorOfVault({ uri: vaultUri, object: name, timedOut: false }, error);
    if (code === 'vaultDenied') {
      throw new SecretSetError('denied', `The vault ${host} does not let this identity write '${name}'.`, {
        hint: 'It needs the role Key Vault Secrets Officer on the vault, and the vault’s firewall must let this network in.',
      });
    }
    if (code === 'identityUnavailable') {
      const [reason = ''] = messageOf(error).split('\n');
      throw new SecretSetError('denied', `There is nobody to sign in as: ${reason.slice(0, 200)}`, {
        hint: 'Run az login, with --tenant where the vault is in another tenant.',
      });
    }
    throw new SecretSetError('failed', message, { hint: 'Check --vault and that this machine reaches it.' });
  }
}
