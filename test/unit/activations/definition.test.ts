import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseDefinition } from '../../../src/activations/definition.ts';
import { ActivationError, type DefinitionFault } from '../../../src/activations/errors.ts';
import { definition } from './world.ts';

function faultsOf(body: unknown, name = 'companies'): readonly DefinitionFault[] {
  try {
    parseDefinition(name, body);
  } catch (error) {
    if (error instanceof ActivationError && error.code === 'definitionInvalid') return error.faults;
    throw error;
  }
  throw new Error('The definition was accepted.');
}

describe('a definition', () => {
  test('is the sample as it is published, without a change', () => {
    const file = new URL('../../../src/local/sample/nasdaq-accounts.json', import.meta.url);
    const sample: unknown = JSON.parse(readFileSync(file, 'utf8'));
    expect(parseDefinition('nasdaq-accounts', sample)).toMatchObject({
      ...(sample as object),
      mapping: { name: { from: 'company', truncate: true } },
    });
  });

  test('has defaults for what may be left out', () => {
    expect(parseDefinition('companies', definition())).toMatchObject({
      connection: 'default',
      model: 'select * from source',
      source: { take: 'newest' },
      mode: 'upsert',
      nulls: 'ignore',
      deletes: { kind: 'none', maxShare: 0.1 },
    });
  });

  test('is told all of its faults at once, each with its path', () => {
    const faults = faultsOf({
      ...definition({ table: 'Account', nulls: 'drop', colour: 'red', mode: 'delete' }),
      key: { kind: 'alternateKey', columns: [] },
      schedule: { cron: 'every day', timeZone: 'UTC' },
    });
    expect(faults.map((fault) => fault.path).sort()).toEqual([
      'colour',
      'key.columns',
      'mode',
      'nulls',
      'schedule.cron',
      'table',
    ]);
  });

  test.each([
    ['source.kind', { source: { kind: 'sql', path: 'inbox/a.csv' } }],
    ['source.take', { source: { kind: 'blob', path: 'inbox/a.csv', take: 'all' } }],
    ['deletes.kind', { deletes: { kind: 'delete', maxShare: 0.1 } }],
    ['mode', { mode: 'delete' }],
  ])('says that another %s is not available yet', (path, changes) => {
    expect(faultsOf(definition(changes))).toEqual([
      expect.objectContaining({ path, message: expect.stringContaining('in this version') }),
    ]);
  });

  test.each(['activations/runs/*.json', 'azure-webjobs-hosts/x', 'inbox', '*/a.csv'])('cannot read from %s', (path) => {
    expect(faultsOf(definition({ source: { kind: 'blob', path } })).map((fault) => fault.path)).toEqual([
      'source.path',
    ]);
  });

  test('maps every column of its key and carries the name that it is stored under', () => {
    for (const kind of ['alternateKey', 'match']) {
      const changes = { key: { kind, columns: ['accountnumber', 'country'] } };
      expect(faultsOf(definition(changes)).map((fault) => fault.path)).toEqual(['key.columns.1']);
    }
    expect(faultsOf(definition({ key: { kind: 'name' } })).map((fault) => fault.path)).toEqual(['key.kind']);
    expect(faultsOf(definition(), 'others').map((fault) => fault.path)).toEqual(['name']);
  });
});
