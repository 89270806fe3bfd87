import { readFileSync } from 'node:fs';
import type { Node } from 'web-tree-sitter';
import { bodies, type Declaration, decorator, literal, namedChildren, properties, type Template } from './bicep.ts';

/** The format of the npm package @azure/bicep-types; see test/fixtures/bicep-types/PROVENANCE.md. */
interface TypeEntry {
  readonly $type: string;
  readonly name?: string;
  readonly value?: string;
  readonly body?: Reference;
  readonly properties?: Readonly<Record<string, Property>>;
  readonly baseProperties?: Readonly<Record<string, Property>>;
  readonly additionalProperties?: Reference;
  readonly discriminator?: string;
  readonly elements?: readonly Reference[] | Readonly<Record<string, Reference>>;
  readonly itemType?: Reference;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
}
interface Reference {
  readonly $ref: string;
}
interface Property {
  readonly type: Reference;
  readonly flags: number;
}
/** A type with the file whose indexes it uses. */
interface Type {
  readonly file: string;
  readonly entry: TypeEntry;
}

const REQUIRED = 1;
const READ_ONLY = 2;
/** What Bicep itself adds to every resource. */
const OF_BICEP = new Set(['parent', 'scope', 'dependsOn']);

const folder = new URL('../../fixtures/bicep-types/', import.meta.url);
const files = new Map<string, readonly TypeEntry[]>();
const index: { resources: Record<string, Reference> } = JSON.parse(readFileSync(new URL('index.json', folder), 'utf8'));

function follow(file: string, { $ref }: Reference): Type {
  const [path = '', position = ''] = $ref.split('#/');
  const name = path === '' ? file : path;
  const entries: readonly TypeEntry[] = files.get(name) ?? JSON.parse(readFileSync(new URL(name, folder), 'utf8'));
  files.set(name, entries);
  const entry = entries[Number(position)];
  if (!entry) throw new Error(`${name} has no type ${position}`);
  return { file: name, entry };
}

/** What is wrong with the bodies of a template's resources, each as `file:line: path: fault`. */
export function resourceFaults(template: Template): string[] {
  return template.declarations
    .filter(({ kind }) => kind === 'resource')
    .flatMap((resource) => {
      const at = `${template.file}:${resource.node.startPosition.row + 1}`;
      return faultsOf(resource, template).map((fault) => `${at}: ${resource.name}${fault}`);
    });
}

function faultsOf(resource: Declaration, template: Template): string[] {
  const target = fullType(resource, template);
  const reference = index.resources[target];
  if (!reference) return [`: ${target} is an unknown type or version`];
  const { file, entry } = follow('', reference);
  if (!entry.body) return [`: ${target} has no body`];
  const body = follow(file, entry.body);
  const checker = new Checker(template, resource);
  const found = bodies(resource.value);
  if (found.length === 0) return [': has no body that can be read'];
  for (const node of found) checker.object(node, body, '');
  return checker.faults;
}

/** A nested resource's type begins with that of the resource around it. */
function fullType(resource: Declaration, { declarations }: Template): string {
  const target = resource.target ?? '';
  if (target.includes('/')) return target;
  const around = declarations.filter(({ kind, node }) => kind === 'resource' && contains(node, resource.node)).at(-1);
  const [parent = ''] = (around?.target ?? '').split('@');
  return `${parent}/${target}`;
}

const contains = (outer: Node, inner: Node): boolean =>
  outer.id !== inner.id && outer.startIndex <= inner.startIndex && outer.endIndex >= inner.endIndex;

class Checker {
  readonly faults: string[] = [];
  readonly #template: Template;
  readonly #existing: boolean;

  constructor(template: Template, resource: Declaration) {
    this.#template = template;
    this.#existing = resource.existing;
  }

  object(node: Node, type: Type, path: string): void {
    const { entry } = type;
    const given = properties(node);
    const known: Record<string, Property> = { ...entry.baseProperties, ...entry.properties };
    if (entry.$type === 'DiscriminatedObjectType') {
      const variant = this.#variant(given, type, path);
      if (!variant) return;
      Object.assign(known, variant.entry.properties);
    }
    const isTop = path === '';
    for (const [name, value] of given) {
      const property = Object.hasOwn(known, name) ? known[name] : undefined;
      if (property) {
        if ((property.flags & READ_ONLY) !== 0) this.faults.push(`${path}.${name}: is read-only`);
        else this.value(value, follow(type.file, property.type), `${path}.${name}`);
      } else if (entry.additionalProperties) {
        this.value(value, follow(type.file, entry.additionalProperties), `${path}.${name}`);
      } else if (!(isTop && OF_BICEP.has(name))) {
        this.faults.push(`${path}.${name}: is unknown`);
      }
    }
    for (const [name, { flags }] of Object.entries(known)) {
      const needed = (flags & REQUIRED) !== 0 && !(isTop && this.#existing && name !== 'name' && name !== 'appId');
      if (needed && !given.has(name)) this.faults.push(`${path}.${name}: is missing`);
    }
  }

