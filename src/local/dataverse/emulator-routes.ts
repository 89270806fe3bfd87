import * as z from 'zod';
import { dumpRows } from './dump.ts';
import { dropExpired } from './elastic-rows.ts';
import type { Emulator } from './emulator.ts';
import type { Reply } from './reply.ts';
import { ruleSchema } from './rules.ts';
import { identifier } from './store.ts';

/**
 * Answers `/emulator/…`, which no real environment has: the call log, rules, webhook jobs, row counts, a dump. Open to
 * everybody on this machine, whatever the authentication; the server listens on the loopback address only.
 */
export async function routeEmulator(emulator: Emulator, method: string, url: string, body: Buffer): Promise<Reply> {
  const [, , resource = '', ...rest] = (url.split('?')[0] ?? '').split('/');
  switch (`${method} ${resource}`) {
    case 'GET calls':
      return json(200, emulator.calls.list());
    case 'DELETE calls':
      emulator.calls.clear();
      return { status: 204, headers: {} };
    case 'GET rules':
      return json(200, emulator.rules.list());
    case 'POST rules':
      return addRule(emulator, body);
    case 'DELETE rules':
      return removeRules(emulator, rest[0]);
    case 'GET events':
      return json(200, emulator.queue.jobs());
    case 'DELETE events':
      emulator.queue.clear();
      return { status: 204, headers: {} };
    case 'GET idle':
      await emulator.idle();
      return json(200, { idle: true });
    case 'GET dump':
      return emulator.turn(() => json(200, dumpRows(emulator.env.store, emulator.env.catalog)));
    case 'GET tables':
      return emulator.turn(() => countRows(emulator, rest));
    default:
      return json(404, { error: `There is no ${method} ${url}` });
  }
}

const json = (status: number, body: unknown): Reply => ({
  status,
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify(body),
});

function addRule(emulator: Emulator, body: Buffer): Reply {
  let given: unknown;
  try {
    given = JSON.parse(body.toString('utf8'));
  } catch {
    return json(400, { error: 'The body is no JSON' });
  }
  const rule = ruleSchema.safeParse(given);
  if (!rule.success) return json(400, { error: z.prettifyError(rule.error) });
  const added = emulator.rules.add(rule.data);
  return added ? json(201, added) : json(400, { error: 'There are too many rules; DELETE some first' });
}

function removeRules(emulator: Emulator, id: string | undefined): Reply {
  if (id === undefined || id === '') emulator.rules.clear();
  else if (!emulator.rules.remove(id)) return json(404, { error: `There is no rule ${id}` });
  return { status: 204, headers: {} };
}

function countRows({ env }: Emulator, [set = '', what]: readonly string[]): Reply {
  const table = env.catalog.tableOfSet(set);
  if (!table || what !== 'count') return json(404, { error: `There is no entity set ${set}` });
  env.store.ensure(table);
  if (table.isElastic) dropExpired({ env }, table);
  const row = env.store.get(`SELECT count(*) AS n FROM ${identifier(table.logicalName)}`);
  return json(200, { count: Number(row?.['n'] ?? 0) });
}
