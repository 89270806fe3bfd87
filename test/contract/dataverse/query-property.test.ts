import fc from 'fast-check';
import { expect, test } from 'vitest';
import { startDataverse } from '../../../src/local/dataverse/server.ts';
import { newGuid } from '../../../src/shared/ids.ts';
import { fakeClock } from '../../support/clock.ts';
import { type Call, client } from './environment.ts';
import { type Account, accounts, filters, NOW, type Row, sortings } from './query-model.ts';

/** Runs `work` on an emulator that holds the accounts and what is below them; the rows are told by their ids. */
async function withRows(given: readonly Account[], work: (call: Call, rows: Map<string, Row>) => Promise<void>) {
  const faults: string[] = [];
  const dataverse = await startDataverse({
    auth: { kind: 'none' },
    clock: fakeClock(NOW),
    log: (line) => faults.push(line),
  });
  try {
    const call = client(dataverse.apiUrl);
    await work(call, await fill(call, given));
    expect(faults).toEqual([]);
  } finally {
    await dataverse.close();
  }
}

async function fill(call: Call, given: readonly Account[]): Promise<Map<string, Row>> {
  const all = given.flatMap(({ contacts }) => contacts);
  const contactIds = new Map(all.map((contact) => [contact, newGuid()]));
  const rows = new Map<string, Row>();
  const targets: Record<'account' | 'contact' | 'task', Record<string, unknown>[]> = {
    account: [],
    contact: [],
    task: [],
  };
  const later: { accountid: string; contact: string }[] = [];
  for (const account of given) {
    const { primary, contacts, lastonholdtime, ...columns } = account;
    const accountid = newGuid();
    const primarycontact = primary === null ? undefined : all[primary];
    rows.set(accountid, { ...account, primarycontact });
    targets.account.push({
      accountid,
      ...columns,
      lastonholdtime: lastonholdtime === null ? null : new Date(lastonholdtime).toISOString(),
    });
    if (primarycontact) later.push({ accountid, contact: contactIds.get(primarycontact) ?? '' });
    for (const contact of contacts) {
      const { tasks, ...others } = contact;
      const contactid = contactIds.get(contact) ?? '';
      targets.contact.push({ contactid, ...others, 'parentcustomerid_account@odata.bind': `/accounts(${accountid})` });
      for (const { subject } of tasks) {
        targets.task.push({ subject, 'regardingobjectid_contact_task@odata.bind': `/contacts(${contactid})` });
      }
    }
  }
  for (const table of ['account', 'contact', 'task'] as const) {
    await bulk(call, table, 'CreateMultiple', targets[table]);
  }
  const bound = later.map(({ accountid, contact }) => ({
    accountid,
    'primarycontactid@odata.bind': `/contacts(${contact})`,
  }));
  await bulk(call, 'account', 'UpdateMultiple', bound);
  return rows;
}

async function bulk(call: Call, table: string, message: string, targets: readonly Record<string, unknown>[]) {
  if (targets.length === 0) return;
  const type = { '@odata.type': `Microsoft.Dynamics.CRM.${table}` };
  const answer = await call('POST', `${table}s/Microsoft.Dynamics.CRM.${message}`, {
    Targets: targets.map((target) => ({ ...type, ...target })),
  });
  if (answer.status >= 300) throw new Error(answer.text);
}

const idsIn = (value: readonly { accountid: string }[]): string[] => value.map(({ accountid }) => accountid);

test('a filter finds what the documentation says, whatever it is', { timeout: 30_000 }, async () => {
  const runs = fc.asyncProperty(
    accounts,
    fc.array(filters, { minLength: 30, maxLength: 30 }),
    async (given, conditions) => {
      await withRows(given, async (call, rows) => {
        for (const { text, holds } of conditions) {
          const answer = await call('GET', `accounts?$select=accountid&$filter=${encodeURIComponent(text)}`);
          if (answer.status !== 200) throw new Error(`${text}: ${answer.text}`);
          const wanted = [...rows].filter(([, row]) => holds(row)).map(([id]) => id);
          expect({ text, found: idsIn(answer.json.value) }).toEqual({ text, found: wanted.sort() });
        }
      });
    },
  );
  await fc.assert(runs, { numRuns: 5, endOnFailure: true });
});

test('pages hold every row of a filter once, in its order', { timeout: 30_000 }, async () => {
  const query = fc.record({ filter: fc.option(filters), sorting: sortings, size: fc.integer({ min: 1, max: 4 }) });
  const runs = fc.asyncProperty(accounts, fc.array(query, { minLength: 8, maxLength: 8 }), async (given, queries) => {
    await withRows(given, async (call, rows) => {
      for (const { filter, sorting, size } of queries) {
        const condition = filter ? `&$filter=${encodeURIComponent(filter.text)}` : '';
        const found: string[] = [];
        let next: string | undefined =
          `accounts?$select=accountid&$expand=primarycontactid($select=lastname)&$orderby=${sorting.text}${condition}`;
        while (next !== undefined) {
          const answer = await call('GET', next, undefined, { Prefer: `odata.maxpagesize=${size}` });
          if (answer.status !== 200) throw new Error(`${next}: ${answer.text}`);
          expect(answer.json.value.length).toBeLessThanOrEqual(size);
          found.push(...idsIn(answer.json.value));
          next = answer.json['@odata.nextLink'];
        }
        const wanted = [...rows]
          .filter(([, row]) => filter?.holds(row) ?? true)
          .sort(([a, one], [b, other]) => sorting.compare(one, other) || (a < b ? -1 : 1))
          .map(([id]) => id);
        expect({ order: sorting.text, filter: filter?.text, found }).toEqual({
          order: sorting.text,
          filter: filter?.text,
          found: wanted,
        });
      }
    });
  });
  await fc.assert(runs, { numRuns: 4, endOnFailure: true });
});

test('rows that are deleted or made between two pages change nothing for the others', async () => {
  const account = { name: 'x', description: null, revenue: 1, numberofemployees: null, donotemail: false };
  const given = Array.from({ length: 9 }, () => ({
    ...account,
    industrycode: null,
    lastonholdtime: null,
    primary: null,
    contacts: [],
  }));
  await withRows(given, async (call, rows) => {
    const ids = [...rows.keys()].sort();
    const found: string[] = [];
    let next: string | undefined = 'accounts?$select=accountid&$orderby=name desc,revenue';
    for (let page = 0; next !== undefined; page += 1) {
      const { json } = await call('GET', next, undefined, { Prefer: 'odata.maxpagesize=3' });
      found.push(...idsIn(json.value));
      next = json['@odata.nextLink'];
      if (page > 0) continue;
      // The last row of the page, one of the next page, and one that sorts before all.
      await call('DELETE', `accounts(${ids[2]})`);
      await call('DELETE', `accounts(${ids[4]})`);
      await call('POST', 'accounts', { name: 'y' });
    }
    expect(found).toEqual(ids.filter((_, index) => index !== 4));
  });
});
