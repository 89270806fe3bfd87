import { z } from 'zod';
import type { NewId } from '../../shared/ids.ts';
import type { Reply } from './reply.ts';
import type { OperationFacts } from './request.ts';

const action = z.union([
  z.strictObject({
    status: z.int().min(200).max(599),
    headers: z.record(z.string(), z.string()).optional(),
    /** Text as it is, anything else as JSON. */
    body: z.unknown().optional(),
  }),
  z.strictObject({ delayMs: z.int().min(0).max(600_000) }),
  /** Closes the connection: before anything is done, or once it is committed. */
  z.strictObject({ reset: z.enum(['before', 'after']) }),
  /** A gateway's page instead of the service's answer. */
  z.strictObject({ html: z.int().min(200).max(599) }),
]);

/** What `POST /emulator/rules` takes. */
export const ruleSchema = z.strictObject({
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
});

export type RuleAction = z.infer<typeof action>;

export interface Rule extends z.infer<typeof ruleSchema> {
  readonly id: string;
  /** Requests that matched so far. */
  seen: number;
  /** Requests that it acted on. */
  acted: number;
}

/** What rules make of a request. */
export interface Intervention {
  /** How long its answer is put off, in milliseconds. */
  readonly delayMs: number;
  /** What is answered in the place of doing it. */
  readonly reply?: Reply;
  /** The connection is reset: before anything is done, or once it is committed. */
  readonly reset?: 'before' | 'after';
}

export function createRules(newId: NewId) {
  let rules: Rule[] = [];
  return {
    add(rule: z.infer<typeof ruleSchema>): Rule {
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
    /** The first rule in force for a request acts; delays of other rules come with it. `path`: from the host. */
    intervene(request: { method: string; path: string }, facts: OperationFacts): Intervention {
      const found: RuleAction[] = [];
      for (const rule of rules) {
        if (!matches(rule, request, facts)) continue;
        if (found.some((one) => !('delayMs' in one)) && !('delayMs' in rule.action)) continue;
        rule.seen += 1;
        if (rule.seen <= rule.after || rule.acted >= (rule.times ?? Number.POSITIVE_INFINITY)) continue;
        rule.acted += 1;
        found.push(rule.action);
      }
      return interventionOf(found);
    },
  };
}

export type Rules = ReturnType<typeof createRules>;

function interventionOf(actions: readonly RuleAction[]): Intervention {
  const delayMs = actions.reduce((sum, one) => sum + ('delayMs' in one ? one.delayMs : 0), 0);
  const action = actions.find((one) => !('delayMs' in one));
  if (!action) return { delayMs };
  if ('reset' in action) return { delayMs, reset: action.reset };
  const reply = inventedReply(action);
  return reply ? { delayMs, reply } : { delayMs };
}

function matches({ match }: Rule, request: { method: string; path: string }, facts: OperationFacts): boolean {
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
  if (!('status' in action)) return undefined;
  const text = typeof action.body === 'string' ? action.body : JSON.stringify(action.body);
  const type = typeof action.body === 'string' ? 'text/plain' : 'application/json; odata.metadata=minimal';
  return {
    status: action.status,
    headers: { ...(text === undefined ? {} : { 'Content-Type': type }), ...action.headers },
    ...(text === undefined ? {} : { body: text }),
  };
}