  #variant(given: ReadonlyMap<string, Node>, { file, entry }: Type, path: string): Type | undefined {
    const discriminator = entry.discriminator ?? '';
    const chosen = literal(given.get(discriminator));
    const variants = entry.elements && !Array.isArray(entry.elements) ? Object.entries(entry.elements) : [];
    const found = variants.find(([name]) => name === chosen)?.[1];
    if (!found) this.faults.push(`${path}.${discriminator}: ${String(chosen)} is not one of the known`);
    return found && follow(file, found);
  }

  value(node: Node, type: Type, path: string): void {
    if (type.entry.$type === 'AnyType') return;
    const expected = kindsOf(type);
    switch (node.type) {
      case 'parenthesized_expression':
        for (const child of namedChildren(node)) this.value(child, type, path);
        return;
      case 'ternary_expression':
        for (const field of ['consequence', 'alternative']) {
          const branch = node.childForFieldName(field);
          if (branch) this.value(branch, type, path);
        }
        return;
      case 'null':
        return;
      case 'object':
        if (expected.has('object')) this.object(node, type, path);
        else this.faults.push(`${path}: is an object instead of ${[...expected].join(' or ')}`);
        return;
      case 'array':
      case 'for_statement':
        this.#array(node, type, path);
        return;
      case 'string':
      case 'number':
      case 'boolean':
        this.#scalar(node.type, literal(node), type, path);
        return;
      case 'identifier':
        this.#named(node.text, type, path);
        return;
      case 'call_expression':
        if (node.childForFieldName('function')?.text === 'union') {
          const [first] = namedChildren(node.childForFieldName('arguments') ?? node);
          if (first) this.value(first, type, path);
        }
    }
  }

  #array(node: Node, type: Type, path: string): void {
    const { itemType } = type.entry;
    if (!itemType) {
      this.faults.push(`${path}: is an array instead of ${[...kindsOf(type)].join(' or ')}`);
      return;
    }
    const item = follow(type.file, itemType);
    const body = node.childForFieldName('body');
    const items = node.type === 'array' ? namedChildren(node) : body ? [body] : [];
    for (const [position, each] of items.entries()) this.value(each, item, `${path}[${position}]`);
  }

  /** A variable stands for its value, a parameter for every value that it allows. */
  #named(name: string, type: Type, path: string): void {
    const found = this.#template.declarations.find(
      (each) => each.name === name && (each.kind === 'var' || each.kind === 'param'),
    );
    if (found?.kind === 'var' && found.value) this.value(found.value, type, path);
    if (found?.kind !== 'param') return;
    const declared = namedChildren(found.node)[1]?.text ?? '';
    const kind = { string: 'string', int: 'number', bool: 'boolean' }[declared];
    const allowed = decorator(found, 'allowed');
    if (kind && Array.isArray(allowed)) {
      for (const value of allowed) this.#scalar(kind, value, type, path);
    } else if (kind && !kindsOf(type).has(kind)) {
      this.faults.push(`${path}: is a ${kind} instead of ${[...kindsOf(type)].join(' or ')}`);
    }
  }

  #scalar(kind: string, value: unknown, type: Type, path: string): void {
    const expected = kindsOf(type);
    if (!expected.has(kind)) {
      this.faults.push(`${path}: is a ${kind} instead of ${[...expected].join(' or ')}`);
      return;
    }
    if (typeof value !== 'string') return;
    const choices = choicesOf(type);
    if (choices.length > 0 && !choices.includes(value)) {
      this.faults.push(`${path}: '${value}' is not one of ${choices.join(', ')}`);
    }
    const { minLength = 0, maxLength = Number.POSITIVE_INFINITY, pattern } = type.entry;
    const fits =
      value.length >= minLength && value.length <= maxLength && (!pattern || new RegExp(pattern).test(value));
    if (!fits) this.faults.push(`${path}: '${value}' does not fit length or pattern`);
  }
}

const KINDS: Readonly<Record<string, string>> = {
  StringType: 'string',
  StringLiteralType: 'string',
  IntegerType: 'number',
  BooleanType: 'boolean',
  ArrayType: 'array',
  ObjectType: 'object',
  DiscriminatedObjectType: 'object',
};

function kindsOf(type: Type): Set<string> {
  const members = membersOf(type);
  return new Set(members.map(({ entry }) => KINDS[entry.$type] ?? entry.$type));
}

/** A union that has a plain string beside literals takes any text in the compiler; here only its literals. */
const choicesOf = (type: Type): string[] =>
  membersOf(type).flatMap(({ entry }) =>
    entry.$type === 'StringLiteralType' && entry.value !== undefined ? [entry.value] : [],
  );

function membersOf(type: Type): Type[] {
  const { $type, elements } = type.entry;
  if ($type !== 'UnionType' || !Array.isArray(elements)) return [type];
  return elements.flatMap((element: Reference) => membersOf(follow(type.file, element)));
}
