import { EventEmitter, once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  ADMIN_CLIENT,
  type Answer,
  APP_CLIENT,
  type Call,
  idOf,
  openEnvironment,
  openSecuredEnvironment,
} from './environment.ts';

interface Delivery {
  headers: Record<string, string | string[] | undefined>;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into payloads of every shape
  context: any;
}

async function listen(handler: RequestListener): Promise<string> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return `http://localhost:${(server.address() as AddressInfo).port}/hook`;
}

async function openReceiver(statuses: number[] = []) {
  const deliveries: Delivery[] = [];
  const url = await listen(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    deliveries.push({ headers: request.headers, context: JSON.parse(Buffer.concat(chunks).toString('utf8')) });
    response.writeHead(statuses.shift() ?? 200).end();
  });
  return { url, deliveries };
}

const created = (answer: Answer): string => {
  if (answer.status !== 204) throw new Error(answer.text);
  return idOf(answer);
};

/** Registers a webhook as the documentation tells. */
async function register(call: Call, url: string, message: string, step: Record<string, unknown> = {}): Promise<string> {
  const endpoint = created(
    await call('POST', 'serviceendpoints', {
      name: 'hook',
      contract: 8,
      authtype: 5,
      authvalue: '<settings><setting name="x-bridge-key" value="top secret" /></settings>',
      url,
    }),
  );
  const { json: messages } = await call('GET', `sdkmessages?$select=sdkmessageid&$filter=name eq '${message}'`);
  const { json: filters } = await call(
    'GET',
    `sdkmessagefilters?$select=sdkmessagefilterid&$filter=primaryobjecttypecode eq 'account' and sdkmessageid/name eq '${message}'`,
  );
  return created(
    await call('POST', 'sdkmessageprocessingsteps', {
      name: `hook: ${message} of account`,
      rank: 1,
      stage: 40,
      mode: 1,
      asyncautodelete: true,
      supporteddeployment: 0,
      'sdkmessageid@odata.bind': `/sdkmessages(${messages.value[0].sdkmessageid})`,
      'sdkmessagefilterid@odata.bind': `/sdkmessagefilters(${filters.value[0].sdkmessagefilterid})`,
      'eventhandler_serviceendpoint@odata.bind': `/serviceendpoints(${endpoint})`,
      ...step,
    }),
  );
}

test('a created row is posted with its columns and the secret in the header', async () => {
  const environment = await openEnvironment();
  const { call } = environment;
  const receiver = await openReceiver();
  await register(call, receiver.url, 'Create');
  const id = idOf(await call('POST', 'accounts?tag=mine', { name: 'Contoso', industrycode: 1, revenue: 5 }));
  await call('POST', 'contacts', { lastname: 'not of interest' });
  await environment.idle();

  expect(receiver.deliveries).toHaveLength(1);
  const { headers, context } = receiver.deliveries[0] as Delivery;
  expect(headers).toMatchObject({
    'x-bridge-key': 'top secret',
    'x-ms-dynamics-entity-name': 'account',
    'x-ms-dynamics-request-name': 'Create',
  });
  expect(context).toMatchObject({
    MessageName: 'Create',
    PrimaryEntityName: 'account',
    PrimaryEntityId: id,
    Stage: 40,
    Mode: 1,
    Depth: 1,
    OrganizationName: 'local',
    SharedVariables: expect.arrayContaining([{ key: 'tag', value: 'mine' }]),
  });
  const target = context.InputParameters.find(({ key }: { key: string }) => key === 'Target').value;
  const attributes = Object.fromEntries(
    target.Attributes.map(({ key, value }: { key: string; value: unknown }) => [key, value]),
  );
  expect(attributes).toMatchObject({ name: 'Contoso', industrycode: { Value: 1 }, revenue: { Value: 5 } });
});

test('bulk messages and batches raise one event a row, and only for what was committed', async () => {
  const environment = await openEnvironment();
  const { call } = environment;
  const receiver = await openReceiver();
  await register(call, receiver.url, 'Create');
  const type = { '@odata.type': 'Microsoft.Dynamics.CRM.account' };
  const message = 'accounts/Microsoft.Dynamics.CRM.CreateMultiple';
  await call('POST', message, {
    Targets: [
      { ...type, name: 'a' },
      { ...type, name: 'b' },
    ],
  });
  await call('POST', message, {
    Targets: [
      { ...type, name: 'c' },
      { ...type, name: 'x'.repeat(161) },
    ],
  });
  await environment.idle();
  expect(receiver.deliveries).toHaveLength(2);
});

