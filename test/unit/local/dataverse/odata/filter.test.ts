import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type {
  ComparisonOperator,
  FilterExpression,
  Literal,
  Operand,
} from '../../../../../src/local/dataverse/odata/ast.ts';
import { ODataNotEmulatedError, ODataSyntaxError } from '../../../../../src/local/dataverse/odata/errors.ts';
import { parseFilter } from '../../../../../src/local/dataverse/odata/filter.ts';
import { formatFilter, formatLiteral } from '../../../../../src/local/dataverse/odata/format.ts';

const GUID = 'a41f965b-2619-4c73-8625-da31945cccc7';

/** The literal on the right of a comparison. */
function literalOf(text: string): Literal {
  const filter = parseFilter(`column eq ${text}`);
  if (filter.kind !== 'comparison' || filter.right.kind !== 'literal') throw new Error('no literal');
  return filter.right.literal;
}

/** A tree without the facts that depend on how it was written. */
const bare = (value: unknown): unknown => {
  if (value instanceof Map) return new Map([...value].map(([name, inner]) => [name, bare(inner)]));
  if (Array.isArray(value)) return value.map(bare);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([name]) => name !== 'position' && name !== 'source');
  return Object.fromEntries(kept.map(([name, inner]) => [name, bare(inner)]));
};

describe('literals', () => {
  test.each<[string, Literal]>([
    ["'O''Brien'", { kind: 'string', value: "O'Brien" }],
    ["''", { kind: 'string', value: '' }],
    [GUID.toUpperCase(), { kind: 'guid', value: GUID }],
    ['-12', { kind: 'integer', value: -12n }],
    ['9223372036854775807', { kind: 'integer', value: 9223372036854775807n }],
    ['5000000.0000', { kind: 'decimal', value: 5_000_000, text: '5000000.0000' }],
    ['1.5e-3', { kind: 'double', value: 0.0015 }],
    ['-INF', { kind: 'double', value: Number.NEGATIVE_INFINITY }],
    ['true', { kind: 'boolean', value: true }],
    ['null', { kind: 'null' }],
    ['2024-02-29', { kind: 'date', value: '2024-02-29' }],
    ['2024-01-31T10:00:00.25+02:00', { kind: 'dateTimeOffset', value: Date.UTC(2024, 0, 31, 8, 0, 0, 250) }],
    ['2024-01-31T10:00Z', { kind: 'dateTimeOffset', value: Date.UTC(2024, 0, 31, 10) }],
    [
      "Microsoft.Dynamics.CRM.OwnershipTypes'UserOwned'",
      { kind: 'enum', type: 'Microsoft.Dynamics.CRM.OwnershipTypes', value: 'UserOwned' },
    ],
  ])('%s is understood', (text, literal) => {
    expect(literalOf(text)).toEqual(literal);
  });

  test.each(['2023-02-29', '2024-01-31T10:00:00', '12abc', "guid'x'", '"x"', '!'])('%s is refused', (text) => {
    expect(() => parseFilter(`column eq ${text}`)).toThrow(ODataSyntaxError);
  });

  test('a literal keeps its place and its text', () => {
    expect(parseFilter("name eq 'A''1'")).toMatchObject({ right: { position: 8, source: "'A''1'" } });
  });
});

