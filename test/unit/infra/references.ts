import { posix } from 'node:path';
import type { Node } from 'web-tree-sitter';
import { bodies, type Declaration, descendants, namedChildren, properties, type Template } from './bicep.ts';

/** Bicep's own functions, as far as the templates use them. */
const FUNCTIONS = new Set(
  `concat contains deployment empty environment filter flatten guid items join json map readEnvironmentVariable string subscription
  subscriptionResourceId take tenant toObject union uniqueString`.split(/\s+/),
);

const DECLARATIONS = new Set([
  'parameter_declaration',
  'variable_declaration',
  'output_declaration',
  'type_declaration',
  'resource_declaration',
  'module_declaration',
  'metadata_declaration',
]);

/** Names that a template uses, each where it stands and whether it is known there. */
function uses(template: Template): { readonly node: Node; readonly known: boolean; readonly local: boolean }[] {
  const declared = new Set(template.declarations.filter(({ kind }) => kind !== 'output').map(({ name }) => name));
  const found: { node: Node; known: boolean; local: boolean }[] = [];
  const walk = (node: Node, locals: ReadonlySet<string>): void => {
    if (node.type === 'import_functionality' || node.type === 'decorators') return;
    if (node.type === 'identifier') {
      const local = locals.has(node.text);
      const isCalled =
        node.parent?.type === 'call_expression' && node.parent.childForFieldName('function')?.id === node.id;
      const known = local || (isCalled ? FUNCTIONS : declared).has(node.text);
      found.push({ node, known, local });
      return;
    }
    const inner = new Set([...locals, ...introduced(node)]);
    for (const child of namedChildren(node)) if (!isName(child, node)) walk(child, inner);
  };
  walk(template.root, new Set());
  return found;
}

/** Names of lambda parameters and loop variables. */
function introduced(node: Node): string[] {
  if (node.type === 'lambda_expression') {
    const [parameters] = namedChildren(node);
    return parameters
      ? [...descendants(parameters)].filter(({ type }) => type === 'identifier').map(({ text }) => text)
      : [];
  }
  const initializer = node.type === 'for_statement' ? node.childForFieldName('initializer') : undefined;
  return initializer ? [initializer.text] : [];
}

/** A node that names something instead of using it. */
function isName(child: Node, parent: Node): boolean {
  const isFirst = namedChildren(parent)[0]?.id === child.id;
  return (
    isFirst &&
    (DECLARATIONS.has(parent.type) || parent.type === 'object_property' || parent.type === 'for_statement') &&
    child.type !== 'resource_declaration'
  );
}

/** Names that nothing declares. */
export const unresolved = (template: Template): string[] =>
  uses(template)
    .filter(({ known }) => !known)
    .map(({ node }) => `${template.file}:${node.startPosition.row + 1}: ${node.text}`);

/** Parameters, variables, imports and existing resources that nothing uses. */
export function unused(template: Template): string[] {
  const used = new Set(
    uses(template)
      .filter(({ local }) => !local)
      .map(({ node }) => node.text),
  );
  return template.declarations
    .filter(({ kind, existing }) => kind === 'param' || kind === 'var' || kind === 'import' || existing)
    .filter(({ name }) => !used.has(name))
    .map(({ name }) => `${template.file}: ${name}`);
}

/** What is wrong with a template's modules and imports: files, parameters, outputs. */
export function moduleFaults(template: Template, all: readonly Template[]): string[] {
  const faults: string[] = [];
  const fileOf = ({ target }: Declaration): Template | undefined =>
    all.find(({ file }) => file === posix.join(posix.dirname(template.file), target ?? ''));
  for (const declaration of template.declarations) {
    const { kind, name, target } = declaration;
    if (kind !== 'module' && kind !== 'import') continue;
    const file = fileOf(declaration);
    if (!file) {
      faults.push(`${name}: there is no ${target}`);
    } else if (kind === 'import') {
      const exported = file.declarations.find((each) => each.kind === 'type' && each.name === name);
      const text = exported?.decorators.map((node) => node.text).join(' ') ?? '';
      if (!text.includes('@export()')) faults.push(`${name}: is not exported by ${target}`);
    } else {
      faults.push(...parameterFaults(declaration, file), ...outputFaults(declaration, file, template));
    }
  }
  return faults;
}

function parameterFaults({ name, value }: Declaration, file: Template): string[] {
  const parameters = file.declarations.filter(({ kind }) => kind === 'param');
  const given = bodies(value).flatMap((body) => {
    const params = properties(body).get('params');
    return params ? [...properties(params).keys()] : [];
  });
  return [
    ...given
      .filter((each) => !parameters.some((known) => known.name === each))
      .map((each) => `${name}: takes no ${each}`),
    ...parameters
      .filter((each) => each.value === undefined && !given.includes(each.name))
      .map((each) => `${name}: needs ${each.name}`),
  ];
}

function outputFaults({ name }: Declaration, file: Template, { text }: Template): string[] {
  const outputs = new Set(file.declarations.filter(({ kind }) => kind === 'output').map((each) => each.name));
  return [...text.matchAll(new RegExp(`\\b${name}!?\\.outputs\\.(\\w+)`, 'g'))]
    .map((match) => match[1] ?? '')
    .filter((output) => !outputs.has(output))
    .map((output) => `${name}: has no output ${output}`);
}
