import * as z from 'zod';
import type {
  BindingInfo,
  FunctionCallback,
  FunctionMetadata,
  RegisteredFunction,
  RetryOptions,
} from './functions-core.ts';
import { HostError } from './host-error.ts';
import { parseSchedule, type Schedule } from './ncrontab.ts';
import { parseTemplate, type RouteTemplate, sameShape } from './routes.ts';

/** A registered function, checked and ready to be run. */
export interface FunctionDefinition {
  readonly name: string;
  readonly trigger: Trigger;
  /** Storage outputs, in the order of registration. */
  readonly outputs: readonly StorageOutput[];
  readonly retry: RetryPolicy | undefined;
  readonly metadata: FunctionMetadata;
  readonly callback: FunctionCallback;
}

export type Trigger = HttpTrigger | TimerTrigger | QueueTrigger;
export type AuthLevel = 'anonymous' | 'function' | 'admin';

export interface HttpTrigger {
  readonly type: 'http';
  /** Name of the binding, as of all triggers. */
  readonly binding: string;
  readonly authLevel: AuthLevel;
  /** Upper case. */
  readonly methods: readonly string[];
  readonly route: RouteTemplate;
}

export interface TimerTrigger {
  readonly type: 'timer';
  readonly binding: string;
  readonly schedule: Schedule;
  readonly runOnStartup: boolean;
  readonly useMonitor: boolean;
}

export interface QueueTrigger {
  readonly type: 'queue';
  readonly binding: string;
  readonly queueName: string;
}

/** `target` is a queue's name or a blob's path; it may hold `{expressions}`. */
export interface StorageOutput {
  readonly binding: string;
  readonly kind: 'queue' | 'blob';
  readonly target: string;
}

export type RetryPolicy =
  | { readonly kind: 'fixedDelay'; readonly maxRetryCount: number; readonly delayMs: number }
  | {
      readonly kind: 'exponentialBackoff';
      readonly maxRetryCount: number;
      readonly minimumMs: number;
      readonly maximumMs: number;
    };

// Rules of the Functions host (Utility.cs): it drops a function that breaks them and lets the others run.
const FUNCTION_NAME = /^[a-z][a-z0-9_-]{0,127}$/i;
const BINDING_NAME = /^([a-z][a-z0-9]{0,127}|\$return)$/i;
// https://learn.microsoft.com/rest/api/storageservices/naming-queues-and-metadata
const QUEUE_NAME = /^[a-z0-9](?!.*--)[a-z0-9-]{1,61}[a-z0-9]$/;
const BLOB_PATH = /^[^/]+\/.+$/;

const httpOptions = z.object({
  authLevel: z
    .string()
    .toLowerCase()
    .pipe(z.enum(['anonymous', 'function', 'admin'])),
  methods: z.array(z.string().toUpperCase()).min(1),
  route: z.string().optional(),
});
const timerOptions = z.object({
  schedule: z.string(),
  runOnStartup: z.boolean().default(false),
  useMonitor: z.boolean().default(true),
});
const queueOptions = z.object({ queueName: z.string(), connection: z.string().optional() });
const blobOptions = z.object({ path: z.string(), connection: z.string().optional() });

/** What the definitions depend on besides the registrations: `%NAME%` in them stands for an app setting. */
export interface DefinitionContext {
  readonly routePrefix: string;
  readonly settings: Readonly<Record<string, string | undefined>>;
  warn(text: string): void;
}

/**
 * Checks everything that the app registered. The real host leaves out a function that it cannot index; this one throws
 * {@link HostError} `invalidFunctions` with all faults instead, and for bindings that it does not run.
 */
