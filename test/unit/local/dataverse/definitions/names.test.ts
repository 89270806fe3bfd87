import fc from 'fast-check';
import { expect, test } from 'vitest';
import { plural, schemaName } from '../../../../../src/local/dataverse/definitions/names.ts';
import { WireError } from '../../../../../src/local/dataverse/errors.ts';

test('only letters, digits and underscores behind a customization prefix pass', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'grapheme' }),
        fc.string().map((text) => `new_${text}`),
      ),
      (text) => {
        const isName = /^(?!mscrm|sqlite_)[A-Za-z][A-Za-z0-9]{1,7}_[A-Za-z0-9_]+$/i.test(text) && text.length <= 50;
        if (isName) expect(schemaName(text, 'Attribute')).toBe(text);
        else expect(() => schemaName(text, 'Attribute')).toThrow(WireError);
      },
    ),
    { numRuns: 300 },
  );
});

test('a name has the prefix of its solution', () => {
  expect(schemaName('Cont_Code', 'Attribute', 'cont')).toBe('Cont_Code');
  expect(() => schemaName('new_Code', 'Attribute', 'cont')).toThrow('must start with a valid customization prefix');
  for (const text of ['new_', '_new', 'a_b', 'toolongprefix_x', 'mscrm_x', 'sqlite_x', undefined, 7, {}]) {
    expect(() => schemaName(text, 'Entity')).toThrow(WireError);
  }
});

test('sets are named by the English plural', () => {
  const names = ['new_account', 'new_city', 'new_day', 'new_box', 'new_bus', 'new_branch', 'new_dish'];
  expect(names.map(plural)).toEqual([
    'new_accounts',
    'new_cities',
    'new_days',
    'new_boxes',
    'new_buses',
    'new_branches',
    'new_dishes',
  ]);
});
