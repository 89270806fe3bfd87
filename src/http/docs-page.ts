import { createHash } from 'node:crypto';
import type { HttpResponseInit } from '@azure/functions';
import type { Json, JsonObject } from './openapi.ts';

const STYLE = `
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); --soft: color-mix(in srgb, currentColor 6%, transparent); --accent: light-dark(#0b5cad, #7cb8ff); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 2rem 1rem 6rem; }
h1 { margin: 0 0 .25rem; } h2 { margin: 2.5rem 0 .5rem; font-size: 1.25rem; } h3 { font-size: .95rem; margin: 1.2rem 0 .3rem; }
h2 small { font-weight: normal; opacity: .7; }
nav a { margin-right: 1rem; } a { color: var(--accent); }
details { border: 1px solid var(--line); border-radius: 8px; margin: .5rem 0; }
summary { padding: .6rem .8rem; cursor: pointer; display: flex; gap: .8rem; align-items: baseline; flex-wrap: wrap; }
summary code { font-weight: 600; overflow-wrap: anywhere; } details > div { padding: 0 .9rem .9rem; }
.method { font: 600 .8rem/1 ui-monospace, monospace; color: var(--accent); min-width: 3.6rem; }
.mark { border: 1px solid var(--line); border-radius: 99px; padding: 0 .5rem; font-size: .78rem; }
code, pre { font-family: ui-monospace, "Cascadia Mono", Consolas, monospace; font-size: .875em; }
pre { background: var(--soft); padding: .7rem .8rem; border-radius: 6px; overflow-x: auto; margin: .3rem 0; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); }
td:first-child { white-space: nowrap; width: 9rem; }
`;

const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');

/** The API's description as a page to read: one file, no script, nothing from elsewhere. */
export function docsPage(document: JsonObject): HttpResponseInit {
  return {
    status: 200,
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
    },
    body: page(document),
  };
}

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly it: JsonObject;
}

