import { BridgeError } from '../shared/errors.ts';

/** One thing that is wrong with what a caller gave. */
export interface InputFault {
  /** The value at fault as the caller knows it: `filter`, `select`, `key`, a column. */
  readonly path: string;
  readonly code: string;
  readonly message: string;
}

/** What a caller gave names things that are not there, or cannot be sent as it is; nothing was sent. */
export class InputError extends BridgeError {
  /** The HTTP status of its answer. */
  readonly status: 400 | 403;
  readonly faults: readonly InputFault[];

  constructor(path: string, code: string, message: string, options: { hint?: string | undefined } = {}) {
    super(code, message, options);
    this.status = code === 'tableNotAllowed' ? 403 : 400;
    this.faults = [{ path, code, message }];
  }
}
