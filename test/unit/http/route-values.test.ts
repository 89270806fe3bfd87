import fc from 'fast-check';
import { expect, test } from 'vitest';
import { routeValues } from '../../../src/http/route-values.ts';

const values = (route: string, path: string) => routeValues(route, new URL(`http://localhost${path}`));

test.each([
  ['connections/{connection}/test', '/api/connections/default/test', { connection: 'default' }],
  ['connections/{connection}/test', '/some/prefix/Connections/default/TEST', { connection: 'default' }],
  ['connections/{connection}/test', '/connections/default/test/', { connection: 'default' }],
  ['activations/{name}/runs/{run}', '/api/activations/a/runs/1', { name: 'a', run: '1' }],
  ['tables/{table}/upsert', '/api/tables/a%20b%C3%A9/upsert?table=lead', { table: 'a bé' }],
  ['tables/{table}/upsert', '/api/tables/__proto__/upsert', { table: '__proto__' }],
  ['health', '/api/health', {}],
])('%s takes from %s what it names', (route, path, expected) => {
  expect({ ...values(route, path) }).toEqual(expected);
});

test.each([
  ['connections/{connection}/test', '/test'],
  ['connections/{connection}/test', '/api/connections/default/tests'],
  ['tables/{table}/upsert', '/api/tables/%E0%A4%A/upsert'],
])('%s does not fit %s', (route, path) => {
  expect(values(route, path)).toBeUndefined();
});

test('a value comes back as it was put into the path', () => {
  const segment = fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => text !== '.' && text !== '..');
  fc.assert(
    fc.property(segment, (text) => {
      expect(values('tables/{table}/upsert', `/api/tables/${encodeURIComponent(text)}/upsert`)?.['table']).toBe(text);
    }),
  );
});
