import { notEmulated, WireError } from './errors.ts';
import { ODataNotEmulatedError, ODataSyntaxError } from './odata/errors.ts';
import { parsePreferences } from './preferences.ts';
import { JSON_TYPE, type Reply } from './reply.ts';

/** What the parsers of URLs refuse as the service's answer; anything else as it is. */
export function asWireError(error: unknown): unknown {
  if (error instanceof ODataSyntaxError) return new WireError(400, error.serviceCode, error.message);
  return error instanceof ODataNotEmulatedError ? notEmulated(error.what) : error;
}

/**
 * An error in the service's body, or as text for a 401. `prefer`: the request's header, which may ask for annotations;
 * `details`: further ones, by their names without `@`.
 */
export function wireErrorReply(
  error: WireError,
  prefer: string | undefined,
  details: Readonly<Record<string, string>> = {},
): Reply {
  if (error.status === 401 && error.serviceCode === '') {
    return { status: 401, headers: { 'Content-Type': 'text/plain', ...error.headers }, body: error.message };
  }
  const wants = parsePreferences(prefer).wantsAnnotation;
  const annotations: Readonly<Record<string, string>> = {
    'Microsoft.PowerApps.CDS.ErrorDetails.OperationStatus': '0',
    'Microsoft.PowerApps.CDS.ErrorDetails.SubErrorCode': '0',
    'Microsoft.PowerApps.CDS.HelpLink':
      'http://go.microsoft.com/fwlink/?LinkID=398563&error=Microsoft.Crm.CrmException%3a' +
      `${error.serviceCode.replace(/^0x/, '')}&client=platform`,
    'Microsoft.PowerApps.CDS.InnerError.Message': error.message,
    ...details,
  };
  const asked = Object.entries(annotations).filter(([name]) => wants(name));
  const body = {
    error: {
      code: error.serviceCode,
      message: error.message,
      ...Object.fromEntries(asked.map(([name, value]) => [`@${name}`, value])),
    },
  };
  return { status: error.status, headers: { 'Content-Type': JSON_TYPE, ...error.headers }, body: JSON.stringify(body) };
}