function page(document: JsonObject): string {
  const info = object(document['info']);
  const tags = list(document['tags']).map(object);
  const operations = Object.entries(object(document['paths'])).flatMap(([path, methods]) =>
    Object.entries(object(methods)).map(([method, it]): Operation => ({ method, path, it: object(it) })),
  );
  const of = (tag: JsonObject): Operation[] =>
    operations.filter(({ it }) => list(it['tags']).includes(tag['name'] ?? ''));
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${text(info['title'])}</title><style>${STYLE}</style></head><body>
<h1>${text(info['title'])}</h1><p>${prose(info['description'])}</p>
<p>Failing answers are <code>application/problem+json</code>: <code>type, title, status, detail, code, hint?, requestId, errors?</code>. The same description for programs: <a href="openapi.json">openapi.json</a> (with the key that opened this page).</p>
<nav>${tags.map((tag) => `<a href="#${text(tag['name'])}">${text(tag['name'])}</a>`).join('')}</nav>
${tags.map((tag) => section(tag, of(tag))).join('\n')}
</body></html>`;
}

const section = (tag: JsonObject, operations: readonly Operation[]): string =>
  `<h2 id="${text(tag['name'])}">${text(tag['name'])} <small>${text(tag['description'])}</small></h2>\n${operations.map(details).join('\n')}`;

function details({ method, path, it }: Operation): string {
  const mark = it['x-operator-only'] === true ? '<span class="mark">operator only</span>' : '';
  const parts = [
    it['description'] === undefined ? '' : `<p>${prose(it['description'])}</p>`,
    parameters(list(it['parameters']).map(object)),
    requestBody(object(it['requestBody'] ?? {})),
    responses(object(it['responses'])),
    `<h3>Example</h3><pre>${text(curl(method, path, it))}</pre>`,
  ];
  return `<details id="${text(it['operationId'])}"><summary><span class="method">${text(method.toUpperCase())}</span><code>${text(path)}</code><span>${prose(it['summary'])}</span>${mark}</summary><div>${parts.join('')}</div></details>`;
}

function parameters(all: readonly JsonObject[]): string {
  if (all.length === 0) return '';
  const rows = all.map((each) => {
    const needed = each['required'] === true ? '' : '?';
    return `<tr><td><code>${text(each['name'])}${needed}</code></td><td>${text(each['in'])}</td><td><code>${text(typeText(object(each['schema'])))}</code></td><td>${prose(each['description'] ?? '')}</td></tr>`;
  });
  return `<h3>Parameters</h3><table>${rows.join('')}</table>`;
}

function requestBody(body: JsonObject): string {
  const content = Object.entries(object(body['content'] ?? {}));
  if (content.length === 0) return '';
  const schemas = content.flatMap(([, media]) => {
    const schema = object(media)['schema'];
    return schema === undefined ? [] : [`<pre>${text(typeText(object(schema)))}</pre>`];
  });
  return `<h3>Body</h3><p>${content.map(([type]) => `<code>${text(type)}</code>`).join(', ')}</p>${schemas.join('')}`;
}

function responses(all: JsonObject): string {
  const rows = Object.entries(all)
    .filter(([status]) => status !== 'default')
    .map(([status, value]) => {
      const answer = object(value);
      const schemas = Object.values(object(answer['content'] ?? {})).flatMap((media) => object(media)['schema'] ?? []);
      const schema = schemas[0] === undefined ? '' : `<pre>${text(typeText(object(schemas[0])))}</pre>`;
      const headers = Object.keys(object(answer['headers'] ?? {})).map((name) => `<code>${text(name)}</code>`);
      const carrying = headers.length > 0 ? ` Headers: ${headers.join(', ')}.` : '';
      return `<tr><td><code>${text(status)}</code></td><td>${prose(answer['description'])}${carrying}${schema}</td></tr>`;
    });
  return `<h3>Answers</h3><table>${rows.join('')}</table>`;
}

/** The header that proves the caller, by the name of the security scheme. */
const CREDENTIALS: Readonly<Record<string, string>> = {
  functionKey: '-H "x-functions-key: $KEY"',
  masterKey: '-H "x-functions-key: $MASTER_KEY"',
  token: '-H "authorization: Bearer $TOKEN"',
};

/** The call of an example as a command; `{…}` stands for what an earlier answer gave. */
function curl(method: string, path: string, it: JsonObject): string {
  const example = object(it['x-example']);
  const values = object(example['path'] ?? {});
  const filled = path.replace(/\{(\w+)\}/g, (whole, name: string) => encoded(String(values[name] ?? whole)));
  const query = Object.entries(object(example['query'] ?? {})).map(
    ([name, value]) => `${name}=${encoded(String(value))}`,
  );
  const { body } = example;
  const type = String(example['type'] ?? 'application/json');
  return [
    `curl ${method === 'get' ? '' : `-X ${method.toUpperCase()} `}"$BRIDGE/api${filled}${query.length > 0 ? `?${query.join('&')}` : ''}"`,
    ...list(it['security']).map((each) => CREDENTIALS[Object.keys(object(each))[0] ?? ''] ?? ''),
    ...Object.entries(object(example['headers'] ?? {})).map(
      ([name, value]) => `-H ${quoted(`${name}: ${String(value)}`)}`,
    ),
    ...(body === undefined
      ? []
      : [
          `-H "content-type: ${type}"`,
          `--data-binary ${quoted(typeof body === 'string' ? body : JSON.stringify(body))}`,
        ]),
  ].join(' \\\n  ');
}

const encoded = (value: string): string => encodeURIComponent(value).replaceAll('%7B', '{').replaceAll('%7D', '}');
const quoted = (value: string): string => `'${value.replaceAll("'", `'\\''`)}'`;

const LONGEST_LINE = 90;

/** A JSON Schema in the notation of TypeScript's types. */
export function typeText(schema: JsonObject, indent = ''): string {
  const { type, properties, items, anyOf, oneOf, prefixItems } = schema;
  if (schema['const'] !== undefined) return JSON.stringify(schema['const']);
  if (schema['enum'] !== undefined)
    return list(schema['enum'])
      .map((each) => JSON.stringify(each))
      .join(' | ');
  const variants = anyOf ?? oneOf;
  if (variants !== undefined)
    return [...new Set(list(variants).map((each) => typeText(object(each), indent)))].join(' | ');
  if (Array.isArray(type)) return type.join(' | ');
  if (type === 'array') return `${bracketed(typeText(object(items ?? list(prefixItems ?? [])[0] ?? {}), indent))}[]`;
  if (type === 'object' && properties !== undefined) return objectText(schema, indent);
  if (type === 'object') {
    const values = schema['additionalProperties'];
    return `{ [name]: ${typeof values === 'object' && values !== null ? typeText(object(values), indent) : 'any'} }`;
  }
  return typeof type === 'string' ? type : 'any';
}

function objectText(schema: JsonObject, indent: string): string {
  const required = list(schema['required'] ?? []);
  const deeper = `${indent}  `;
  const members = Object.entries(object(schema['properties'])).map(
    ([name, value]) => `${name}${required.includes(name) ? '' : '?'}: ${typeText(object(value), deeper)}`,
  );
  const line = `{ ${members.join(', ')} }`;
  return line.length + indent.length <= LONGEST_LINE && !line.includes('\n')
    ? line
    : `{\n${members.map((member) => `${deeper}${member},`).join('\n')}\n${indent}}`;
}

const bracketed = (type: string): string => (type.includes(' | ') && !type.startsWith('{') ? `(${type})` : type);

const object = (value: Json | undefined): JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};
const list = (value: Json | undefined): readonly Json[] => (Array.isArray(value) ? value : []);

const text = (value: unknown): string => String(value ?? '').replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

/** Text in which `code` is marked as such. */
const prose = (value: unknown): string => text(value).replace(/`([^`]+)`/g, '<code>$1</code>');
