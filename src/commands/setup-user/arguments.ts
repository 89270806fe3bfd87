import { parseArgs } from 'node:util';
import { isGuid } from '../../shared/ids.ts';
import { SetupError } from './user-file.ts';

export const USAGE = `npm run setup-user -- --file FILE [options]

Makes or corrects the application user of a connection, its business unit and its role, as a file says (a sample is
src/commands/setup-user.sample.json). Without --apply it only prints what differs.

  --file FILE          what the user and its role are to be
  --for NAME           the connection whose application becomes the user (default: default)
  --url URL            the environment, when no connection names it; needs --application too
  --application ID     the client id of the registration, likewise
  --connection NAME    sign in by this connection, whose user may administrate users and roles
  --exclusive          take roles from the user that the file does not name
  --apply              correct what differs

Without --connection the administrator's token is the one in DATAVERSE_ADMIN_TOKEN, else that of the Azure CLI (az login).`;

export interface SetupArguments {
  readonly file: string;
  readonly target:
    | { readonly kind: 'connection'; readonly name: string }
    | { readonly kind: 'address'; readonly url: string; readonly applicationId: string };
  /** The connection to sign in by. */
  readonly connection: string | undefined;
  readonly exclusive: boolean;
  readonly apply: boolean;
}

/** Reads the command line; `help` when it asks for help. Throws SetupError. */
export function readArguments(args: readonly string[]): SetupArguments | 'help' {
  const values = parse(args);
  if (values.help) return 'help';
  if (values.file === undefined) throw usage('--file is missing.');
  return {
    file: values.file,
    target: targetOf(values),
    connection: values.connection,
    exclusive: values.exclusive ?? false,
    apply: values.apply ?? false,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        file: { type: 'string' },
        for: { type: 'string' },
        url: { type: 'string' },
        application: { type: 'string' },
        connection: { type: 'string' },
        exclusive: { type: 'boolean' },
        apply: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    throw usage(error instanceof Error ? error.message : 'The arguments cannot be read.');
  }
}

function targetOf(values: ReturnType<typeof parse>): SetupArguments['target'] {
  const { url, application } = values;
  if (url === undefined && application === undefined) return { kind: 'connection', name: values.for ?? 'default' };
  if (url === undefined || application === undefined) throw usage('--url and --application belong together.');
  if (values.for !== undefined) throw usage('--for and --url exclude each other.');
  if (!isGuid(application)) throw usage('--application must be a client id, a GUID.');
  if (!URL.canParse(url) || new URL(url).protocol !== 'https:') throw usage('--url must be an https URL.');
  return { kind: 'address', url: new URL(url).origin, applicationId: application.toLowerCase() };
}

const usage = (message: string): SetupError => new SetupError(message, { hint: 'See npm run setup-user -- --help.' });
