import * as z from 'zod';
import { BridgeError } from '../../shared/errors.ts';

/** How far a privilege reaches: own rows, the business unit's, those below it, all. */
export const DEPTHS = ['Basic', 'Local', 'Deep', 'Global'] as const;
export type Depth = (typeof DEPTHS)[number];

export const RIGHTS = ['create', 'read', 'write', 'delete', 'append', 'appendTo', 'assign', 'share'] as const;
export type Right = (typeof RIGHTS)[number];

/** Roles of the service that give more than any integration needs; they can only be given by hand. */
const BROAD_ROLES = ['system administrator', 'system customizer'];

const depth = z.enum(DEPTHS);

const userFile = z.strictObject({
  /** Any name of the user; it shows in "created by". */
  user: z.strictObject({ firstName: z.string().max(64), lastName: z.string().min(1).max(64) }),
  /** Name of the user's business unit; left out: the organization's own. It is made below that one when it is missing. */
  businessUnit: z.string().min(1).max(160).optional(),
  /** Name of the role; everything that it holds is given below. */
  role: z
    .string()
    .min(1)
    .max(100)
    .refine((name) => !BROAD_ROLES.includes(name.trim().toLowerCase()), 'must be a role of your own'),
  tables: z.record(
    z.string().regex(/^[a-z][a-z0-9_]*$/, 'must be a logical name'),
    z.partialRecord(z.enum(RIGHTS), depth),
  ),
  /** Privileges that are no right on a table, by name: `{ "prvReadSdkMessage": "Global" }`. */
  privileges: z.record(z.string().regex(/^prv\w+$/, 'must be the name of a privilege'), depth).default({}),
});

/** What the application user and its role are to be. */
export type UserFile = z.infer<typeof userFile>;

/** A setting, an argument or the file keeps the command from working; the message says all that is wrong. */
export class SetupError extends BridgeError<'setupUser'> {
  constructor(message: string, options: ErrorOptions & { hint?: string } = {}) {
    super('setupUser', message, options);
  }
}

/** Reads the file's text. Throws SetupError that names every fault. */
export function parseUserFile(text: string): UserFile {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new SetupError('The file is no JSON.', { cause: error });
  }
  const parsed = userFile.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new SetupError(`The file has faults:\n${z.prettifyError(parsed.error)}`, {
    hint: 'Compare it with src/commands/setup-user.sample.json.',
  });
}
