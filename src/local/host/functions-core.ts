import Module from 'node:module';

/**
 * The part of `@azure/functions-core` that `@azure/functions` uses. The module exists inside the Functions worker only;
 * its types are in the library's repository (`types-core`), not in the package.
 */

export type LogLevel = 'trace' | 'debug' | 'information' | 'warning' | 'error' | 'critical' | 'none';

/** One value between host and worker (`TypedData` of the worker's protocol); one member is set. */
export interface TypedData {
  string?: string;
  json?: string;
  bytes?: Uint8Array;
  int?: number;
  double?: number;
  http?: HttpRequestData | HttpResponseData;
}

export interface HttpRequestData {
  url: string;
  method: string;
  headers: Record<string, string>;
  query: Record<string, string>;
  params: Record<string, string>;
  body?: TypedData;
}

interface Nullable<T> {
  value?: T;
}

export interface HttpCookie {
  name: string;
  value: string;
  domain?: Nullable<string>;
  path?: Nullable<string>;
  /** Seconds since 1970. */
  expires?: Nullable<{ seconds?: number }>;
  secure?: Nullable<boolean>;
  httpOnly?: Nullable<boolean>;
  sameSite?: 'none' | 'lax' | 'strict' | 'explicitNone';
  maxAge?: Nullable<number>;
}

export interface HttpResponseData {
  statusCode: string;
  headers: Record<string, string>;
  cookies: HttpCookie[];
  body?: TypedData | null;
}

/** A binding as registered; members beyond these two depend on its type. */
export interface BindingInfo {
  type: string;
  direction: 'in' | 'out' | 'inout';
  [option: string]: unknown;
}

export interface RetryOptions {
  retryStrategy: string;
  maxRetryCount: number;
  delayInterval?: { seconds: number };
  minimumInterval?: { seconds: number };
  maximumInterval?: { seconds: number };
}

export interface FunctionMetadata {
  name: string;
  bindings: Record<string, BindingInfo>;
  retryOptions?: RetryOptions | undefined;
}

export type FunctionCallback = (...args: unknown[]) => unknown;

export interface RegisteredFunction {
  metadata: FunctionMetadata;
  callback: FunctionCallback;
}

export interface RetryContext {
  retryCount: number;
  maxRetryCount: number;
  exception?: { message: string };
}

export interface InvocationRequest {
  invocationId: string;
  inputData: { name: string; data: TypedData }[];
  triggerMetadata: Record<string, TypedData>;
  traceContext: { traceParent: string; traceState: string; attributes: Record<string, string> };
  retryContext?: RetryContext;
}

export interface CoreInvocationContext {
  invocationId: string;
  request: InvocationRequest;
  metadata: FunctionMetadata;
  state: 'preInvocationHooks' | 'postInvocationHooks' | 'invocation' | undefined;
  log(level: LogLevel, category: 'user' | 'system' | 'customMetric', message: string): void;
}

export interface InvocationResponse {
  returnValue?: TypedData | null;
  outputData?: { name: string; data: TypedData }[];
}

export interface InvocationModel {
  getArguments(): Promise<{ context: object; inputs: unknown[] }>;
  invokeFunction(context: object, inputs: unknown[], callback: FunctionCallback): Promise<unknown>;
  getResponse(context: object, result: unknown): Promise<InvocationResponse>;
}

export interface ProgrammingModel {
  getInvocationModel(context: CoreInvocationContext): InvocationModel | Promise<InvocationModel>;
  getCapabilities(defaults: Record<string, string>): Promise<Record<string, string>>;
}

export const HOOKS = ['appStart', 'appTerminate', 'preInvocation', 'postInvocation'] as const;
export type HookName = (typeof HOOKS)[number];
type HookCallback = (context: object) => unknown;
type CoreLog = (level: LogLevel, category: string, message: string) => void;

/** What an app told the worker at start. One for each process, since `@azure/functions` keeps the module it is given. */
export interface Registry {
  readonly functions: RegisteredFunction[];
  readonly hooks: Record<HookName, HookCallback[]>;
  model: ProgrammingModel | undefined;
  /** Set when start-up is over: from then on a registration throws. */
  locked: boolean;
  log: CoreLog;
}

// The worker that the rules here were tried with, and the first host that streams. The library decides by neither.
const VERSIONS = { version: '3.9.1', hostVersion: '4.28.0' };

let provided: Registry | undefined;

/**
 * Provides `@azure/functions-core` to `require` in this process, once, by the same patch as the Functions worker's: a
 * plain `import` of the module fails, as in Azure.
 */
export function provideFunctionsCore(): Registry {
  if (provided) return provided;
  const registry: Registry = {
    functions: [],
    hooks: { appStart: [], appTerminate: [], preInvocation: [], postInvocation: [] },
    model: undefined,
    locked: false,
    log: () => {},
  };
  const core = coreModule(registry);
  Module.prototype.require = new Proxy(Module.prototype.require, {
    apply: (target, self, args) => (args[0] === '@azure/functions-core' ? core : Reflect.apply(target, self, args)),
  });
  provided = registry;
  return registry;
}

/** Runs the app's hooks of one kind, one after the other; throws what a hook throws. */
export async function runHooks(registry: Registry, name: HookName, context: object): Promise<void> {
  for (const hook of registry.hooks[name]) await hook(context);
}

function coreModule(registry: Registry): object {
  return {
    ...VERSIONS,
    Disposable,
    setProgrammingModel: (model: ProgrammingModel) => {
      registry.model = model;
    },
    getProgrammingModel: () => registry.model,
    registerFunction(metadata: FunctionMetadata, callback: FunctionCallback) {
      if (registry.locked) throw systemError(new Error('A function can only be registered during app startup.'));
      const registered = { metadata, callback };
      registry.functions.push(registered);
      return new Disposable(() => remove(registry.functions, registered));
    },
    registerHook(name: string, callback: HookCallback) {
      // Worker 3.9 does not know the hook 'log' and refuses it this way; the library turns that into its own message.
      if (!isHook(name)) throw systemError(new RangeError(`Unrecognized hook "${name}"`));
      registry.hooks[name].push(callback);
      return new Disposable(() => remove(registry.hooks[name], callback));
    },
    log: (level: LogLevel, category: string, message: string) => registry.log(level, category, message),
  };
}

class Disposable {
  readonly #undo: () => void;

  constructor(undo: () => void) {
    this.#undo = undo;
  }

  dispose(): void {
    this.#undo();
  }
}

const isHook = (name: string): name is HookName => HOOKS.some((known) => known === name);
const systemError = <E extends Error>(error: E): E => Object.assign(error, { isAzureFunctionsSystemError: true });

function remove<T>(list: T[], item: T): void {
  const index = list.indexOf(item);
  if (index >= 0) list.splice(index, 1);
}
