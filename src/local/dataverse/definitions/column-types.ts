import { invalidArgument, notEmulated } from '../errors.ts';
import { isJsonObject } from '../json-object.ts';
import type { Definition } from '../metadata.ts';
import { isWritten, localChoice, referencedChoice } from './choice-sets.ts';
import type { ColumnDraft } from './column-draft.ts';
import { englishLabel, keptLabel, managed } from './customize.ts';
import { invalidTextFormat, maxLengthOutOfRange, rangeOutOfRange } from './errors.ts';

interface ColumnType {
  /** `AttributeType` and `AttributeTypeName`. */
  readonly code: string;
  readonly name: string;
  /** The properties that only this type has, with the service's defaults. Throws WireError. */
  specifics(draft: ColumnDraft): Definition;
}

const INT32 = { min: -(2 ** 31), max: 2 ** 31 - 1 };
const DECIMAL_LIMIT = 100_000_000_000;
const MONEY_LIMIT = 922_337_203_685_477;
const TEXT_MAX = 4000;
const TICKER_MAX = 10;
const MEMO_MAX = 1_048_576;
const TEXT_FORMATS = [
  'Email',
  'Json',
  'Phone',
  'PhoneticGuide',
  'RichText',
  'Text',
  'TextArea',
  'TickerSymbol',
  'Url',
  'VersionNumber',
];
const MEMO_FORMATS = ['Email', 'InternalExtentData', 'Json', 'RichText', 'Text', 'TextArea'];
/** Formats that are newer than the enumeration behind `Format`. */
const NEW_FORMATS = new Set(['Json', 'Phone', 'RichText']);

/** By the name of the definition's type: those that can be made by themselves. */
export const COLUMN_TYPES: ReadonlyMap<string, ColumnType> = new Map<string, ColumnType>([
  [
    'StringAttributeMetadata',
    { code: 'String', name: 'StringType', specifics: (draft) => text(draft, TEXT_MAX, 100, TEXT_FORMATS) },
  ],
  [
    'MemoAttributeMetadata',
    { code: 'Memo', name: 'MemoType', specifics: (draft) => text(draft, MEMO_MAX, 2000, MEMO_FORMATS) },
  ],
  ['IntegerAttributeMetadata', { code: 'Integer', name: 'IntegerType', specifics: integer }],
  ['BigIntAttributeMetadata', { code: 'BigInt', name: 'BigIntType', specifics: bigInteger }],
  [
    'DecimalAttributeMetadata',
    { code: 'Decimal', name: 'DecimalType', specifics: (draft) => number(draft, DECIMAL_LIMIT, 10) },
  ],
  [
    'DoubleAttributeMetadata',
    { code: 'Double', name: 'DoubleType', specifics: (draft) => number(draft, DECIMAL_LIMIT, 5) },
  ],
  ['MoneyAttributeMetadata', { code: 'Money', name: 'MoneyType', specifics: money }],
  ['BooleanAttributeMetadata', { code: 'Boolean', name: 'BooleanType', specifics: boolean }],
  ['DateTimeAttributeMetadata', { code: 'DateTime', name: 'DateTimeType', specifics: dateTime }],
  ['PicklistAttributeMetadata', { code: 'Picklist', name: 'PicklistType', specifics: choice }],
  ['MultiSelectPicklistAttributeMetadata', { code: 'Virtual', name: 'MultiSelectPicklistType', specifics: choice }],
]);

const memberValue = (property: unknown): unknown => (isJsonObject(property) ? property['Value'] : undefined);

function given<Default>({ written }: ColumnDraft, name: string, fallback: Default): unknown | Default {
  return written.properties.get(name) ?? fallback;
}

function numberOf(draft: ColumnDraft, name: string, fallback: number): number {
  const value = given(draft, name, fallback);
  return typeof value === 'number' ? value : fallback;
}

/** What the platform computes is another matter than what is written. */
function formula(draft: ColumnDraft): Definition {
  if (given(draft, 'FormulaDefinition', '') !== '') throw notEmulated('A computed column (FormulaDefinition)');
  return { FormulaDefinition: null, SourceTypeMask: 0 };
}

function text(draft: ColumnDraft, max: number, fallback: number, formats: readonly string[]): Definition {
  const isMemo = max === MEMO_MAX;
  const written = memberValue(draft.written.properties.get('FormatName')) ?? draft.written.properties.get('Format');
  const format = written ?? (isMemo ? 'TextArea' : 'Text');
  if (!formats.some((one) => one === format)) throw invalidTextFormat(format, draft.schemaName.toLowerCase());
  const limit = format === 'TickerSymbol' ? TICKER_MAX : max;
  const length = numberOf(draft, 'MaxLength', Math.min(fallback, limit));
  if (length < 1 || length > limit) throw maxLengthOutOfRange(length, draft.schemaName.toLowerCase(), limit);
  const shared = {
    Format: NEW_FORMATS.has(String(format)) ? (isMemo ? 'TextArea' : 'Text') : format,
    FormatName: { Value: format },
    ImeMode: given(draft, 'ImeMode', 'Auto'),
    MaxLength: length,
    IsLocalizable: given(draft, 'IsLocalizable', false),
  };
  return isMemo ? shared : { ...shared, YomiOf: null, DatabaseLength: 2 * length, ...formula(draft) };
}

