import { badQuery, notEmulated, WireError } from '../errors.ts';
import { isJsonObject } from '../json-object.ts';
import type { Definition } from '../metadata.ts';
import type { FilterExpression, Literal, Operand, PropertyPath } from '../odata/ast.ts';
import type { Work } from '../work.ts';
import { type DefinitionType, ENUMERATIONS, navigationTarget, type PropertyKind } from './types.ts';

type Comparison = Extract<FilterExpression, { kind: 'comparison' }>;

/** Whether a definition fulfils a `$filter`. Throws WireError 400 where the filter does not fit the type. */
export function holds(work: Work, type: DefinitionType, definition: Definition, filter: FilterExpression): boolean {
  switch (filter.kind) {
    case 'and':
      return filter.operands.map((operand) => holds(work, type, definition, operand)).every(Boolean);
    case 'or':
      return filter.operands.map((operand) => holds(work, type, definition, operand)).some(Boolean);
    case 'not':
      return !holds(work, type, definition, filter.operand);
    case 'truth':
      return truth(type, definition, filter.operand);
    case 'comparison':
      return compare(type, definition, filter);
    case 'text':
      return textHolds(work, type, definition, filter);
    case 'function':
      throw functionNotSupported(filter.name);
    case 'lambda':
      throw notEmulated('A lambda in a filter of definitions');
  }
}

/** Recorded text and code; most reports of it say 501, some 400. */
const functionNotSupported = (name: string) =>
  new WireError(501, '0x8006088a', `The "${name}" function isn't supported for Metadata Entities.`);

function truth(type: DefinitionType, definition: Definition, operand: Operand): boolean {
  if (operand.kind === 'literal') return operand.literal.kind === 'boolean' && operand.literal.value;
  const { kind, value } = read(type, definition, operand);
  if (kind !== 'boolean') throw badQuery('The $filter expression must evaluate to a single boolean value.');
  return value === true;
}

function textHolds(
  work: Work,
  type: DefinitionType,
  definition: Definition,
  filter: Extract<FilterExpression, { kind: 'text' }>,
): boolean {
  if (work.env.assumptions.definitionTextFilters === 'refused') throw functionNotSupported(filter.function);
  if (filter.target.kind !== 'path' || filter.search.kind !== 'literal')
    throw badQuery('A column and a text are expected.');
  const { kind, value } = read(type, definition, filter.target);
  const { literal } = filter.search;
  if (kind !== 'text' || literal.kind !== 'string') throw mismatch(kind, literal.kind);
  const [text, search] = [String(value ?? '').toLowerCase(), literal.value.toLowerCase()];
  if (filter.function === 'contains') return text.includes(search);
  return filter.function === 'startswith' ? text.startsWith(search) : text.endsWith(search);
}

function compare(type: DefinitionType, definition: Definition, { operator, left, right }: Comparison): boolean {
  const [a, b] = [operandOf(type, definition, left), operandOf(type, definition, right)];
  checkTypes(a, b);
  if (operator === 'eq') return a.value === b.value;
  if (operator === 'ne') return a.value !== b.value;
  if (a.value === null || b.value === null) return false;
  const order = compareValues(a.value, b.value);
  if (operator === 'gt') return order > 0;
  if (operator === 'ge') return order >= 0;
  return operator === 'lt' ? order < 0 : order <= 0;
}

/** Nulls first, numbers by size, everything else by its text. */
export function compareValues(a: unknown, b: unknown): number {
  if (a === b) return 0;
  if (a === null) return -1;
  if (b === null) return 1;
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return String(a) < String(b) ? -1 : 1;
}

interface Typed {
  /** An OData kind: `text`, `number`, `boolean`, `guid`, `time`, `null` or `enum X`. */
  readonly kind: string;
  readonly value: unknown;
}

const operandOf = (type: DefinitionType, definition: Definition, operand: Operand): Typed =>
  operand.kind === 'path' ? read(type, definition, operand) : plain(operand.literal);

