import { afterAll, beforeAll, expect, test } from 'vitest';
import { isSafe, smokeTest } from '../../../infra/scripts/smoke.ts';
import { KEYS, type TestApp } from '../../support/app.ts';
import { sharedApp } from '../../support/shared-app.ts';

let app: TestApp;
beforeAll(async () => {
  app = await sharedApp();
});
afterAll(() => app.assertNoSecret());

async function smoke(changes: Partial<Parameters<typeof smokeTest>[0]> = {}) {
  const lines: string[] = [];
  const say = (line: string) => lines.push(line);
  const options = { url: app.url, functionKey: KEYS.function, connection: 'default', dryRun: false, say, ...changes };
  return { passed: await smokeTest(options), text: lines.join('\n') };
}

test('passes on an app that is alive and whose connection works', async () => {
  const { passed, text } = await smoke();
  expect(text).toMatch(/^health: ok$/m);
  expect(text).toMatch(/^ {2}privileges: passed/m);
  expect(text).toMatch(/^connection test: passed$/m);
  expect(passed).toBe(true);
});

test('fails on a connection that is not there, and says which there are', async () => {
  const { passed, text } = await smoke({ connection: 'nowhere' });
  expect(passed).toBe(false);
  expect(text).toMatch(/connection test: (404|failed|\d+)/);
  expect(text).toContain('default');
});

test('fails with a wrong key, without printing it', async () => {
  const { passed, text } = await smoke({ functionKey: 'wrong-key' });
  expect(passed).toBe(false);
  expect(text).toContain('the function key is wrong or missing');
  expect(text).not.toContain('wrong-key');
});

test('fails where nothing answers', async () => {
  const { passed, text } = await smoke({ url: 'http://127.0.0.1:9' });
  expect(passed).toBe(false);
  expect(text).toMatch(/^health: no answer: /);
});

test('calls nothing in a dry run', async () => {
  const { passed, text } = await smoke({ url: 'http://127.0.0.1:9', dryRun: true });
  expect(passed).toBe(true);
  expect(text).toBe(
    'would call GET http://127.0.0.1:9/api/health\nwould call POST http://127.0.0.1:9/api/connections/default/test',
  );
});

test('sends a key over https only, or to this machine', () => {
  const urls = [
    'https://func.example',
    'http://localhost:7071',
    'http://func.example',
    'http://localhost.example',
    'func',
  ];
  expect(urls.map(isSafe)).toEqual([true, true, false, false, false]);
});