describe('conditions', () => {
  test('and binds closer than or, and a chain of one operator is one node', () => {
    expect(parseFilter('a eq 1 or b eq 2 and c eq 3 and d eq 4')).toMatchObject({
      kind: 'or',
      operands: [{ kind: 'comparison' }, { kind: 'and', operands: [{}, {}, {}] }],
    });
  });

  test('columns compare with each other and behind lookups', () => {
    expect(parseFilter('firstname eq primarycontactid/lastname')).toMatchObject({
      left: { segments: ['firstname'] },
      right: { segments: ['primarycontactid', 'lastname'] },
    });
  });

  test('lambdas take a variable, and any() without one asks for any row', () => {
    expect(parseFilter('Account_Tasks/all(t:t/statecode eq 1)')).toMatchObject({
      quantifier: 'all',
      collection: { segments: ['Account_Tasks'] },
      body: { variable: 't', predicate: { left: { segments: ['t', 'statecode'] } } },
    });
    expect(parseFilter('Account_Tasks/any()')).not.toHaveProperty('body');
  });

  test('Dataverse functions take named arguments and JSON arrays in either quotes', () => {
    const filter = parseFilter(`Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=["a 'b'",'c "d"'])`);
    expect(filter).toMatchObject({ kind: 'function', name: 'In' });
    expect(filter.kind === 'function' && filter.arguments.get('PropertyValues')).toMatchObject({
      literal: { kind: 'json', value: ["a 'b'", 'c "d"'] },
    });
  });

  test('JSON texts may hold escaped quotes of either kind', () => {
    expect(literalOf(String.raw`{"a":"x\"y",'b':'it\'s "\\',"c":[1.5,true,null,{}]}`)).toEqual({
      kind: 'json',
      value: { a: 'x"y', b: 'it\'s "\\', c: [1.5, true, null, {}] },
    });
  });

  test('aliases stand for columns and values, and one without a value is null', () => {
    const aliases = new Map([
      ['@p1', 'fullname'],
      ['@p2', GUID],
    ]);
    expect(parseFilter("contains(@p1,'x') and _parent_value eq @p2 or a eq @p3", aliases)).toMatchObject({
      operands: [
        { operands: [{ target: { segments: ['fullname'] } }, { right: { literal: { kind: 'guid', value: GUID } } }] },
        { right: { literal: { kind: 'null' } } },
      ],
    });
  });

  test('an alias that names itself ends in an error', () => {
    expect(() => parseFilter('a eq @p', new Map([['@p', '@p']]))).toThrow('Recursion depth exceeded');
  });
});

