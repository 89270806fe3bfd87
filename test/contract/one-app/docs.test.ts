import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { healthRoutes } from '../../../src/functions/health.ts';
import { appRoutes } from '../../../src/functions/register.ts';
import { createServices } from '../../../src/functions/services.ts';
import type { TestApp } from '../../support/app.ts';
import { sharedApp } from '../../support/shared-app.ts';

const routes = [...healthRoutes, ...appRoutes(createServices({}))];

let app: TestApp;
// biome-ignore lint/suspicious/noExplicitAny: an OpenAPI document
let document: any;

beforeAll(async () => {
  app = await sharedApp();
  document = (await app.call('GET', 'openapi.json')).json;
});
afterAll(() => app.assertNoSecret());

test('the description is closed without a key', async () => {
  expect((await app.call('GET', 'openapi.json', { key: null })).status).toBe(401);
  expect((await app.call('GET', 'docs', { key: null })).status).toBe(401);
});

test('the description has every route, and nothing else', () => {
  const described = Object.entries<object>(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const registered = routes.flatMap(({ methods, route }) => methods.map((method) => `${method} /${route}`));
  expect(described.sort()).toEqual(registered.sort());
});

test('every reference of the description leads somewhere', () => {
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map((match) => match[1] ?? '');
  expect(references.length).toBeGreaterThan(0);
  for (const reference of new Set(references)) {
    expect(
      reference.split('/').reduce((at, name) => at?.[name], document),
      reference,
    ).toBeDefined();
  }
});

describe.each(routes.map((route) => [route.name, route] as const))('%s', (_, route) => {
  const operation = () => document.paths[`/${route.route}`][(route.methods[0] ?? '').toLowerCase()];

  test('is described as it is declared', () => {
    const { parameters, requestBody, security } = operation();
    const named = (where: string): string[] =>
      parameters.filter((each: { in: string }) => each.in === where).map((each: { name: string }) => each.name);
    expect(named('path')).toEqual([...route.route.matchAll(/\{(\w+)\}/g)].map((match) => match[1]));
    expect(named('query')).toEqual(Object.keys(route.query?.shape ?? {}));
    expect(requestBody !== undefined).toBe(route.body !== undefined || route.bodyTypes !== undefined);
    expect(security.length > 0).toBe(route.access !== 'anonymous');
  });

  test('tells what each of its parameters and answers is', () => {
    const { summary, parameters, responses } = operation();
    expect(summary).toMatch(/^[A-Z].*\.$/);
    for (const { schema } of parameters) expect(Object.keys(schema).length).toBeGreaterThan(0);
    for (const answer of Object.values<{ description?: string }>(responses)) {
      expect(answer.description ?? '$ref' in answer).toBeTruthy();
    }
  });
});

test('the page shows every route and loads nothing from anywhere', async () => {
  const page = await app.call('GET', 'docs');
  expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
  expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
  for (const { name, route } of routes) {
    expect(page.text).toContain(`id="${name}"`);
    expect(page.text).toContain(`<code>/${route}</code>`);
  }
  expect(page.text).not.toMatch(/<script|src=|url\(|@import/);
});
