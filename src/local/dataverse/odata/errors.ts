import { BridgeError } from '../../../shared/errors.ts';

/**
 * A request that the service answers with 400, this code and this message. The messages are those of the parsers that
 * Dataverse is built on (Microsoft.OData.Core and ASP.NET OData): clients and their users know them.
 */
export class ODataSyntaxError extends BridgeError<'odataSyntax'> {
  readonly serviceCode: '0x0' | '0x80060888';

  constructor(message: string, serviceCode: '0x0' | '0x80060888' = '0x80060888') {
    super('odataSyntax', message);
    this.serviceCode = serviceCode;
  }
}

/** Correct OData that the emulator does not carry out; `what` names it for the 501 answer. */
export class ODataNotEmulatedError extends BridgeError<'odataNotEmulated'> {
  readonly what: string;

  constructor(what: string) {
    super('odataNotEmulated', `${what} is not emulated`);
    this.what = what;
  }
}

export const syntaxErrorAt = (position: number, text: string): ODataSyntaxError =>
  new ODataSyntaxError(`Syntax error at position ${position} in '${text}'.`);

/** `option` with its `$`. */
export const emptyOption = (option: string): ODataSyntaxError =>
  new ODataSyntaxError(`The value for OData query '${option}' cannot be empty.`, '0x0');

export const invalidTerm = (term: string): ODataSyntaxError =>
  new ODataSyntaxError(`Term '${term}' is not valid in a $select or $expand expression.`, '0x0');

export const tooDeep = (): ODataSyntaxError => new ODataSyntaxError('Recursion depth exceeded allowed limit.');
