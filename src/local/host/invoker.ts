import { randomBytes } from 'node:crypto';
import { type Clock, isoTime } from '../../shared/clock.ts';
import type { NewId } from '../../shared/ids.ts';
import type { FunctionDefinition, RetryPolicy } from './function-definitions.ts';
import {
  type CoreInvocationContext,
  type InvocationRequest,
  type InvocationResponse,
  type RetryContext,
  runHooks,
  type TypedData,
} from './functions-core.ts';
import { describeFailure, type HostLog } from './host-log.ts';
import type { LoadedApp } from './load-app.ts';

/** One event that a function is to be run for. */
export interface Call {
  readonly definition: FunctionDefinition;
  /** The trigger's value. */
  readonly data: TypedData;
  readonly triggerMetadata: Record<string, TypedData>;
  /** Why, in the words of the Functions host. */
  readonly reason: string;
  /** A second log line about the trigger. */
  readonly details?: string;
  /** Chosen by the caller where it must know the id beforehand. */
  readonly invocationId?: string;
  /** W3C trace context of the caller. */
  readonly traceParent?: string | undefined;
  readonly traceState?: string | undefined;
}

/** `answered`: a streamed request has had its answer, whatever went wrong after it. */
export type Outcome =
  | { readonly ok: true; readonly response: InvocationResponse; readonly answered: boolean }
  | { readonly ok: false; readonly error: unknown; readonly answered: boolean };

/** Runs functions through the library, with the hooks, retries, time limit and log lines of host and worker. */
export interface Invoker {
  run(call: Call): Promise<Outcome>;
  readonly running: number;
  /** Resolves when nothing is running. */
  idle(): Promise<void>;
}

/** Writes what a call put into its output bindings. Throws what the storage service answers. */
export type WriteOutputs = (call: Call, response: InvocationResponse) => Promise<void>;

export interface InvokerOptions {
  readonly app: LoadedApp;
  readonly writeOutputs: WriteOutputs;
  readonly functionTimeoutMs: number | undefined;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly log: HostLog;
}

export function createInvoker(options: InvokerOptions): Invoker {
  const running = new Set<Promise<Outcome>>();
  return {
    get running() {
      return running.size;
    },
    async run(call) {
      const outcome = runWithRetries(call, options);
      running.add(outcome);
      try {
        return await outcome;
      } finally {
        running.delete(outcome);
      }
    },
    async idle() {
      while (running.size > 0) await Promise.allSettled(running);
    },
  };
}

async function runWithRetries(call: Call, options: InvokerOptions): Promise<Outcome> {
  const policy = call.definition.retry;
  let retry: RetryContext | undefined;
  for (let attempt = 0; ; attempt += 1) {
    const outcome = await runOnce(call, retry, options);
    const exhausted = !policy || (policy.maxRetryCount >= 0 && attempt >= policy.maxRetryCount);
    if (outcome.ok || exhausted) return outcome;
    retry = {
      retryCount: attempt + 1,
      maxRetryCount: policy.maxRetryCount,
      exception: { message: describeFailure(outcome.error) },
    };
    await options.clock.sleep(retryDelay(policy, attempt));
  }
}

function retryDelay(policy: RetryPolicy, attempt: number): number {
  if (policy.kind === 'fixedDelay') return policy.delayMs;
  return Math.min(policy.maximumMs, policy.minimumMs * 2 ** attempt);
}

async function runOnce(call: Call, retry: RetryContext | undefined, options: InvokerOptions): Promise<Outcome> {
  const { clock, log } = options;
  const id = call.invocationId ?? options.newId();
  const name = `Functions.${call.definition.name}`;
  const startedAt = clock.now();
  log('information', `Executing '${name}' (Reason='${call.reason}', Id=${id})`);
  if (call.details) log('information', `Trigger Details: ${call.details}`);
  const ended = new AbortController();
  const outcome = await Promise.race([
    invoke(call, requestOf(call, id, retry), options, ended.signal),
    timeLimit(call.definition, options, ended.signal),
  ]);
  ended.abort();
  const facts = `Id=${id}, Duration=${clock.now() - startedAt}ms)`;
  if (outcome.ok) log('information', `Executed '${name}' (Succeeded, ${facts}`);
  else log('error', `Executed '${name}' (Failed, ${facts}\nResult: Failure\n${describeFailure(outcome.error)}`);
  return outcome;
}

