/**
 * The base of every error that this project throws on purpose.
 *
 * `code` is a literal that callers may switch on; nobody reads messages to decide. `hint` is one sentence that tells
 * the person who meets the error what to do next. Never put a secret, a token or a column value into either.
 */
export class BridgeError<Code extends string = string> extends Error {
  readonly code: Code;
  readonly hint: string | undefined;

  constructor(code: Code, message: string, options: ErrorOptions & { hint?: string | undefined } = {}) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
    this.hint = options.hint;
  }
}

/** The text of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Proves to the compiler that every member of a union was handled. */
export function unreachable(value: never): never {
  throw new Error(`Unhandled case: ${JSON.stringify(value)}`);
}