/** Reads a path; complex values are compared by their `Value`, labels not at all (documented). */
function read(type: DefinitionType, definition: Definition, { segments }: PropertyPath): Typed {
  const [name = '', member, ...rest] = segments;
  const kind = type.properties.get(name);
  if (kind === undefined) {
    throw badQuery(`Could not find a property named '${name}' on type 'Microsoft.Dynamics.CRM.${type.name}'.`);
  }
  if (navigationTarget(kind)) throw notEmulated(`A path through ${name} in a filter of definitions`);
  const value = definition[name] ?? null;
  if (member === undefined) {
    const plainKind = plainKindOf(kind);
    if (plainKind === undefined) throw badQuery(`The property '${name}' is of a complex type and cannot be compared.`);
    return { kind: plainKind, value };
  }
  const inner = rest.length === 0 ? memberKind(kind, member) : undefined;
  if (inner === undefined) throw badQuery(`The path '${segments.join('/')}' cannot be compared.`);
  return { kind: inner, value: (isJsonObject(value) ? value[member] : undefined) ?? null };
}

function plainKindOf(kind: PropertyKind): string | undefined {
  if (kind === 'integer' || kind === 'long' || kind === 'number') return 'number';
  if (kind === 'text' || kind === 'boolean' || kind === 'guid' || kind === 'time') return kind;
  return kind.startsWith('enum ') ? kind : undefined;
}

function memberKind(kind: PropertyKind, member: string): string | undefined {
  if (member === 'Value') {
    if (kind === 'managed') return 'boolean';
    if (kind === 'required') return 'enum AttributeRequiredLevel';
    return kind === 'named' ? 'text' : undefined;
  }
  if (kind !== 'managed' && kind !== 'required') return undefined;
  if (member === 'CanBeChanged') return 'boolean';
  return member === 'ManagedPropertyLogicalName' ? 'text' : undefined;
}

function plain(literal: Literal): Typed {
  switch (literal.kind) {
    case 'null':
      return { kind: 'null', value: null };
    case 'string':
      return { kind: 'text', value: literal.value };
    case 'integer':
      return { kind: 'number', value: Number(literal.value) };
    case 'decimal':
    case 'double':
      return { kind: 'number', value: literal.value };
    case 'boolean':
    case 'guid':
      return { kind: literal.kind, value: literal.value };
    case 'date':
    case 'dateTimeOffset':
      return { kind: 'time', value: new Date(literal.value).toISOString().replace('.000Z', 'Z') };
    case 'enum':
      return enumeration(literal);
    case 'json':
      throw badQuery('An array or object cannot be compared.');
  }
}

function enumeration({ type, value }: Extract<Literal, { kind: 'enum' }>): Typed {
  const name = type.replace(/^(?:Microsoft\.Dynamics\.CRM|mscrm)\./, '');
  const members = ENUMERATIONS.get(name);
  if (!members) throw badQuery(`The type '${type}' could not be resolved.`);
  if (!members.includes(value)) throw badQuery(`The string '${value}' is not a valid enumeration type constant.`);
  return { kind: `enum ${name}`, value };
}

const EDM: Readonly<Record<string, string>> = {
  text: 'Edm.String',
  number: 'Edm.Int32',
  boolean: 'Edm.Boolean',
  guid: 'Edm.Guid',
  time: 'Edm.DateTimeOffset',
};

const edmName = (kind: string): string =>
  EDM[kind] ?? (kind.startsWith('enum ') ? `Microsoft.Dynamics.CRM.${kind.slice(5)}` : kind);

const mismatch = (left: string, right: string) =>
  badQuery(
    `A binary operator with incompatible types was detected. Found operand types '${edmName(left)}' and ` +
      `'${edmName(right)}' for operator kind 'Equal'.`,
  );

function checkTypes(a: Typed, b: Typed): void {
  if (a.kind !== b.kind && a.kind !== 'null' && b.kind !== 'null') throw mismatch(a.kind, b.kind);
}
