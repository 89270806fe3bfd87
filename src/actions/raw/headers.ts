import { InputError } from '../../dataverse/input-error.ts';

/**
 * Headers that a caller may not set: those that say who asks and where, those of the connection between two hosts
 * (RFC 9110, section 7.6.1), those that make a request into another one, and what describes the body's length.
 */
const OURS: ReadonlySet<string> = new Set([
  'authorization',
  'proxy-authorization',
  'proxy-authenticate',
  'proxy-connection',
  'cookie',
  'set-cookie',
  'host',
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
  'content-length',
  'content-encoding',
  'accept-encoding',
  'forwarded',
  'via',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-url',
  'x-rewrite-url',
]);

const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/;
const VALUE = /^[\t\x20-\x7e]{0,8192}$/;

/** Checks the headers of a raw request and gives their names in lower case. Throws InputError that names the header. */
export function checkHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  const checked = new Map<string, string>();
  for (const [written, value] of Object.entries(headers)) {
    const name = written.toLowerCase();
    const refuse = (code: string, message: string): never => {
      throw new InputError(`headers.${written.slice(0, 100)}`, code, message);
    };
    if (!NAME.test(written)) refuse('headerInvalid', 'It is no name of a header.');
    if (OURS.has(name) || name.startsWith('x-forwarded-'))
      refuse('headerReserved', `The header '${name}' is not the caller’s.`);
    if (!VALUE.test(value))
      refuse('headerInvalid', `The header '${name}' holds characters that no header has, or too many.`);
    if (checked.has(name)) refuse('headerTwice', `The header '${name}' is given twice.`);
    checked.set(name, value);
  }
  return Object.fromEntries(checked);
}

/** Headers of an answer that are between the service and us. */
const NOT_TOLD: ReadonlySet<string> = new Set([
  'set-cookie',
  'connection',
  'keep-alive',
  'transfer-encoding',
  'content-encoding',
  'content-length',
  'proxy-authenticate',
  'upgrade',
  'trailer',
]);

/** The headers of an answer that a caller is told. */
export const toldHeaders = (
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined || NOT_TOLD.has(name) ? [] : [[name, typeof value === 'string' ? value : value.join(', ')]],
    ),
  );
