import { expect, test } from 'vitest';
import { nearest } from '../../../src/shared/nearest.ts';

const NAMES = ['name', 'telephone1', 'telephone2', 'accountnumber', 'websiteurl'];

test.each([
  ['nmae', ['name']],
  ['nam', ['name']],
  ['Name', ['name']],
  ['telefone1', ['telephone1', 'telephone2']],
  ['acountnumber', ['accountnumber']],
  ['url', []],
  ['', []],
  ['x'.repeat(10_000), []],
])('%s is near %j', (name, near) => {
  expect(nearest(name, NAMES)).toEqual(near);
});
