import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { noExperience } from '../../src/dataverse/bulk/effort.ts';
import { keyStrategy, matchStrategy } from '../../src/dataverse/bulk/keys.ts';
import type { RowOutcome } from '../../src/dataverse/bulk/outcomes.ts';
import { type BulkSupport, createBulkSupport } from '../../src/dataverse/bulk/support.ts';
import { type RowToWrite, type WriteContext, writeRows } from '../../src/dataverse/bulk/write-rows.ts';
import { createDataverseClient } from '../../src/dataverse/client.ts';
import { createMetadata } from '../../src/dataverse/metadata.ts';
import { createPace } from '../../src/dataverse/pace.ts';
import { newMeter } from '../../src/dataverse/request.ts';
import { poolTransport } from '../../src/dataverse/transport.ts';
import { startDataverse } from '../../src/local/dataverse/server.ts';
import { systemClock } from '../../src/shared/clock.ts';

/** A writer in front of the emulator, as a connection puts it together. */
async function openWriter() {
  const dataverse = await startDataverse({ auth: { kind: 'none' }, keyStepMs: 1, log: () => undefined });
  const { origin, pathname: apiPath } = new URL(dataverse.apiUrl);
  const { transport, close } = poolTransport(origin, 4);
  const clock = systemClock;
  const pace = createPace({ clock, maxConcurrency: 4 });
  const client = createDataverseClient({
    apiUrl: dataverse.apiUrl,
    tokens: () => 'none',
    transport,
    clock,
    pace,
    random: () => 0,
    newId: randomUUID,
  });
  const metadata = createMetadata({ client, apiPath, newId: randomUUID, allowedTables: undefined, clock });
  const support = createBulkSupport(client);
  const call = async (method: string, path: string, body?: unknown): Promise<Record<string, unknown>> => {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(new URL(path, dataverse.apiUrl), {
      method,
      headers,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw new Error(await answer.text());
    const text = await answer.text();
    return text === '' ? {} : JSON.parse(text);
  };
  return {
    metadata,
    call,
    async rule(rule: unknown): Promise<void> {
      await call('POST', '/emulator/rules', rule);
    },
    /** Messages that the environment has answered since the last look. */
    async messages(): Promise<string[]> {
      const list = (await call('GET', '/emulator/calls')) as unknown;
      if (!Array.isArray(list)) throw new Error('The call log is no list.');
      return list.filter(({ inBatch }) => !inBatch).map(({ message }) => String(message));
    },
    async write(
      context: Pick<WriteContext, 'table' | 'strategy'> & Partial<WriteContext>,
      rows: readonly RowToWrite[],
    ): Promise<RowOutcome[]> {
      const all = {
        client,
        apiPath,
        clock,
        pace,
        support,
        newId: randomUUID,
        meter: newMeter(),
        mode: 'upsert',
      } as const;
      const source = (async function* () {
        yield rows;
      })();
      const outcomes: RowOutcome[] = [];
      for await (const outcome of writeRows({ ...all, random: () => 0, ...context }, source)) outcomes.push(outcome);
      return outcomes;
    },
    async close(): Promise<void> {
      await close();
      await dataverse.close();
    },
  };
}

let writer: Awaited<ReturnType<typeof openWriter>>;

beforeAll(async () => {
  writer = await openWriter();
  const key = (table: string, ...KeyAttributes: string[]) =>
    writer.call('POST', `EntityDefinitions(LogicalName='${table}')/Keys`, {
      SchemaName: `new_${KeyAttributes.join('')}`,
      DisplayName: { LocalizedLabels: [{ Label: 'Key', LanguageCode: 1033 }] },
      KeyAttributes,
    });
  await key('account', 'accountnumber');
  await key('account', 'tickersymbol', 'primarycontactid');
  await writer.call('GET', '/emulator/idle');
});
beforeEach(async () => {
  await writer.call('DELETE', '/emulator/rules');
  await writer.call('DELETE', '/emulator/calls');
});
afterAll(() => writer.close());

const row = (index: number, key: RowToWrite['key'], values: RowToWrite['values']): RowToWrite => ({
  index,
  key,
  values,
  newId: randomUUID(),
});
const kinds = (outcomes: readonly RowOutcome[]) => outcomes.map(({ outcome, error }) => error?.code ?? outcome);
const byNumber = async () => {
  const table = await writer.metadata.table('account', { keyColumns: ['accountnumber'] });
  return { table, strategy: keyStrategy(table, ['accountnumber']) };
};

describe('rows', () => {
  test('are found and made by a key with a lookup and characters that no address carries', async () => {
    const contactid = randomUUID();
    await writer.call('POST', 'contacts', { contactid, lastname: 'Key' });
    const columns = ['tickersymbol', 'primarycontactid'];
    const table = await writer.metadata.table('account', { columns, keyColumns: columns });
    const by = { table, strategy: keyStrategy(table, columns) };
    const key = (tickersymbol: string) => ({ tickersymbol, primarycontactid: contactid });
    const rows = [row(0, key("A/'%&?"), { name: 'One' }), row(1, key('B'), { name: 'Two' })];
    expect(kinds(await writer.write(by, rows))).toEqual(['created', 'created']);
    const again = rows.map((each) => ({ ...each, newId: randomUUID() }));
    const outcomes = await writer.write(by, again);
    expect(kinds(outcomes)).toEqual(['updated', 'updated']);
    expect(outcomes.map(({ id }) => id)).toEqual(rows.map(({ newId }) => newId));
  });

  test('are matched by a column without a key', async () => {
    const table = await writer.metadata.table('account');
    const by = { table, strategy: matchStrategy(table, ['name']) };
    for (const name of ['Match twice', 'match twice', 'Match once']) await writer.call('POST', 'accounts', { name });
    const rows = ['match ONCE', 'Match twice', 'Match never'].map((name, at) => row(at, { name }, { telephone1: '1' }));
    expect(kinds(await writer.write(by, rows))).toEqual(['updated', 'ambiguousKey', 'created']);
  });

  test('go out without a look-up as UpsertMultiple by key, and bad ones are told all the same', async () => {
    const by = await byNumber();
    const rows = Array.from({ length: 60 }, (_, at) => row(at, { accountnumber: `D${at}` }, { name: `Direct ${at}` }));
    rows[33] = row(33, { accountnumber: 'D33' }, { name: 'x'.repeat(161) });
    const outcomes = await writer.write({ ...by, resolve: false }, rows);
    expect(kinds(outcomes)).toEqual(rows.map((_, at) => (at === 33 ? '0x80044331' : 'updated')));
    const messages = await writer.messages();
    expect(messages).toContain('UpsertMultiple');
    expect(messages.filter((each) => each === 'RetrieveMultiple')).toEqual([]);
  });

  test('of a table without bulk messages travel in a $batch', async () => {
    const table = await writer.metadata.table('team');
    const unit = (
      (await writer.call('GET', 'businessunits?$select=businessunitid'))['value'] as Record<string, string>[]
    )[0];
    const values = { 'businessunitid@odata.bind': `/businessunits(${unit?.['businessunitid']})`, teamtype: 0 };
    const rows = [0, 1].map((at) => row(at, { id: randomUUID() }, { ...values, name: `Team ${at}` }));
    expect(kinds(await writer.write({ table, strategy: { kind: 'id' } }, rows))).toEqual(['created', 'created']);
    expect(await writer.messages()).toContain('Batch');
    expect(await writer.messages()).not.toContain('CreateMultiple');
  });

  test('that are known to be so are not sent', async () => {
    const by = await byNumber();
    const first = row(0, { accountnumber: 'KNOWN' }, { name: 'Same', telephone1: '1' });
    await writer.write(by, [first]);
    await writer.call('DELETE', '/emulator/calls');
    const known = { id: first.newId, known: first.values };
    const same = { ...first, ...known, newId: randomUUID() };
    const other = { ...same, index: 1, values: { name: 'Same', telephone1: '2' } };
    expect(kinds(await writer.write(by, [same, other]))).toEqual(['unchanged', 'updated']);
    expect(await writer.messages()).toEqual(['UpdateMultiple']);
  });
});

describe('an answer that is lost', () => {
  test.each(['before', 'after'])('%s the commit of a create leaves each row once, and created', async (reset) => {
    const by = await byNumber();
    await writer.rule({ match: { message: 'CreateMultiple' }, times: 1, action: { reset } });
    const rows = Array.from({ length: 20 }, (_, at) => row(at, { accountnumber: `${reset}${at}` }, { name: 'Lost' }));
    // As the first write, which sends few rows in one call.
    const support: BulkSupport = {
      of: async () => ({ bulk: true, batch: true }),
      experience: (_, limits) => noExperience(limits),
    };
    const outcomes = await writer.write({ ...by, mode: 'create', support }, rows);
    expect(outcomes.map(({ outcome, id }) => [outcome, id])).toEqual(rows.map(({ newId }) => ['created', newId]));
    const creates = (await writer.messages()).filter((each) => each === 'CreateMultiple');
    expect(creates.length).toBeLessThanOrEqual(reset === 'after' ? 2 : 3);
  });

  test('after the commit of a deletion leaves it a deletion', async () => {
    const by = await byNumber();
    const rows = [0, 1, 2].map((at) => row(at, { accountnumber: `GONE${at}` }, { name: 'Gone' }));
    await writer.write(by, rows);
    await writer.rule({ match: { path: '$batch' }, times: 1, action: { reset: 'after' } });
    expect(kinds(await writer.write({ ...by, mode: 'delete' }, rows))).toEqual(['deleted', 'deleted', 'deleted']);
    expect(kinds(await writer.write({ ...by, mode: 'delete' }, rows))).toEqual(['notFound', 'notFound', 'notFound']);
  });
});
