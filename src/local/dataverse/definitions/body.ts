import { badPayload, notConvertible, notPrimitive, textTooLong } from '../errors.ts';
import { isJsonObject } from '../json-object.ts';
import type { Definition } from '../metadata.ts';
import { jsonObjectBody, type Operation } from '../request.ts';
import { undeclaredProperty, unresolvedType } from './errors.ts';
import {
  type DefinitionType,
  definitionType,
  ENUMERATIONS,
  isKindOf,
  navigationTarget,
  type PropertyKind,
  typeNamed,
} from './types.ts';

/** UNCONFIRMED: how long a label may be. */
const LABEL_MAX = 4000;
const BIND = '@odata.bind';

/** A definition as a request wrote it: only what its type knows, with values of the right kinds. */
export interface WrittenDefinition {
  readonly type: DefinitionType;
  readonly properties: ReadonlyMap<string, unknown>;
  /** URLs of `…@odata.bind`, by property. */
  readonly binds: ReadonlyMap<string, string>;
}

/** The body of an operation as a definition of `expected` or a type that derives from it. Throws WireError 400. */
export function readDefinitionBody(operation: Operation, expected: DefinitionType, cast?: DefinitionType) {
  return readDefinition(jsonObjectBody(operation, expected.name), expected, cast);
}

/** The same of JSON inside a body. `cast` is the type that the URL names. */
export function readDefinition(json: unknown, expected: DefinitionType, cast = expected): WrittenDefinition {
  if (!isJsonObject(json)) throw notPrimitive(expected.name, json);
  const type = typeOf(json, expected, cast);
  const properties = new Map<string, unknown>();
  const binds = new Map<string, string>();
  for (const [name, value] of Object.entries(json)) {
    if (name.endsWith(BIND)) {
      if (typeof value !== 'string') throw notPrimitive(type.name, value);
      binds.set(name.slice(0, -BIND.length), value);
    } else if (!name.includes('@')) {
      const kind = type.properties.get(name);
      if (kind === undefined) throw undeclaredProperty(name.slice(0, 128), type.name);
      properties.set(name, readProperty(type, name, kind, value));
    }
  }
  return { type, properties, binds };
}

