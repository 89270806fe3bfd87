import { expect } from 'vitest';
import { type Answer, type CallOptions, linesOf, type TestApp } from '../../support/app.ts';

export const CSV = 'text/csv';
export const NDJSON = 'application/x-ndjson';
export const JSON_TYPE = 'application/json';

let prefixes = 0;
/** A prefix for keys that no other test of the file has. */
export const prefix = (): string => {
  prefixes += 1;
  return `W${prefixes}-`;
};

/** Accounts `<prefix>0` to `<prefix><count - 1>` as CSV. */
export const csv = (p: string, count: number, name = 'Name'): string =>
  ['accountnumber,name', ...Array.from({ length: count }, (_, at) => `${p}${at},${name} ${at}`)].join('\n');

/** Upserts accounts by account number. */
export const upserting =
  (app: () => TestApp) =>
  (type: string, body: CallOptions['body'] & {}, query = '', headers: Record<string, string> = {}) =>
    app().call('POST', `tables/account/upsert?keyColumns=accountnumber${query}`, { type, body, headers });

/** What Dataverse holds of accounts whose numbers start so, by account number. */
export const storedIn =
  (app: () => TestApp) =>
  async (start: string): Promise<Record<string, { id: string; name: string | null }>> => {
    const path = `accounts?$select=accountnumber,name&$filter=startswith(accountnumber,'${start}')`;
    const { value } = (await app().admin('GET', path)).json;
    return Object.fromEntries(
      value.map((row: Record<string, string>) => [row['accountnumber'], { id: row['accountid'], name: row['name'] }]),
    );
  };

/** The answer's lines, after a look at what must hold of every answer. */
export function settled(answer: Answer) {
  expect(answer.status, answer.text).toBe(200);
  const { rows, summary, problem } = linesOf(answer);
  expect(problem).toBeUndefined();
  const total = Object.values<number>(summary.counts).reduce((sum, count) => sum + count, 0);
  expect(summary.input).toBe(total);
  expect(rows).toHaveLength(total);
  expect(rows.map(({ index }) => index)).toEqual(rows.map((_, at) => at));
  for (const [outcome, count] of Object.entries(summary.counts)) {
    expect(rows.filter((row) => row.outcome === outcome)).toHaveLength(count as number);
  }
  return { rows, summary, outcomes: rows.map(({ outcome }) => outcome) };
}
