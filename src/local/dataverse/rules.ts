import * as z from 'zod';
import type { NewId } from '../../shared/ids.ts';
import { WireError } from './errors.ts';
import { PASSING_FAULTS, type PassingFault, passingError } from './overload-errors.ts';
import { jsonReply, type Reply } from './reply.ts';
import type { OperationFacts } from './request.ts';
import type { Sending } from './sending.ts';
import type { StoredValue } from './store.ts';

const count = z.int().min(0).max(1_000_000_000);

const rowFaultSchema = z
  .strictObject({
    /** Logical names. */
    table: z.string(),
    column: z.string(),
    /** Part of the text that is written. */
    contains: z.string().min(1).max(1000).optional(),
    /** All of it; numbers and booleans as in JSON, a lookup's id. */
    equals: z.union([z.string().max(1000), z.number(), z.boolean()]).optional(),
    status: z.int().min(400).max(599).default(400),
    code: z
      .string()
      .regex(/^0x[0-9a-f]{8}$/i)
      .default('0x80040265'),
    message: z.string().max(2000).default('A plug-in has refused the row.'),
  })
  .refine((fault) => (fault.contains === undefined) !== (fault.equals === undefined), {
    error: 'one of contains and equals is needed',
  });

type RowFault = z.infer<typeof rowFaultSchema>;

const action = z.union([
  z.strictObject({
    status: z.int().min(200).max(599),
    headers: z.record(z.string(), z.string()).optional(),
    /** Text as it is, anything else as JSON. */
    body: z.unknown().optional(),
  }),
  /** Waits before anything is done, or before the answer. */
  z.strictObject({ delayMs: z.int().min(0).max(600_000), when: z.enum(['before', 'after']).default('before') }),
  /** Closes the connection: before anything is done, once it is committed, or in the middle of the answer. */
  z.strictObject({ reset: z.enum(['before', 'after', 'body']) }),
  /** A gateway's page instead of the service's answer. */
  z.strictObject({ html: z.int().min(200).max(599) }),
  /** An error of the service that passes by itself, or one of its limits. */
  z.strictObject({
    fault: z.enum(PASSING_FAULTS),
    retryAfterSeconds: z.int().min(1).max(3600).default(5),
  }),
  /** Leaves off the rest of the answer behind so many parts of a multipart body, or bytes of any. */
  z.strictObject({
    truncate: z.union([z.strictObject({ parts: count }), z.strictObject({ bytes: count })]),
    end: z.enum(['clean', 'reset']).default('clean'),
  }),
  /** Sends the answer's body in pieces. */
  z.strictObject({
    trickle: z.strictObject({ pieces: z.int().min(1).max(1000), pauseMs: z.int().min(0).max(60_000) }),
  }),
  /** Refuses rows as a plug-in would: every operation that writes such a row fails, alone, in a batch or in bulk. */
  z.strictObject({ rowFault: rowFaultSchema }),
]);

/** What `POST /emulator/rules` takes. */
export const ruleSchema = z
  .strictObject({
    match: z
      .strictObject({
        method: z.string().optional(),
        /** Part of the path with its query as it is sent; between slashes (`/…/`) a regular expression. */
        path: z.string().max(500).refine(isPattern, 'is no regular expression').optional(),
        table: z.string().optional(),
        message: z.string().optional(),
      })
      .default({}),
    /** How often it acts; without end when left out. */
    times: z.int().min(1).optional(),
    /** How many matching requests pass before it acts. */
    after: z.int().min(0).default(0),
    action,
  })
  .refine((rule) => !('rowFault' in rule.action) || Object.keys(rule.match).length === 0, {
    error: 'a rowFault looks at rows and takes no match',
    path: ['match'],
  });

export type RuleAction = z.infer<typeof action>;

export interface Rule extends z.infer<typeof ruleSchema> {
  readonly id: string;
  /** Requests that matched so far. */
  seen: number;
  /** Requests that it acted on. */
  acted: number;
}

/** A request as rules see it. */
export interface RuledRequest {
  readonly method: string;
  /** From the host, with its query. */
  readonly path: string;
  /** Whether it is an operation inside a `$batch`. */
  readonly inBatch?: boolean;
}

/** What rules make of a request. */
export interface Intervention {
  /** How long it waits before it is done, in milliseconds. */
  readonly delayMs: number;
  /** How long its answer is put off. */
  readonly lateMs: number;
  /** What is answered in the place of doing it. */
  readonly reply?: Reply;
  /** The connection is reset: before anything is done, or once it is committed. */
  readonly reset?: 'before' | 'after';
  /** How the answer is spoilt on its way. */
  readonly sending?: Sending;
}

/** Rules at the same time. */
const RULES_MAX = 1000;