/** The action CreateCustomerRelationships has complex types of its own for what are entity types elsewhere. */
const withoutComplex = (name: string): string => name.replace(/^(#?(?:Microsoft\.Dynamics\.CRM\.)?)Complex/, '$1');

function typeOf(json: Definition, expected: DefinitionType, cast: DefinitionType): DefinitionType {
  const name = json['@odata.type'];
  if (name === undefined) return cast;
  const found = typeof name === 'string' ? definitionType(withoutComplex(name)) : undefined;
  if (!found) throw unresolvedType(String(name).slice(0, 128), expected.name);
  if (!isKindOf(found, cast)) {
    throw badPayload(
      expected.name,
      `A resource with type 'Microsoft.Dynamics.CRM.${found.name}' was found, but it is not assignable to the expected ` +
        `type 'Microsoft.Dynamics.CRM.${cast.name}'.`,
    );
  }
  return found;
}

function readProperty(type: DefinitionType, name: string, kind: PropertyKind, value: unknown): unknown {
  if (value === null) return null;
  const navigation = navigationTarget(kind);
  if (navigation) {
    if (!navigation.many) return readDefinition(value, navigation.target);
    if (!Array.isArray(value)) throw notPrimitive(type.name, value);
    return value.map((one: unknown) => readDefinition(one, navigation.target));
  }
  return readValue(type, kind, value, name);
}

const CASCADES = ['Archive', 'Assign', 'Delete', 'Merge', 'Reparent', 'RollupView', 'Share', 'Unshare'];

function readValue(type: DefinitionType, kind: PropertyKind, value: unknown, name: string): unknown {
  const refuse = (edm: string) =>
    typeof value === 'object'
      ? notPrimitive(type.name, value)
      : notConvertible(type.name, String(value).slice(0, 128), edm);
  switch (kind) {
    case 'text':
    case 'guid':
    case 'time':
      if (typeof value !== 'string') throw refuse('Edm.String');
      return value;
    case 'integer':
      if (typeof value !== 'number' || !Number.isInteger(value) || Math.abs(value) > 2 ** 31) throw refuse('Edm.Int32');
      return value;
    case 'long':
      if (!/^-?\d{1,19}$/.test(String(value)) || typeof value === 'object') throw refuse('Edm.Int64');
      return String(value);
    case 'number':
      if (typeof value !== 'number') throw refuse('Edm.Decimal');
      return value;
    case 'boolean':
      if (typeof value !== 'boolean') throw refuse('Edm.Boolean');
      return value;
    case 'texts':
      if (!Array.isArray(value) || !value.every((one) => typeof one === 'string'))
        throw refuse('Collection(Edm.String)');
      return value;
    case 'label':
      return readLabel(type, value);
    case 'named':
      return { Value: readValue(type, 'text', members(type, value)['Value'] ?? null, name) };
    case 'managed':
      return readManaged(type, value, 'boolean', name);
    case 'required':
      return readManaged(type, value, 'enum AttributeRequiredLevel', name);
    case 'cascade':
      return readCascade(type, value, name);
    case 'menu':
      return readMenu(type, value);
    case 'option':
      return readOption(type, value);
    case 'options':
      if (!Array.isArray(value)) throw refuse('Collection(Microsoft.Dynamics.CRM.OptionMetadata)');
      return value.map((one: unknown) => readOption(type, one));
    case 'privileges':
    case 'job':
      // The platform's own; clients send back what they were told.
      return undefined;
    default:
      return readMember(type, kind, value);
  }
}

function members(type: DefinitionType, value: unknown): Definition {
  if (!isJsonObject(value)) throw notPrimitive(type.name, value);
  return value;
}

function readMember(type: DefinitionType, kind: string, value: unknown): string {
  const name = kind.replace(/^enum /, '');
  if (typeof value === 'string' && ENUMERATIONS.get(name)?.includes(value)) return value;
  throw notConvertible(type.name, String(value).slice(0, 128), `Microsoft.Dynamics.CRM.${name}`);
}

function readManaged(type: DefinitionType, value: unknown, kind: PropertyKind, name: string): Definition {
  const given = members(type, value);
  const canBeChanged = given['CanBeChanged'] ?? true;
  return {
    Value: readValue(type, kind, given['Value'] ?? null, name),
    CanBeChanged: canBeChanged === true,
    ManagedPropertyLogicalName:
      given['ManagedPropertyLogicalName'] == null
        ? null
        : readValue(type, 'text', given['ManagedPropertyLogicalName'], name),
  };
}

function readCascade(type: DefinitionType, value: unknown, name: string): Definition {
  const given = members(type, value);
  for (const member of Object.keys(given)) {
    if (!CASCADES.includes(member) && !member.includes('@')) throw undeclaredProperty(member.slice(0, 128), name);
  }
  return Object.fromEntries(
    CASCADES.filter((member) => given[member] != null).map((member) => [
      member,
      readMember(type, 'CascadeType', given[member]),
    ]),
  );
}

function readMenu(type: DefinitionType, value: unknown): Definition {
  const given = members(type, value);
  return {
    Behavior: given['Behavior'] == null ? null : readMember(type, 'AssociatedMenuBehavior', given['Behavior']),
    Group: given['Group'] == null ? null : readMember(type, 'AssociatedMenuGroup', given['Group']),
    Order: given['Order'] == null ? null : readValue(type, 'integer', given['Order'], 'Order'),
    Label: given['Label'] == null ? null : readLabel(type, given['Label']),
  };
}

function readOption(type: DefinitionType, value: unknown): Definition {
  const given = members(type, value);
  const text = (name: string) => (given[name] == null ? null : readValue(type, 'text', given[name], name));
  return {
    Value: given['Value'] == null ? null : readValue(type, 'integer', given['Value'], 'Value'),
    Label: given['Label'] == null ? null : readLabel(type, given['Label']),
    Description: given['Description'] == null ? null : readLabel(type, given['Description']),
    Color: text('Color'),
    ExternalValue: text('ExternalValue'),
  };
}

/** A label with the languages that it was written in; its `UserLocalizedLabel` is the platform's (documented). */
export function readLabel(type: DefinitionType, value: unknown): Definition {
  const list = members(type, value)['LocalizedLabels'] ?? [];
  if (!Array.isArray(list)) throw notPrimitive(type.name, list);
  const byLanguage = new Map<unknown, Definition>();
  for (const one of list) {
    const given = members(type, one);
    const text = readValue(type, 'text', given['Label'] ?? '', 'Label');
    const LanguageCode = readValue(type, 'integer', given['LanguageCode'] ?? null, 'LanguageCode');
    if (String(text).length > LABEL_MAX) throw textTooLong('localizedlabel', 'label', LABEL_MAX);
    byLanguage.set(LanguageCode, { Label: text, LanguageCode });
  }
  return { LocalizedLabels: [...byLanguage.values()] };
}

/** A label as a parameter of an action. */
export const labelParameter = (value: unknown): Definition => readLabel(typeNamed('AttributeMetadata'), value);
