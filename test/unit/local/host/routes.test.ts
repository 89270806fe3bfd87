import { describe, expect, test } from 'vitest';
import { byPrecedence, matchTemplate, parseTemplate, pathSegments } from '../../../../src/local/host/routes.ts';

const match = (route: string, path: string) => matchTemplate(parseTemplate(route), pathSegments(path) ?? []);

describe('a route template', () => {
  test.each([
    ['tables', '/tables', {}],
    ['tables', '/TABLES/', {}],
    ['Tables/{table}', '/tables/Account', { table: 'Account' }],
    ['tables/{table?}', '/tables', {}],
    ['tables/{table?}', '/tables/lead', { table: 'lead' }],
    ['files/{*path}', '/files/a/b.txt', { path: 'a/b.txt' }],
    ['files/{**path}', '/files', {}],
    ['rows/{id:int}', '/rows/-12', { id: '-12' }],
    ['rows/{id:long}', '/rows/9223372036854775807', { id: '9223372036854775807' }],
    ['rows/{id:guid}', '/rows/2c5e0f3a-0000-0000-0000-00000000beef', { id: '2c5e0f3a-0000-0000-0000-00000000beef' }],
    ['rows/{id:guid?}', '/rows', {}],
    ['flags/{on:bool}', '/flags/True', { on: 'True' }],
    ['words/{word:alpha}', '/words/Abc', { word: 'Abc' }],
    ['', '/', {}],
    ['tables/{table}', "/tables/name='A%20B'", { table: "name='A B'" }],
    ['tables/{table}', '/tables/100%2525', { table: '100%25' }],
  ])('%s matches %s', (route, path, values) => {
    expect(match(route, path)).toEqual(values);
  });

  test.each([
    ['tables', '/tables/account'],
    ['tables/{table}', '/tables'],
    ['tables/{table}', '/tables/a/b'],
    ['tables/{table}/rows', '/tables//rows'],
    ['rows/{id:int}', '/rows/12a'],
    ['rows/{id:int}', '/rows/2147483648'],
    ['rows/{id:guid}', '/rows/2c5e0f3a'],
    ['words/{word:alpha}', '/words/a1'],
  ])('%s does not match %s', (route, path) => {
    expect(match(route, path)).toBeUndefined();
  });

  test('sees an encoded slash as two segments, as Azure does', () => {
    expect(match('tables/{table}', '/tables/a%2Fb')).toBeUndefined();
    expect(match('tables/{table}/{row}', '/tables/a%2fb')).toEqual({ table: 'a', row: 'b' });
  });

  test.each([
    ['/tables', 'must not start with'],
    ['a//b', 'empty segment'],
    ['a/{x}/{X}', 'twice'],
    ['{x?}/b', 'must be the last segment'],
    ['{*x}/b', 'must be the last segment'],
    ['a/{x}.{y}', 'not supported'],
    ['a/{x=1}', 'not supported'],
    ['a/file-{x}', 'not supported'],
    ['a/{x:minlength(2)}', "constraint 'minlength(2)' is not supported"],
    ['a/{x:toString}', "constraint 'toString' is not supported"],
  ])('%s is refused', (route, reason) => {
    expect(() => parseTemplate(route)).toThrow(reason);
  });
});

test('literals come before constrained parameters, those before free ones, and the rest of a path comes last', () => {
  const routes = ['a/{*rest}', 'a/{x}', 'a/{x:int}/b', 'a/new', 'a/{x:int}', '{x}/new', 'a'].map(parseTemplate);
  expect(routes.sort(byPrecedence).map(({ text }) => text)).toEqual([
    'a',
    'a/new',
    'a/{x:int}',
    'a/{x:int}/b',
    'a/{x}',
    'a/{*rest}',
    '{x}/new',
  ]);
});

test('a malformed percent-encoding has no segments', () => {
  expect(pathSegments('/a/%E0%A4%A')).toBeUndefined();
});
