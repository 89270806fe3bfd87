import { expect, test } from 'vitest';
import { Faults } from '../../../src/local/faults.ts';

const request = (path: string, method = 'GET') => new Request(`https://localhost${path}`, { method });
const down = () => new Response(null, { status: 503 });

test('a fault answers the requests that it matches, as often as it says', async () => {
  const faults = new Faults();
  faults.add({ path: '/secrets/', method: 'GET', times: 2, answer: down });
  expect(await faults.answer(request('/keys/a'))).toBeUndefined();
  expect(await faults.answer(request('/secrets/a', 'PUT'))).toBeUndefined();
  expect((await faults.answer(request('/secrets/a')))?.status).toBe(503);
  expect((await faults.answer(request('/secrets/b')))?.status).toBe(503);
  expect(await faults.answer(request('/secrets/a'))).toBeUndefined();
});

test('a fault may match by pattern, and lasts until it is taken away', async () => {
  const faults = new Faults();
  const remove = faults.add({ path: /\/token$/, answer: down });
  for (let times = 0; times < 3; times += 1) {
    expect((await faults.answer(request('/tenant/token')))?.status).toBe(503);
  }
  remove();
  expect(await faults.answer(request('/tenant/token'))).toBeUndefined();
});

test('a fault may let the request go on', async () => {
  const faults = new Faults();
  faults.add({ path: '/', answer: () => undefined });
  expect(await faults.answer(request('/'))).toBeUndefined();
});
