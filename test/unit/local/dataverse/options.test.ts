import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readOptions } from '../../../../src/local/dataverse/options.ts';

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'dataverse-emulator-test-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const modelFile = (text: string): string => {
  const file = join(folder, 'model.json');
  writeFileSync(file, text);
  return file;
};

test('without arguments the emulator is open to everybody on port 8080 and keeps nothing', () => {
  expect(readOptions([])).toEqual({ port: 8080, auth: 'none', model: undefined, folder: undefined });
});

test('a model is read from its file', () => {
  const options = readOptions([
    '--port',
    '0',
    '--auth',
    'entra',
    '--data',
    folder,
    '--model',
    modelFile('{"callMs":12}'),
  ]);
  expect(options).toMatchObject({ port: 0, auth: 'entra', folder, model: { callMs: 12, dopHint: 5 } });
});

test.each([
  ['a port that is none', ['--port', '70000'], '--port must be a number from 0 to 65535.'],
  ['a port that is no number', ['--port', '8o80'], '--port must be'],
  ['another authentication', ['--auth', 'basic'], '--auth must be none or entra.'],
  ['an option that there is not', ['--verbose'], '--verbose'],
  ['an argument that is no option', ['8080'], '8080'],
  ['a model file that is missing', ['--model', '/nowhere/model.json'], 'cannot be read: ENOENT'],
])('%s is refused', (_, args, message) => {
  expect(() => readOptions(args)).toThrow(
    expect.objectContaining({ code: 'usage', message: expect.stringContaining(message) }),
  );
});

test('a file that is no model is refused with all that is wrong in it', () => {
  const usage = (message: RegExp) =>
    expect.objectContaining({ code: 'usage', message: expect.stringMatching(message) });
  expect(() => readOptions(['--model', modelFile('{')])).toThrow(usage(/cannot be read/));
  expect(() => readOptions(['--model', modelFile('{"callMs":-1,"speed":9}')])).toThrow(
    usage(/speed[\s\S]*callMs|callMs[\s\S]*speed/),
  );
});