/** The worker's part of a call: library, hooks, handler, then what host extensions do with the outputs. */
async function invoke(
  call: Call,
  request: InvocationRequest,
  { app, writeOutputs, log }: InvokerOptions,
  ended: AbortSignal,
): Promise<Outcome> {
  const { metadata, callback } = call.definition;
  const core: CoreInvocationContext = {
    invocationId: request.invocationId,
    request,
    metadata,
    state: undefined,
    log(level, category, message) {
      // What is logged after a call has ended never reaches Azure's log, except for the library's warning about it.
      if (category === 'user' ? !ended.aborted : level !== 'debug' && level !== 'trace') log(level, message);
    },
  };
  const during = async <T>(state: CoreInvocationContext['state'], step: () => Promise<T>): Promise<T> => {
    core.state = state;
    try {
      return await step();
    } finally {
      core.state = undefined;
    }
  };
  let answered = false;
  try {
    if (!app.model) throw new Error('The app did not set a programming model.');
    const model = await app.model.getInvocationModel(core);
    const { context, inputs } = await model.getArguments();
    const shared = { hookData: {}, invocationContext: context };
    const before = { ...shared, functionCallback: callback, inputs };
    await during('preInvocationHooks', () => runHooks(app.registry, 'preInvocation', before));
    const after: { result: unknown; error: unknown } & typeof shared & { inputs: unknown[] } = {
      ...shared,
      inputs: before.inputs,
      result: null,
      error: null,
    };
    await during('invocation', async () => {
      try {
        after.result = await model.invokeFunction(context, before.inputs, before.functionCallback);
      } catch (error) {
        after.error = error;
      }
    });
    await during('postInvocationHooks', () => runHooks(app.registry, 'postInvocation', after));
    // As in the worker, `throw undefined` is no error.
    if (after.error !== null && after.error !== undefined) return { ok: false, error: after.error, answered };
    const response = await model.getResponse(context, after.result);
    answered = after.result !== null && after.result !== undefined;
    await writeOutputs(call, response);
    return { ok: true, response, answered };
  } catch (error) {
    return { ok: false, error, answered };
  }
}

function requestOf(call: Call, invocationId: string, retry: RetryContext | undefined): InvocationRequest {
  return {
    invocationId,
    inputData: [{ name: call.definition.trigger.binding, data: call.data }],
    triggerMetadata: call.triggerMetadata,
    traceContext: {
      traceParent: childOf(call.traceParent),
      traceState: call.traceState ?? '',
      attributes: {},
    },
    ...(retry ? { retryContext: retry } : {}),
  };
}

/** A `traceparent` (W3C) of a new span, in the caller's trace if it sent one. */
function childOf(parent: string | undefined): string {
  const match = /^00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})$/.exec(parent ?? '');
  const trace = match?.[1] ?? randomBytes(16).toString('hex');
  return `00-${trace}-${randomBytes(8).toString('hex')}-${match?.[2] ?? '00'}`;
}

/** Fails the call at `functionTimeout`. Azure then ends the worker; here the function's code goes on unheard. */
async function timeLimit(
  { name }: FunctionDefinition,
  { functionTimeoutMs, clock }: InvokerOptions,
  ended: AbortSignal,
): Promise<Outcome> {
  if (functionTimeoutMs === undefined) return new Promise(() => {});
  await clock.sleep(functionTimeoutMs, ended).catch(() => {});
  const limit = isoTime(functionTimeoutMs).slice(11, 19);
  return {
    ok: false,
    error: new Error(`Timeout value of ${limit} was exceeded by function: Functions.${name}`),
    answered: false,
  };
}
