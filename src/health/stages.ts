import { SettingsError } from '../config/settings.ts';
import { BridgeError, messageOf } from '../shared/errors.ts';

/** In the order in which they are gone through. */
export const STAGES = [
  'settings',
  'network',
  'vault',
  'credential',
  'token',
  'api',
  'user',
  'privileges',
  'keys',
  'limits',
] as const;

export type StageName = (typeof STAGES)[number];

/** What a stage found, without anything secret. */
export interface Finding {
  /** One plain sentence, or a few. */
  readonly detail: string;
  /** What works and should still be looked at. */
  readonly warnings?: readonly string[];
  /** The same for programs. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

export interface Stage extends Finding {
  readonly name: StageName;
  readonly status: 'passed' | 'failed' | 'skipped';
  /** Milliseconds that it took. */
  readonly ms: number;
  /** Why it failed, as a code that programs may switch on. */
  readonly code?: string;
  /** The next step after a failure. */
  readonly hint?: string;
}

/** What a stage of the test has against a connection, where the failure is not an error of the call itself. */
export class StageError extends BridgeError {
  readonly facts: Readonly<Record<string, unknown>> | undefined;
  readonly warnings: readonly string[];

  constructor(
    code: string,
    message: string,
    options: ErrorOptions & {
      hint?: string;
      facts?: Readonly<Record<string, unknown>>;
      warnings?: readonly string[];
    } = {},
  ) {
    super(code, message, options);
    this.facts = options.facts;
    this.warnings = options.warnings ?? [];
  }
}

const CORRECT_SETTINGS =
  'Correct the settings that are named (Azure portal, the function app, Environment variables); the app restarts by itself.';

/** What a failed stage tells. `unforeseen` gets the text of an error that is none of ours, which may hold anything. */
export function failureOf(
  error: unknown,
  signal: AbortSignal,
  unforeseen: (reason: string) => void,
): Omit<Stage, 'name' | 'status' | 'ms'> {
  if (signal.aborted) {
    return {
      code: 'timeout',
      detail: 'The test ran out of time here.',
      hint: 'Test again; if it stops here once more, what this stage calls is too slow or drops the connection.',
    };
  }
  if (!(error instanceof BridgeError)) {
    unforeseen(messageOf(error));
    return {
      code: 'internal',
      detail: 'Failed for a reason that the app did not foresee; see the log.',
    };
  }
  const faults = error instanceof SettingsError ? error.faults : [];
  const hint = error.hint ?? (faults.length > 0 ? CORRECT_SETTINGS : undefined);
  const told = faults.map(({ setting, message }) => `${setting} ${message}`).join('; ');
  return {
    code: error.code,
    detail: told === '' ? error.message : `${error.message} ${told}.`,
    ...(hint !== undefined && { hint }),
    ...(faults.length > 0 && { facts: { faults } }),
    ...(error instanceof StageError && error.facts && { facts: error.facts }),
    ...(error instanceof StageError && error.warnings.length > 0 && { warnings: error.warnings }),
  };
}
