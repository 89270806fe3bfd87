import { styleText } from 'node:util';
import * as z from 'zod';
import type { ConnectionTest } from '../../health/connection-test.ts';
import { RIGHTS } from '../../health/needs.ts';
import type { Stage } from '../../health/stages.ts';

/** Colours a text by what it means, or leaves it as it is. */
export interface Painter {
  good(text: string): string;
  bad(text: string): string;
  doubtful(text: string): string;
  quiet(text: string): string;
}

export function createPainter(colour: boolean): Painter {
  const paint =
    (style: 'green' | 'red' | 'yellow' | 'dim') =>
    (text: string): string =>
      colour ? styleText(style, text, { validateStream: false }) : text;
  return { good: paint('green'), bad: paint('red'), doubtful: paint('yellow'), quiet: paint('dim') };
}

/** Prints a test as text: a line for each stage, under it what to look at and what to do. */
export function printTest(test: ConnectionTest, painter: Painter, print: (line: string) => void): void {
  print(`Connection ${test.connection}${test.environment === undefined ? '' : ` (${test.environment})`}`);
  for (const stage of test.stages) {
    print(`  ${stage.name.padEnd(10)} ${statusOf(stage, painter)} ${String(stage.ms).padStart(5)} ms  ${stage.detail}`);
    for (const line of tableOf(stage)) print(painter.quiet(`${INDENT}${line}`));
    for (const warning of stage.warnings ?? []) print(painter.doubtful(`${INDENT}! ${warning}`));
    if (stage.hint !== undefined) print(`${INDENT}→ ${stage.hint}`);
  }
  print(
    test.status === 'passed' ? painter.good('The connection works.') : painter.bad('The connection does not work.'),
  );
  print('');
}

const INDENT = ' '.repeat(13);

function statusOf({ status }: Stage, painter: Painter): string {
  const text = status.padEnd(7);
  if (status === 'passed') return painter.good(text);
  return status === 'failed' ? painter.bad(text) : painter.quiet(text);
}

const right = z.object({ needed: z.boolean(), granted: z.string(), verdict: z.string() });
const privilegeFacts = z.object({
  tables: z.array(
    z.object({ table: z.string(), rights: z.record(z.enum(RIGHTS), right), notTried: z.string().optional() }),
  ),
});

const WIDTH = 16;

/** The privileges by table: how far each is granted, with what is to be said of it. */
function tableOf(stage: Stage): string[] {
  if (stage.name !== 'privileges') return [];
  const facts = privilegeFacts.safeParse(stage.facts ?? {});
  if (!facts.success || facts.data.tables.length === 0) return [];
  const width = Math.max(...facts.data.tables.map(({ table }) => table.length)) + 2;
  const rows = facts.data.tables.map(({ table, rights }) =>
    [
      table.padEnd(width),
      ...RIGHTS.map((name) => `${rights[name].granted} ${rights[name].verdict}`.padEnd(WIDTH)),
    ].join(''),
  );
  const notTried = facts.data.tables.flatMap(({ table, notTried: why }) =>
    why === undefined ? [] : [`${table}: ${why}.`],
  );
  return [[''.padEnd(width), ...RIGHTS.map((name) => name.padEnd(WIDTH))].join(''), ...rows, ...notTried].map((row) =>
    row.trimEnd(),
  );
}
