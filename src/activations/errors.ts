import { BridgeError } from '../shared/errors.ts';

/** The HTTP status of each failure that a caller over HTTP can meet; the others end a run and are told in it. */
const STATUS = {
  definitionInvalid: 400,
  definitionConflict: 412,
  activationUnknown: 404,
  runUnknown: 404,
  pageUnknown: 400,
  inputEmpty: 400,
  inputTooLarge: 413,
  inputTypeUnknown: 415,
  messageUnreadable: 500,
  sourceNotFound: 422,
  sourceEmpty: 422,
  sourceMalformed: 422,
  spaceMissing: 507,
  modelInvalid: 422,
  modelTimeout: 422,
  mappingInvalid: 422,
  notWritten: 503,
  runAbandoned: 500,
  ledgerIncomplete: 500,
} as const;

export type ActivationErrorCode = keyof typeof STATUS;

/** One thing that is wrong with a definition; `path` leads to it, as in `mapping.name.from`. */
export interface DefinitionFault {
  readonly path: string;
  readonly code: string;
  readonly message: string;
}

/** An activation that cannot be stored, found, started or planned. Carries all faults that were found, not only the first. */
export class ActivationError extends BridgeError<ActivationErrorCode> {
  readonly status: number;
  readonly faults: readonly DefinitionFault[];

  constructor(
    code: ActivationErrorCode,
    message: string,
    options: ErrorOptions & { hint?: string | undefined; faults?: readonly DefinitionFault[] } = {},
  ) {
    super(code, message, options);
    this.status = STATUS[code];
    this.faults = options.faults ?? [];
  }
}
