import { globSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Language, type Node, Parser } from 'web-tree-sitter';

export const infra = fileURLToPath(new URL('../../../infra/', import.meta.url));

export interface Declaration {
  readonly kind: 'param' | 'var' | 'output' | 'type' | 'resource' | 'module' | 'import';
  readonly name: string;
  readonly decorators: readonly Node[];
  readonly node: Node;
  /** Of a resource `Type@version`, of a module its path. */
  readonly target: string | undefined;
  readonly existing: boolean;
  /** A parameter's default, a variable's or output's value, the object that a resource, module or type holds. */
  readonly value: Node | undefined;
}

export interface Template {
  /** Path below infra/. */
  readonly file: string;
  readonly text: string;
  readonly root: Node;
  /** Of the whole file, resources inside resources included. */
  readonly declarations: readonly Declaration[];
}

const KINDS: Readonly<Record<string, Declaration['kind']>> = {
  parameter_declaration: 'param',
  variable_declaration: 'var',
  output_declaration: 'output',
  type_declaration: 'type',
  resource_declaration: 'resource',
  module_declaration: 'module',
  import_functionality: 'import',
};

const { resolve } = createRequire(import.meta.url);
await Parser.init();
const parser = new Parser();
parser.setLanguage(await Language.load(resolve('tree-sitter-bicep/tree-sitter-bicep.wasm')));

/** Parses a template. What the grammar lacks is blanked out or replaced, line by line: see infra/README.md. */
export function parseTemplate(file: string, text: string): Template {
  const known = text
    .replace(/^extension .*$/gm, '')
    .replace(/^using .*$/gm, '')
    .replace(/^param (\w+) =/gm, 'var   $1 =');
  const tree = parser.parse(known);
  if (!tree) throw new Error(`${file} cannot be parsed`);
  return { file, text, root: tree.rootNode, declarations: declarationsOf(tree.rootNode) };
}

export const templates: readonly Template[] = globSync('**/*.{bicep,bicepparam}', { cwd: infra })
  .sort()
  .map((file) => parseTemplate(file, readFileSync(join(infra, file), 'utf8')));

export function template(file: string): Template {
  const found = templates.find((each) => each.file === file);
  if (!found) throw new Error(`there is no ${file}`);
  return found;
}

/** Places of the syntax errors. */
export function syntaxErrors({ root, file }: Template): string[] {
  return [...descendants(root)]
    .filter((node) => node.isError || node.isMissing)
    .map((node) => `${file}:${node.startPosition.row + 1}: ${node.text.slice(0, 80)}`);
}

export function* descendants(node: Node): Generator<Node> {
  yield node;
  for (const child of node.children) if (child) yield* descendants(child);
}

export function namedChildren(node: Node): Node[] {
  return node.namedChildren.filter((child): child is Node => child !== null && child.type !== 'comment');
}

function declarationsOf(root: Node): Declaration[] {
  const found: Declaration[] = [];
  for (const node of descendants(root)) {
    const kind = KINDS[node.type];
    if (!kind) continue;
    const previous = node.previousNamedSibling;
    const decorators = previous?.type === 'decorators' ? namedChildren(previous) : [];
    found.push(...declared(kind, node, decorators));
  }
  return found;
}

function declared(kind: Declaration['kind'], node: Node, decorators: readonly Node[]): Declaration[] {
  const children = namedChildren(node);
  const names = children.filter((child) => child.type === 'identifier');
  const hasTarget = kind === 'resource' || kind === 'module' || kind === 'import';
  const target = hasTarget ? literal(children.find((child) => child.type === 'string')) : undefined;
  const common = { kind, node, decorators, target: typeof target === 'string' ? target : undefined };
  if (kind === 'import')
    return names.map((name) => ({ ...common, name: name.text, existing: false, value: undefined }));
  const assigned = node.children.findIndex((child) => child?.type === '=');
  const value =
    assigned === -1 ? undefined : (node.children.slice(assigned + 1).find((child) => child?.isNamed) ?? undefined);
  const existing = node.children.some((child) => child?.type === 'existing');
  return [{ ...common, name: names[0]?.text ?? '', existing, value }];
}

/** The value of a literal without interpolation, an array or object of such included; undefined for anything else. */
export function literal(node: Node | undefined | null): unknown {
  if (!node) return undefined;
  switch (node.type) {
    case 'string':
      return namedChildren(node).some((child) => child.type === 'interpolation') ? undefined : node.text.slice(1, -1);
    case 'number':
      return Number(node.text);
    case 'boolean':
      return node.text === 'true';
    case 'null':
      return null;
    case 'array':
      return namedChildren(node).map(literal);
    case 'object':
      return Object.fromEntries([...properties(node)].map(([name, value]) => [name, literal(value)]));
    default:
      return undefined;
  }
}

/** Properties of an object, nested resources left out. */
export function properties(object: Node): Map<string, Node> {
  const found = new Map<string, Node>();
  for (const property of namedChildren(object)) {
    if (property.type !== 'object_property') continue;
    const [key, value] = namedChildren(property);
    if (!key || !value || key.type === 'resource_declaration') continue;
    found.set(keyOf(key), value);
  }
  return found;
}

/** Of a type, the name without the mark of an optional property. */
function keyOf(key: Node): string {
  return key.type === 'string' ? key.text.slice(1, -1) : key.text.replace(/\?$/, '');
}

/** The objects that a resource or module may turn out as: through conditions and loops. */
export function bodies(node: Node | undefined): Node[] {
  if (!node) return [];
  if (node.type === 'object') return [node];
  if (node.type === 'if_statement' || node.type === 'for_statement') {
    const last = node.childForFieldName('body') ?? namedChildren(node).at(-1);
    return bodies(last ?? undefined);
  }
  return [];
}

/** The text of a decorator's argument, as in `@description('…')`. */
export function decorator(declaration: Pick<Declaration, 'decorators'>, name: string): unknown {
  const call = declaration.decorators
    .map((node) => node.namedChildren[0])
    .find((node) => node?.childForFieldName('function')?.text === name);
  if (!call) return undefined;
  const argument = call.childForFieldName('arguments')?.namedChildren[0];
  return argument ? literal(argument) : true;
}