test('an update is posted only when a filtering column is in the request, with its images', async () => {
  const environment = await openEnvironment();
  const { call } = environment;
  const receiver = await openReceiver();
  const step = await register(call, receiver.url, 'Update', { filteringattributes: 'name,telephone1' });
  created(
    await call('POST', 'sdkmessageprocessingstepimages', {
      name: 'before',
      entityalias: 'before',
      imagetype: 0,
      messagepropertyname: 'Target',
      attributes: 'name',
      'sdkmessageprocessingstepid@odata.bind': `/sdkmessageprocessingsteps(${step})`,
    }),
  );
  const id = idOf(await call('POST', 'accounts', { name: 'old', fax: '1' }));
  await call('PATCH', `accounts(${id})`, { fax: '2' });
  await call('PATCH', `accounts(${id})`, { name: 'new' });
  await environment.idle();
  expect(receiver.deliveries).toHaveLength(1);
  const { context } = receiver.deliveries[0] as Delivery;
  const [image] = context.PreEntityImages;
  expect(image.key).toBe('before');
  expect(image.value.Attributes).toContainEqual({ key: 'name', value: 'old' });
});

test('a delete is posted with a reference, and a disabled step hears nothing', async () => {
  const environment = await openEnvironment();
  const { call } = environment;
  const receiver = await openReceiver();
  const step = await register(call, receiver.url, 'Delete');
  const [one, two] = [idOf(await call('POST', 'accounts', {})), idOf(await call('POST', 'accounts', {}))];
  await call('DELETE', `accounts(${one})`);
  await environment.idle();
  await call('PATCH', `sdkmessageprocessingsteps(${step})`, { statecode: 1, statuscode: 2 });
  await call('DELETE', `accounts(${two})`);
  await environment.idle();
  expect(receiver.deliveries).toHaveLength(1);
  expect((receiver.deliveries[0] as Delivery).context.InputParameters[0].value).toMatchObject({
    Id: one,
    LogicalName: 'account',
  });
});

test('who really asked is told beside the user that it acts for', async () => {
  const user = '0b000000-0000-4000-8000-00000000000a';
  const users = [
    { clientId: '0a000000-0000-4000-8000-00000000000a', systemUserId: user, roles: ['System Administrator'] },
  ];
  const environment = await openEnvironment({ users });
  const { call } = environment;
  const receiver = await openReceiver();
  await register(call, receiver.url, 'Create');
  await call('POST', 'accounts', { name: 'a' }, { MSCRMCallerID: user });
  await environment.idle();
  const { UserId: caller } = (await call('GET', 'WhoAmI')).json;
  expect(receiver.deliveries[0]?.context).toMatchObject({ UserId: user, InitiatingUserId: caller });
});

test('jobs are listed with what became of them', async () => {
  const environment = await openEnvironment();
  const { call, url } = environment;
  const receiver = await openReceiver([503, 200, 400]);
  await register(call, receiver.url, 'Create');
  await call('POST', 'accounts', { name: 'again' });
  await environment.idle();
  await call('POST', 'accounts', { name: 'refused' });
  const idle = await call('GET', `${url}/emulator/idle`);
  expect(idle.json).toEqual({ idle: true });
  const jobs = (await call('GET', `${url}/emulator/events`)).json;
  expect(jobs).toMatchObject([
    { status: 'succeeded', attempts: 2, table: 'account', message: 'Create' },
    { status: 'failed', attempts: 1, httpStatus: 400 },
  ]);
});

test('the secret of an endpoint cannot be read', async () => {
  const { call } = await openEnvironment();
  await register(call, 'http://127.0.0.1:1/', 'Create');
  const { json, text } = await call('GET', 'serviceendpoints');
  expect(text).not.toContain('top secret');
  expect(json.value[0]).not.toHaveProperty('authvalue');
  expect(json.value[0].isauthvalueset).toBe(true);
  expect((await call('GET', 'serviceendpoints?$select=authvalue')).status).toBe(400);
  expect((await call('GET', "serviceendpoints?$filter=contains(authvalue,'top')")).status).toBe(400);
});