function range(draft: ColumnDraft, limits: { min: number; max: number }): { MinValue: number; MaxValue: number } {
  const MinValue = numberOf(draft, 'MinValue', limits.min);
  const MaxValue = numberOf(draft, 'MaxValue', limits.max);
  if (MinValue < limits.min || MaxValue > limits.max || MinValue > MaxValue) {
    throw rangeOutOfRange(draft.schemaName.toLowerCase(), draft.id, [MinValue, MaxValue], limits.max);
  }
  return { MinValue, MaxValue };
}

function integer(draft: ColumnDraft): Definition {
  return { Format: given(draft, 'Format', 'None'), ...range(draft, INT32), ...formula(draft) };
}

/** Limits other than those of the type itself are the platform's; they are kept as text, since they are exact. */
function bigInteger(): Definition {
  return { MinValue: '-9223372036854775808', MaxValue: '9223372036854775807' };
}

function precision(draft: ColumnDraft, max: number): number {
  const value = numberOf(draft, 'Precision', 2);
  if (value < 0 || value > max) {
    throw invalidArgument(`The precision ${value} of ${draft.schemaName} is not between 0 and ${max}.`);
  }
  return value;
}

const number = (draft: ColumnDraft, limit: number, digits: number): Definition => ({
  ImeMode: given(draft, 'ImeMode', 'Auto'),
  ...range(draft, { min: -limit, max: limit }),
  Precision: precision(draft, digits),
  ...formula(draft),
});

function money(draft: ColumnDraft): Definition {
  const source = numberOf(draft, 'PrecisionSource', 2);
  if (![0, 1, 2].includes(source)) throw invalidArgument(`The precision source ${source} is not between 0 and 2.`);
  return {
    CalculationOf: draft.current?.['CalculationOf'] ?? null,
    ImeMode: given(draft, 'ImeMode', 'Disabled'),
    ...range(draft, { min: -MONEY_LIMIT, max: MONEY_LIMIT }),
    Precision: precision(draft, 4),
    PrecisionSource: source,
    IsBaseCurrency: draft.current?.['IsBaseCurrency'] ?? false,
    ...formula(draft),
  };
}

function dateTime(draft: ColumnDraft): Definition {
  const behavior = memberValue(draft.written.properties.get('DateTimeBehavior')) ?? 'UserLocal';
  if (!['UserLocal', 'DateOnly', 'TimeZoneIndependent'].some((one) => one === behavior)) {
    throw invalidArgument(`The behavior ${behavior} of ${draft.schemaName} is not known.`);
  }
  const format = given(draft, 'Format', behavior === 'DateOnly' ? 'DateOnly' : 'DateAndTime');
  if (behavior === 'DateOnly' && format !== 'DateOnly') {
    throw invalidArgument(`The behavior DateOnly of ${draft.schemaName} needs the format DateOnly.`);
  }
  const before = memberValue(draft.current?.['DateTimeBehavior']) ?? behavior;
  const may = memberValue(draft.current?.['CanChangeDateTimeBehavior']) ?? true;
  if (before !== behavior && (may !== true || before !== 'UserLocal')) {
    throw invalidArgument(`The behavior of ${draft.schemaName} cannot be changed.`);
  }
  return {
    Format: format,
    ImeMode: given(draft, 'ImeMode', 'Inactive'),
    // It can be changed once, from UserLocal (documented).
    CanChangeDateTimeBehavior: managed('canmodifybehavior', behavior === 'UserLocal'),
    DateTimeBehavior: { Value: behavior },
    ...formula(draft),
  };
}

function boolean(draft: ColumnDraft): Definition {
  return {
    DefaultValue: given(draft, 'DefaultValue', false),
    ...(draft.current
      ? { OptionSet: draft.current['OptionSet'] }
      : { OptionSet: referencedChoice(draft) ?? booleanSet(draft) }),
    ...formula(draft),
  };
}

function booleanSet(draft: ColumnDraft): Definition {
  const { change, written, table, schemaName } = draft;
  const set = written.properties.get('OptionSet');
  const properties = isWritten(set) ? set.properties : undefined;
  const option = (name: string, value: number, text: string): Definition => {
    const own = properties?.get(name);
    const label = isJsonObject(own) ? own['Label'] : undefined;
    return {
      MetadataId: null,
      Value: value,
      Label: label ? keptLabel(change, label) : englishLabel(change.work, text),
    };
  };
  return {
    MetadataId: change.work.env.newId(),
    Name: `${table}_${schemaName.toLowerCase()}`,
    IsGlobal: false,
    IsCustomOptionSet: true,
    OptionSetType: 'Boolean',
    TrueOption: option('TrueOption', 1, 'Yes'),
    FalseOption: option('FalseOption', 0, 'No'),
  };
}

function choice(draft: ColumnDraft): Definition {
  // Options have actions of their own; a changed definition leaves them alone.
  const set = draft.current ? draft.current['OptionSet'] : (referencedChoice(draft) ?? localChoice(draft));
  const defaultValue = numberOf(draft, 'DefaultFormValue', -1);
  const options = isJsonObject(set) && Array.isArray(set['Options']) ? set['Options'].filter(isJsonObject) : [];
  if (defaultValue !== -1 && !options.some((option) => option['Value'] === defaultValue)) {
    throw invalidArgument(`The default ${defaultValue} of ${draft.schemaName} is none of its options.`);
  }
  return {
    DefaultFormValue: defaultValue,
    OptionSet: set,
    ParentEnumAttributeLogicalName: null,
    ParentPicklistLogicalName: null,
    ChildPicklistLogicalNames: [],
    ...formula(draft),
  };
}
