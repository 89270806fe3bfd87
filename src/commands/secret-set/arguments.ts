import { parseArgs } from 'node:util';
import { isWrong, parseVaultName } from '../../config/setting-reader.ts';
import { parseVaultUri } from '../../config/settings.ts';
import { isoTime } from '../../shared/clock.ts';
import { BridgeError, messageOf } from '../../shared/errors.ts';

/** The command cannot go on: its arguments or the value (`usage`), who runs it (`denied`) or the vault (`failed`). */
export class SecretSetError extends BridgeError<'usage' | 'denied' | 'failed'> {}

export const USAGE = `npm run --silent secret:set -- --vault URI --name NAME --expires DATE [--from DATE] [--apply] < FILE

Puts a client secret or a webhook's secret into Key Vault as a new version with its expiry date. The value comes from
standard input, never from the command line, and is never shown. Without --apply it only says what it would do.

  --vault URI      https://name.vault.azure.net/
  --name NAME      the secret's name, as in the settings
  --expires DATE   when the secret ends, as in 2027-01-31 (UTC); warnings count down to it
  --from DATE      when it becomes current; until then the connection test rehearses it
  --apply          write it

It signs in as the Azure CLI does (az login), in Azure by the managed identity. Needed role: Key Vault Secrets Officer.`;

export interface SecretSetArguments {
  readonly vaultUri: string;
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly expires: number;
  readonly from: number | undefined;
  readonly apply: boolean;
}

/** Reads the command line; `help` when it asks for help. Throws SecretSetError `usage`. */
export function readArguments(args: readonly string[], now: number): SecretSetArguments | 'help' {
  const values = parse(args);
  if (values.help) return 'help';
  const vaultUri = parseVaultUri(values.vault ?? '');
  if (isWrong(vaultUri)) throw usage(`--vault ${vaultUri.wrong}.`);
  const name = parseVaultName(values.name ?? '');
  if (isWrong(name)) throw usage(`--name ${name.wrong}.`);
  const expires = dayOf('--expires', values.expires ?? '');
  const from = values.from === undefined ? undefined : dayOf('--from', values.from);
  if (expires <= now) throw usage('--expires must lie in the future.');
  if (from !== undefined && from >= expires) throw usage('--from must lie before --expires.');
  return { vaultUri, name, expires, from, apply: values.apply ?? false };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        vault: { type: 'string' },
        name: { type: 'string' },
        expires: { type: 'string' },
        from: { type: 'string' },
        apply: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    // It may quote an argument, and someone may have given the value as one.
    const unexpected = /Unexpected argument|positional/i.test(messageOf(error));
    throw usage(unexpected ? 'There is an argument too many; the value comes from standard input.' : messageOf(error));
  }
}

/** The first moment of a day in UTC. */
function dayOf(option: string, text: string): number {
  const time = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN;
  if (Number.isNaN(time) || !isoTime(time).startsWith(text)) throw usage(`${option} must be a date as in 2027-01-31.`);
  return time;
}

export const usage = (message: string): SecretSetError =>
  new SecretSetError('usage', message, { hint: 'See npm run secret:set -- --help.' });