test('what the emulator could not honour is refused by name', async () => {
  const { call } = await openEnvironment();
  const endpoint = { name: 'hook', contract: 8, authtype: 4, authvalue: 'x', url: 'https://example.com/' };
  const elsewhere = await call('POST', 'serviceendpoints', endpoint);
  expect(elsewhere.status).toBe(501);
  expect(elsewhere.json.error.message).toContain('example.com');
  expect((await call('POST', 'serviceendpoints', { ...endpoint, contract: 7 })).status).toBe(501);
  expect((await call('POST', 'serviceendpoints', { ...endpoint, url: 'file:///etc' })).status).toBe(400);
  const url = 'http://127.0.0.1:1/';
  expect((await call('POST', 'serviceendpoints', { ...endpoint, url, authtype: 5, authvalue: '<x>' })).status).toBe(
    400,
  );
  await expect(register(call, url, 'Create', { stage: 10, mode: 0 })).rejects.toThrow('A step of mode 0 in stage 10');
  await expect(register(call, url, 'Create', { stage: 20, mode: 1 })).rejects.toThrow('A step of mode 1 in stage 20');
});

describe('a synchronous step', () => {
  test.each([20, 40])('in stage %i hears of a row before it is committed', async (stage) => {
    const { call } = await openEnvironment();
    const receiver = await openReceiver();
    await register(call, receiver.url, 'Create', { stage, mode: 0 });
    const id = idOf(await call('POST', 'accounts', { name: 'Contoso' }));
    expect(receiver.deliveries).toHaveLength(1);
    const { context } = receiver.deliveries[0] as Delivery;
    expect(context).toMatchObject({ Mode: 0, Stage: stage, IsInTransaction: true, PrimaryEntityId: id });
    expect((await call('GET', '/emulator/events')).json).toEqual([]);
  });

  test('that fails undoes the write, alone and in a change set', async () => {
    const { call } = await openEnvironment();
    const receiver = await openReceiver([500, 500]);
    await register(call, receiver.url, 'Create', { name: 'guard', stage: 20, mode: 0 });
    const before = (await call('GET', '/emulator/dump')).json;
    const refused = await call('POST', 'accounts', { name: 'Contoso' });
    expect(refused.status).toBe(400);
    expect(refused.json.error.code).toBe('0x80040265');
    expect(refused.json.error.message).toContain("'guard'");
    const parts = ['{"name":"a"}', '{"name":"b"}'].map(
      (body, index) =>
        `--c\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: ${index}\r\n\r\n` +
        `POST accounts HTTP/1.1\r\nContent-Type: application/json\r\n\r\n${body}\r\n`,
    );
    const batch = `--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n${parts.join('')}--c--\r\n--b--\r\n`;
    const answer = await call('POST', '$batch', batch, { 'Content-Type': 'multipart/mixed; boundary=b' });
    expect(answer.text).toContain('0x80040265');
    expect(receiver.deliveries).toHaveLength(2);
    expect((await call('GET', '/emulator/dump')).json).toEqual(before);
    expect((await call('POST', 'accounts', { name: 'Contoso' })).status).toBe(204);
  });

  test('keeps what is not committed from other requests', async () => {
    const { call } = await openEnvironment();
    let release = (): void => undefined;
    const steps = new EventEmitter();
    const url = await listen((_, response) => {
      release = () => response.writeHead(500).end();
      steps.emit('arrived');
    });
    await register(call, url, 'Create', { mode: 0 });
    const arrived = once(steps, 'arrived');
    const write = call('POST', 'accounts', { name: 'Contoso' });
    await arrived;
    const read = call('GET', 'accounts?$select=name');
    // A way there and back, by which the read has reached the emulator too.
    await call('GET', '/emulator/calls');
    release();
    expect((await read).json.value).toEqual([]);
    expect((await write).status).toBe(400);
  });

  test('that never answers does not keep the emulator from ending', async () => {
    const { call, close } = await openEnvironment();
    const steps = new EventEmitter();
    await register(call, await listen(() => steps.emit('arrived')), 'Create', { mode: 0 });
    const arrived = once(steps, 'arrived');
    const write = call('POST', 'accounts', { name: 'Contoso' });
    await arrived;
    await Promise.all([close(), expect(write).rejects.toThrow()]);
  });

  test('is seen by whoever may read steps, as every role may', async () => {
    const { as, call } = await openSecuredEnvironment();
    const admin = await as({ appid: ADMIN_CLIENT });
    await register(admin, 'http://127.0.0.1:1/', 'Update', { name: 'guard', mode: 0 });
    const app = await as({ appid: APP_CLIENT });
    const path =
      "sdkmessageprocessingsteps?$select=name&$filter=mode eq 0 and statecode eq 0 and sdkmessagefilterid/primaryobjecttypecode eq 'account'";
    expect((await app('GET', path)).json.value).toMatchObject([{ name: 'guard' }]);
    expect((await call('GET', path)).status).toBe(401);
  });
});
