import { invalidNamePrefix, nameNotAlphanumeric, nameStartsWrong, nameTooLong } from './errors.ts';

/** What a schema name is given to, as the service's errors call it. */
export type NamedKind = 'Entity' | 'Attribute' | 'Relationship' | 'EntityKey' | 'OptionSet';

/** UNCONFIRMED: the service's limits; its list of errors only says that there are some. */
const LENGTHS: Readonly<Record<NamedKind, number>> = {
  Entity: 64,
  Attribute: 50,
  Relationship: 100,
  EntityKey: 100,
  OptionSet: 100,
};

// Documented of publishers: 2 to 8 alphanumeric characters that begin with a letter and not with "mscrm".
const PREFIX = /^(?!mscrm)[a-z][a-z0-9]{1,7}$/i;
// SQLite keeps this one for itself.
const RESERVED = /^sqlite$/i;
const SHOWN = 128;

/**
 * A schema name that may go into the database: letters, digits and underscores behind a customization prefix, `prefix`
 * where a solution tells which. Throws WireError.
 */
export function schemaName(given: unknown, kind: NamedKind, prefix?: string): string {
  if (typeof given !== 'string' || given === '') throw invalidNamePrefix('', kind);
  const shown = given.slice(0, SHOWN);
  if (!/^[A-Za-z]/.test(given)) throw nameStartsWrong(shown, kind);
  if (!/^[A-Za-z0-9_]*$/.test(given)) throw nameNotAlphanumeric(shown, kind);
  if (given.length > LENGTHS[kind]) throw nameTooLong(shown, kind, LENGTHS[kind]);
  const own = given.slice(0, Math.max(given.indexOf('_'), 0));
  const fits = PREFIX.test(own) && !RESERVED.test(own) && given.length > own.length + 1;
  if (!fits || (prefix !== undefined && own.toLowerCase() !== prefix.toLowerCase())) {
    throw invalidNamePrefix(shown, kind);
  }
  return given;
}

/** The English plural that the service makes of a table's name for its set, where none is given. */
export function plural(name: string): string {
  if (/[^aeiou]y$/i.test(name)) return `${name.slice(0, -1)}ies`;
  return /(?:s|x|z|ch|sh)$/i.test(name) ? `${name}es` : `${name}s`;
}
