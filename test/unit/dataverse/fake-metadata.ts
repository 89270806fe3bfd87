import { DataverseError } from '../../../src/dataverse/errors.ts';
import type { Metadata } from '../../../src/dataverse/metadata.ts';
import type { Column, Navigation, Table } from '../../../src/dataverse/table.ts';

/** A column that can be written. */
export const column = (logicalName: string, type: string, more: Partial<Column> = {}): Column => ({
  logicalName,
  type,
  validForCreate: true,
  validForUpdate: true,
  ...more,
});

interface Fake {
  readonly columns?: readonly Column[];
  readonly keys?: readonly (readonly string[])[];
  readonly navigations?: readonly Navigation[];
}

/** Definitions that a test has written down; tables in `closed` are there and may not be touched. */
export function fakeMetadata(fakes: Readonly<Record<string, Fake>>, closed: readonly string[] = []): Metadata {
  const tables = new Map(Object.entries(fakes).map(([name, fake]) => [name, { table: tableOf(name, fake), fake }]));
  const assertAllowed = (name: string): void => {
    if (closed.includes(name)) throw new DataverseError('tableNotAllowed', `not '${name}'`);
  };
  const find = (name: string) => {
    assertAllowed(name);
    const found = tables.get(name) ?? [...tables.values()].find(({ table }) => table.entitySetName === name);
    if (!found) throw new DataverseError('tableUnknown', `no '${name}'`);
    return found;
  };
  return {
    shape: async (name) => find(name).table,
    table: async (name) => find(name).table,
    navigations: async (name, which) => {
      const all = find(name).fake.navigations ?? [];
      const wanted = all.filter(({ collection }) => which === 'all' || !collection);
      return new Map(wanted.map((each) => [each.property, each]));
    },
    assertAllowed,
    noteVersion: () => {},
    forget: () => {},
  };
}

const tableOf = (name: string, { columns = [], keys = [] }: Fake): Table => ({
  logicalName: name,
  entitySetName: `${name}s`,
  primaryId: `${name}id`,
  primaryName: 'name',
  columns: new Map([column(`${name}id`, 'Uniqueidentifier'), ...columns].map((each) => [each.logicalName, each])),
  keys: keys.map((each) => ({ logicalName: `${each.join('_')}_key`, columns: each, status: 'Active' })),
});
