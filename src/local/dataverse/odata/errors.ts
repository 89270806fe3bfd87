import { BridgeError } from '../../../shared/errors.ts';

/** A request that the service answers with 400 and this message; the texts are those of its parser, Microsoft.OData.Core. */
export class ODataSyntaxError extends BridgeError<'odataSyntax'> {
  constructor(message: string, options?: ErrorOptions) {
    super('odataSyntax', message, options);
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