describe('messages', () => {
  test.each([
    ["lastname eq 'O'Bryan'", "There is an unterminated literal at position 21 in 'lastname eq 'O'Bryan''."],
    ["a eq 'x", "There is an unterminated string literal at position 7 in 'a eq 'x'."],
    ['name xyz', "Syntax error at position 8 in 'name xyz'."],
    ['name eq', "Expression expected at position 7 in 'name eq'."],
    ['!!!', "Syntax error: character '!' is not valid at position 0 in '!!!'."],
    [
      "not Microsoft.Dynamics.CRM.Today(PropertyName='createdon')",
      'Not operator along with the Custom Named Condition operators is not allowed',
    ],
    [
      "not name eq 'x'",
      "A unary operator with an incompatible type was detected. Found operand type 'Edm.String' for operator kind 'Not'.",
    ],
  ])('%s is answered as by the service', (text, message) => {
    expect(() => parseFilter(text)).toThrow(new ODataSyntaxError(message));
  });

  test('a single-quoted JSON array with a quote in a text is answered as by the service', () => {
    expect(() => parseFilter("Microsoft.Dynamics.CRM.In(PropertyName='n',PropertyValues=['O'Brian'])")).toThrow(
      "Invalid JSON. A comma character ',' was expected in scope 'Array'",
    );
  });

  test.each(['a in (1,2)', 'a add 1 eq 2', "tolower(a) eq 'x'", 'a/$count gt 1'])(
    '%s is told to be not emulated',
    (text) => {
      expect(() => parseFilter(text)).toThrow(ODataNotEmulatedError);
    },
  );

  test.each(['(', 'not ', '-', 'a/any(x:', '[', 'contains('])(
    'a hundred thousand times "%s" is refused quickly',
    (piece) => {
      expect(() => parseFilter(piece.repeat(100_000))).toThrow(ODataSyntaxError);
    },
  );

  test('whatever is sent, the answer is a tree or an error of its own', () => {
    const piece = fc.constantFrom(
      'a',
      ' eq ',
      "'",
      '(',
      ')',
      ' and ',
      'not ',
      '/',
      'any',
      ':',
      ',',
      '1',
      '@p',
      '[',
      '"',
      '$',
      '.',
      '\u{1F600}',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        try {
          parseFilter(pieces.join(''), new Map([['@p', 'b']]));
        } catch (error) {
          expect(error instanceof ODataSyntaxError || error instanceof ODataNotEmulatedError).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });
});

const KEYWORDS = new Set(
  'not and or eq ne gt ge lt le in has add sub mul div mod divby any all null true false'.split(' '),
);
const name = fc.stringMatching(/^[a-z_][a-z0-9_]{0,8}$/).filter((text) => !KEYWORDS.has(text));
const literal: fc.Arbitrary<Literal> = fc.oneof(
  fc.constant<Literal>({ kind: 'null' }),
  fc.string({ unit: 'grapheme' }).map((value): Literal => ({ kind: 'string', value })),
  fc.uuid().map((value): Literal => ({ kind: 'guid', value })),
  fc.boolean().map((value): Literal => ({ kind: 'boolean', value })),
  fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n).map((value): Literal => ({ kind: 'integer', value })),
  fc.stringMatching(/^-?\d{1,9}\.\d{1,5}$/).map((text): Literal => ({ kind: 'decimal', value: Number(text), text })),
  fc.double().map((value): Literal => ({ kind: 'double', value })),
  fc
    .integer({ min: -62_135_596_800_000, max: 253_402_300_799_999 })
    .map((value): Literal => ({ kind: 'dateTimeOffset', value })),
  fc
    .date({ min: new Date('0001-01-01Z'), max: new Date('9999-12-31Z'), noInvalidDate: true })
    .map((date): Literal => ({ kind: 'date', value: date.toISOString().slice(0, 10) })),
  fc.tuple(name, fc.string()).map(([type, value]): Literal => ({ kind: 'enum', type: `Space.${type}`, value })),
  fc.array(fc.string({ unit: 'grapheme' })).map((value): Literal => ({ kind: 'json', value })),
);
const path = fc
  .array(name, { minLength: 1, maxLength: 3 })
  .map((segments): Operand & { kind: 'path' } => ({ kind: 'path', segments, position: 0 }));
const operand: fc.Arbitrary<Operand> = fc.oneof(
  path,
  literal.map((value): Operand => ({ kind: 'literal', literal: value, source: '', position: 0 })),
);
const { filter } = fc.letrec<{ filter: FilterExpression }>((tie) => ({
  filter: fc.oneof(
    { depthSize: 'small' },
    fc.record({
      kind: fc.constant('comparison' as const),
      operator: fc.constantFrom<ComparisonOperator[]>('eq', 'ne', 'gt', 'ge', 'lt', 'le'),
      left: operand,
      right: operand,
      position: fc.constant(0),
    }),
    fc.record({
      kind: fc.constant('text' as const),
      function: fc.constantFrom('contains' as const, 'startswith' as const, 'endswith' as const),
      target: operand,
      search: operand,
      position: fc.constant(0),
    }),
    fc.record({
      kind: fc.constant('function' as const),
      name: fc.constantFrom('In', 'Between', 'Today'),
      arguments: fc
        .dictionary(name, operand, { maxKeys: 3, noNullPrototype: true })
        .map((values) => new Map(Object.entries(values))),
      position: fc.constant(0),
    }),
    fc.tuple(path, fc.constantFrom('any' as const, 'all' as const), name, tie('filter')).map(
      ([collection, quantifier, variable, predicate]): FilterExpression => ({
        kind: 'lambda',
        quantifier,
        collection,
        body: { variable, predicate },
        position: 0,
      }),
    ),
    tie('filter')
      .filter((inner) => inner.kind !== 'function')
      .map((inner): FilterExpression => ({ kind: 'not', operand: inner, position: 0 })),
    fc
      .tuple(fc.constantFrom('and' as const, 'or' as const), fc.array(tie('filter'), { minLength: 2, maxLength: 4 }))
      .map(([kind, operands]): FilterExpression => ({ kind, operands })),
    operand.map((inner): FilterExpression => ({ kind: 'truth', operand: inner, position: 0 })),
  ),
}));

describe('the way back', () => {
  test('every literal is read as it was written', () => {
    fc.assert(
      fc.property(literal, (value) => {
        expect(literalOf(formatLiteral(value))).toEqual(value);
      }),
    );
  });

  test('every filter is read as it was written', () => {
    fc.assert(
      fc.property(filter, (tree) => {
        expect(bare(parseFilter(formatFilter(tree)))).toEqual(bare(tree));
      }),
    );
  });
});