export function createRules(newId: NewId) {
  let rules: Rule[] = [];
  const acts = (rule: Rule): boolean => {
    rule.seen += 1;
    if (rule.seen <= rule.after || rule.acted >= (rule.times ?? Number.POSITIVE_INFINITY)) return false;
    rule.acted += 1;
    return true;
  };
  return {
    /** Answers undefined when there are too many rules already. */
    add(rule: z.infer<typeof ruleSchema>): Rule | undefined {
      if (rules.length >= RULES_MAX) return undefined;
      const added = { ...rule, id: newId(), seen: 0, acted: 0 };
      rules.push(added);
      return added;
    },
    list: (): readonly Rule[] => rules,
    clear(): void {
      rules = [];
    },
    remove(id: string): boolean {
      const before = rules.length;
      rules = rules.filter((rule) => rule.id !== id);
      return rules.length < before;
    },
    /** The first rule in force for a request acts; delays of other rules come with it. */
    intervene(request: RuledRequest, facts: OperationFacts): Intervention {
      const found: RuleAction[] = [];
      for (const rule of rules) {
        if (!matches(rule, request, facts)) continue;
        if (found.some((one) => !('delayMs' in one)) && !('delayMs' in rule.action)) continue;
        if (acts(rule)) found.push(rule.action);
      }
      return interventionOf(found);
    },
    /** Throws WireError when a rule refuses to have these values written into a row. */
    checkRow(table: string, values: ReadonlyMap<string, StoredValue>): void {
      for (const rule of rules) {
        if (!('rowFault' in rule.action)) continue;
        const { rowFault } = rule.action;
        if (rowFault.table !== table || !isHit(rowFault, values.get(rowFault.column))) continue;
        if (acts(rule)) throw new WireError(rowFault.status, rowFault.code, rowFault.message);
      }
    },
  };
}

export type Rules = ReturnType<typeof createRules>;

function interventionOf(actions: readonly RuleAction[]): Intervention {
  const delay = (when: 'before' | 'after'): number =>
    actions.reduce((sum, one) => sum + ('delayMs' in one && one.when === when ? one.delayMs : 0), 0);
  const delays = { delayMs: delay('before'), lateMs: delay('after') };
  const action = actions.find((one) => !('delayMs' in one));
  if (!action) return delays;
  const sending = sendingOf(action);
  if (sending) return { ...delays, sending };
  if ('reset' in action && action.reset !== 'body') return { ...delays, reset: action.reset };
  const reply = inventedReply(action);
  return reply ? { ...delays, reply } : delays;
}

function sendingOf(action: RuleAction): Sending | undefined {
  if ('truncate' in action) return { kind: 'cut', after: action.truncate, end: action.end };
  if ('trickle' in action) return { kind: 'trickle', ...action.trickle };
  return 'reset' in action && action.reset === 'body' ? { kind: 'cut', after: 'half', end: 'reset' } : undefined;
}

function isHit({ contains, equals }: RowFault, value: StoredValue | undefined): boolean {
  if (contains !== undefined) return typeof value === 'string' && value.includes(contains);
  return value === (typeof equals === 'boolean' ? Number(equals) : equals);
}

function matches({ match, action }: Rule, request: RuledRequest, facts: OperationFacts): boolean {
  if ('rowFault' in action) return false;
  // Only whole answers travel.
  if (request.inBatch && sendingOf(action)) return false;
  if (match.method !== undefined && match.method.toUpperCase() !== request.method) return false;
  if (match.table !== undefined && match.table !== facts.table) return false;
  if (match.message !== undefined && match.message !== facts.message) return false;
  return match.path === undefined || pathMatches(match.path, request.path);
}

const expressionIn = (pattern: string): string | undefined => /^\/(.+)\/$/.exec(pattern)?.[1];

function isPattern(pattern: string): boolean {
  try {
    return new RegExp(expressionIn(pattern) ?? '') !== undefined;
  } catch {
    return false;
  }
}

function pathMatches(pattern: string, path: string): boolean {
  const expression = expressionIn(pattern);
  return expression === undefined ? path.includes(pattern) : new RegExp(expression).test(path);
}

/** What a rule answers in the place of the service; undefined for one that only delays or resets. */
function inventedReply(action: RuleAction): Reply | undefined {
  if ('html' in action) {
    const page = `<!DOCTYPE html><html><head><title>${action.html}</title></head><body><h1>Service unavailable</h1></body></html>`;
    return { status: action.html, headers: { 'Content-Type': 'text/html' }, body: page };
  }
  if ('fault' in action) return faultReply(action.fault, action.retryAfterSeconds);
  if (!('status' in action)) return undefined;
  const text = typeof action.body === 'string' ? action.body : JSON.stringify(action.body);
  const type = typeof action.body === 'string' ? 'text/plain' : 'application/json; odata.metadata=minimal';
  return {
    status: action.status,
    headers: { ...(text === undefined ? {} : { 'Content-Type': type }), ...action.headers },
    ...(text === undefined ? {} : { body: text }),
  };
}

function faultReply(fault: PassingFault, retryAfterSeconds: number): Reply {
  const { status, serviceCode, message, headers } = passingError(fault, retryAfterSeconds);
  return jsonReply(status, { error: { code: serviceCode, message } }, headers);
}