export function defineFunctions(
  registered: readonly RegisteredFunction[],
  context: DefinitionContext,
): FunctionDefinition[] {
  const faults: string[] = [];
  const definitions: FunctionDefinition[] = [];
  for (const one of registered) {
    const reader = new BindingReader(one.metadata, context);
    const definition = reader.read(one.callback);
    faults.push(...reader.faults);
    if (definition) definitions.push(definition);
  }
  faults.push(...clashes(definitions));
  if (faults.length > 0) {
    throw new HostError('invalidFunctions', `The app's functions cannot be run:\n${faults.join('\n')}`);
  }
  return definitions;
}

/** Reads the bindings of one function and collects what is wrong with them. */
class BindingReader {
  readonly faults: string[] = [];
  readonly #metadata: FunctionMetadata;
  readonly #context: DefinitionContext;

  constructor(metadata: FunctionMetadata, context: DefinitionContext) {
    this.#metadata = metadata;
    this.#context = context;
  }

  read(callback: FunctionCallback): FunctionDefinition | undefined {
    const { name, bindings } = this.#metadata;
    if (!FUNCTION_NAME.test(name) || name.toLowerCase() === 'host') this.#fault('this is not a valid function name');
    if (typeof callback !== 'function') this.#fault('it has no handler');
    const outputs: StorageOutput[] = [];
    let trigger: Trigger | undefined;
    for (const [binding, info] of Object.entries(bindings)) {
      if (!BINDING_NAME.test(binding)) this.#fault(`the binding name '${binding}' is invalid`);
      if (/trigger$/i.test(info.type)) trigger = this.#trigger(binding, info);
      else if (info.direction === 'in') this.#fault(`input bindings (${info.type}) do not run locally`);
      else outputs.push(...this.#output(binding, info));
    }
    const retry = this.#retry(this.#metadata.retryOptions, trigger);
    if (!trigger || this.faults.length > 0) return undefined;
    return { name, trigger, outputs, retry, metadata: this.#metadata, callback };
  }

  #trigger(binding: string, info: BindingInfo): Trigger | undefined {
    switch (info.type.toLowerCase()) {
      case 'httptrigger':
        return this.#http(binding, info);
      case 'timertrigger':
        return this.#timer(binding, info);
      case 'queuetrigger':
        return this.#queue(binding, info);
      default:
        this.#fault(`triggers of type ${info.type} do not run locally`);
        return undefined;
    }
  }

  #http(binding: string, info: BindingInfo): HttpTrigger | undefined {
    const options = this.#parse(httpOptions, info);
    if (!options) return undefined;
    const own = options.route ?? this.#metadata.name;
    if (/^admin(\/|$)/i.test(own)) this.#fault(`the route '${own}' is reserved: it starts with admin/`);
    const prefix = this.#context.routePrefix;
    const route = this.#attempt(() => {
      parseTemplate(own);
      return parseTemplate([prefix, own].filter((part) => part !== '').join('/'));
    });
    if (this.#metadata.bindings['$return']?.type.toLowerCase() !== 'http') {
      this.#fault('locally an HTTP function answers with what it returns, so `return` must be left as it is');
    }
    return route && { type: 'http', binding, authLevel: options.authLevel, methods: options.methods, route };
  }

  #timer(binding: string, info: BindingInfo): TimerTrigger | undefined {
    const options = this.#parse(timerOptions, info);
    if (!options) return undefined;
    const schedule = this.#attempt(() => parseSchedule(this.#setting(options.schedule)));
    return schedule && { type: 'timer', binding, ...options, schedule };
  }

  #queue(binding: string, info: BindingInfo): QueueTrigger | undefined {
    const options = this.#parse(queueOptions, info);
    if (!options) return undefined;
    this.#connection(options.connection);
    const queueName = this.#setting(options.queueName);
    if (!QUEUE_NAME.test(queueName)) this.#fault(`'${queueName}' is not a valid queue name`);
    return { type: 'queue', binding, queueName };
  }

  #output(binding: string, info: BindingInfo): StorageOutput[] {
    const type = info.type.toLowerCase();
    if (binding === '$return' && type === 'http') return [];
    if (type === 'queue') {
      const options = this.#parse(queueOptions, info);
      if (!options) return [];
      this.#connection(options.connection);
      const target = this.#setting(options.queueName);
      if (!target.includes('{') && !QUEUE_NAME.test(target)) this.#fault(`'${target}' is not a valid queue name`);
      return [{ binding, kind: 'queue', target }];
    }
    if (type === 'blob') {
      const options = this.#parse(blobOptions, info);
      if (!options) return [];
      this.#connection(options.connection);
      const target = this.#setting(options.path);
      if (!BLOB_PATH.test(target)) this.#fault(`'${target}' is not a blob path such as container/name`);
      return [{ binding, kind: 'blob', target }];
    }
    this.#fault(`output bindings of type ${info.type} do not run locally`);
    return [];
  }

  #retry(options: RetryOptions | undefined, trigger: Trigger | undefined): RetryPolicy | undefined {
    if (!options) return undefined;
    const { maxRetryCount, delayInterval, minimumInterval, maximumInterval } = options;
    if (!Number.isInteger(maxRetryCount) || maxRetryCount < -1) this.#fault('retry.maxRetryCount must be -1 or more');
    if (trigger && trigger.type !== 'timer') {
      const where = trigger.type === 'queue' ? '; host.json says how often a message is tried' : '';
      this.#context.warn(
        `Function '${this.#metadata.name}': a retry policy does nothing on ${trigger.type} triggers${where}.`,
      );
      return undefined;
    }
    if (options.retryStrategy === 'fixedDelay' && delayInterval) {
      return { kind: 'fixedDelay', maxRetryCount, delayMs: delayInterval.seconds * 1000 };
    }
    if (options.retryStrategy === 'exponentialBackoff' && minimumInterval && maximumInterval) {
      const [minimumMs, maximumMs] = [minimumInterval.seconds * 1000, maximumInterval.seconds * 1000];
      return { kind: 'exponentialBackoff', maxRetryCount, minimumMs, maximumMs };
    }
    this.#fault(
      'a fixedDelay retry needs delayInterval, an exponentialBackoff retry minimumInterval and maximumInterval',
    );
    return undefined;
  }

  /** Storage is reached by the identity of `AzureWebJobsStorage`, the only connection that is configured locally. */
  #connection(name: string | undefined): void {
    if (name && name !== 'AzureWebJobsStorage') this.#fault(`the connection '${name}' is not AzureWebJobsStorage`);
  }

  #setting(text: string): string {
    return text.replace(/%([^%]+)%/g, (whole, name: string) => {
      const value = this.#context.settings[name];
      if (value === undefined || value === '')
        this.#fault(`'${whole}' does not resolve to a value: there is no such setting`);
      return value ?? whole;
    });
  }

  #parse<T>(schema: z.ZodType<T>, info: BindingInfo): T | undefined {
    const parsed = schema.safeParse(info);
    if (parsed.success) return parsed.data;
    for (const issue of parsed.error.issues) this.#fault(`${info.type}: ${issue.path.join('.')}: ${issue.message}`);
    return undefined;
  }

  #attempt<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      this.#fault(error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }

  #fault(text: string): void {
    this.faults.push(`- ${this.#metadata.name}: ${text}`);
  }
}

function clashes(definitions: readonly FunctionDefinition[]): string[] {
  const faults: string[] = [];
  for (const [index, one] of definitions.entries()) {
    for (const other of definitions.slice(index + 1)) {
      if (one.name.toLowerCase() === other.name.toLowerCase()) faults.push(`- ${other.name}: the name is taken`);
      if (one.trigger.type !== 'http' || other.trigger.type !== 'http') continue;
      const { methods } = one.trigger;
      const method = other.trigger.methods.find((candidate) => methods.includes(candidate));
      if (method && sameShape(one.trigger.route, other.trigger.route)) {
        faults.push(`- ${other.name}: ${method} ${other.trigger.route.text} is already the route of ${one.name}`);
      }
    }
  }
  return faults;
}
