import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { fakeClock } from '../../support/clock.ts';
import { type Answer, type Call, idOf, openEnvironment } from './environment.ts';

const TYPE = { '@odata.type': 'Microsoft.Dynamics.CRM.contoso_sensordata' };
const SET = 'contoso_sensordatas';
const bulk = (name: string): string => `${SET}/Microsoft.Dynamics.CRM.${name}`;
const ANNOTATIONS = { Prefer: 'odata.include-annotations="*"' };
const DETAILS = '@Microsoft.PowerApps.CDS.ErrorDetails.Plugin.BulkApiErrorDetails';
const SESSION_TOKEN = /^\d+:\d+#\d+#\d+=-?\d+$/;
const ID = '11111111-1111-4111-8111-111111111111';

const at = (id: string, partition: string): string => `${SET}(contoso_sensordataid=${id},partitionid='${partition}')`;

interface Message {
  readonly start: string;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** The recorded exchanges by name. Rows and ids that the authors left out are left out. */
function recorded(): Map<string, { request: Message; response: Message }> {
  const text = readFileSync(
    new URL('../../fixtures/dataverse/http/elastic-table-operations.http', import.meta.url),
    'utf8',
  );
  const found = new Map<string, { request?: Message; response?: Message }>();
  for (const block of text.split(/^### /m).slice(1)) {
    const [title = '', ...rest] = block.replaceAll('\r\n', '\n').split('\n');
    const [head = '', ...body] = rest.join('\n').split('\n\n');
    const [start = '', ...headers] = head.split('\n');
    const message: Message = {
      start,
      headers: Object.fromEntries(
        headers.filter((line) => /^[\w.-]+: /.test(line)).map((line) => line.split(/: (.*)/s, 2)),
      ),
      body: body
        .join('\n\n')
        .replace(/,\s*\[[^\]"]*truncated for brevity\]/g, '')
        .trim(),
    };
    const [, name = '', side] = /^(.*) - (Request|Response)$/.exec(title) ?? [];
    found.set(name, { ...found.get(name), [side === 'Request' ? 'request' : 'response']: message });
  }
  return found as Map<string, { request: Message; response: Message }>;
}

describe('the recorded exchanges', () => {
  const exchanges = recorded();
  const RECORDED_ID = 'e7387f9c-02eb-ef11-8eea-6045bdec7ce6';
  const CREATED = ['f9387f9c', 'fa387f9c', 'fb387f9c'].map((start) => `${start}-02eb-ef11-8eea-6045bdec7ce6`);
  const UPDATED = ['c7397f9c', 'c8397f9c', 'c9397f9c'].map((start) => `${start}-02eb-ef11-8eea-6045bdec7ce6`);

  async function open() {
    const { call, url } = await openEnvironment({ clock: fakeClock(Date.parse('2025-02-14T18:36:34.712Z')) });
    const ids = new Map<string, string>();
    const here = (text: string): string =>
      [...ids].reduce((result, [from, to]) => result.replaceAll(from, to), text.replaceAll('[Organization Uri]', url));
    const replay = async (name: string): Promise<{ answer: Answer; response: Message }> => {
      const exchange = exchanges.get(name);
      if (!exchange) throw new Error(`There is no exchange ${name}`);
      const { request, response } = exchange;
      const [method = '', target = ''] = request.start.split(/ (.*)/s, 2);
      const { Authorization: _, 'Content-Length': __, ...headers } = request.headers;
      const body = request.body === '' ? undefined : here(request.body);
      const answer = await call(method, here(target), body, headers);
      expect(answer.status, `${name}: ${answer.text}`).toBe(Number(response.start.split(' ')[1]));
      return { answer, response: { ...response, headers: { ...response.headers }, body: here(response.body) } };
    };
    return { call, ids, here, replay };
  }

  test('with one row are answered alike', async () => {
    const { call, ids, here, replay } = await open();
    const created = await replay('Create record');
    const id =
      /contoso_sensordataid=([0-9a-f-]{36})/.exec(created.answer.headers.get('odata-entityid') ?? '')?.[1] ?? '';
    ids.set(RECORDED_ID, id);
    const writes = [created];
    for (const name of ['Update record', 'Alternative update record']) writes.push(await replay(name));
    for (const name of ['Retrieve record', 'Alternative retrieve record']) {
      const { answer, response } = await replay(name);
      const expected = JSON.parse(response.body);
      expect(Object.keys(answer.json)).toEqual(Object.keys(expected));
      expect(answer.json['@odata.etag']).toMatch(/^W\/"[0-9a-f]{8}-0000-0200-0000-67af8d320000"$/);
      expect(answer.headers.get('etag')).toBe(answer.json['@odata.etag']);
      expect(answer.json).toEqual({
        ...expected,
        '@odata.etag': expect.any(String),
        versionnumber: expect.any(Number),
        _ownerid_value: expect.any(String),
        _owningbusinessunit_value: expect.any(String),
      });
    }
    writes.push(await replay('Upsert record'));
    for (const { answer, response } of writes) {
      expect(answer.headers.get('odata-entityid')).toBe(here(response.headers['OData-EntityId'] ?? ''));
      expect(answer.headers.get('x-ms-session-token')).toMatch(SESSION_TOKEN);
      expect(response.headers['x-ms-session-token']).toMatch(SESSION_TOKEN);
      expect(answer.text).toBe('');
    }
    const tokens = writes.map(({ answer }) => Number(answer.headers.get('x-ms-session-token')?.split('#')[1]));
    expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => a - b));
    const deleted = await replay('Delete record');
    expect(deleted.answer.headers.get('x-ms-session-token')).toBeNull();
    expect((await call('GET', `${SET}/$count`)).text).toBe('0');
  });

  test('with many rows, and the one that deletes the table, are answered alike', async () => {
    const { call, ids, replay } = await open();
    const { answer, response } = await replay('CreateMultiple');
    expect(Object.keys(answer.json)).toEqual(Object.keys(JSON.parse(response.body)));
    expect(answer.json['@odata.context']).toBe(JSON.parse(response.body)['@odata.context']);
    for (const recordedIds of [CREATED, UPDATED]) {
      for (const [index, id] of recordedIds.entries()) ids.set(id, answer.json.Ids[index]);
    }
    await replay('UpdateMultiple');
    const { json } = await call('GET', `${SET}?$select=contoso_energyconsumption`);
    const powers = json.value.map(
      (row: Record<string, string>) => JSON.parse(row['contoso_energyconsumption'] ?? '').power,
    );
    expect(powers.sort()).toEqual([602, 604, 606]);
    await replay('DeleteMultiple');
    expect((await call('GET', SET)).json.value).toEqual([]);
    await replay('Delete table');
    expect((await call('GET', SET)).status).toBe(404);
  });

  test('that are not emulated are refused: making the table, and queries in the language of Cosmos DB', async () => {
    const { call, here } = await open();
    const missing: string[] = [];
    for (const name of ['Elastic table', 'ExecuteCosmosSqlQuery', 'Retrieve the paged results']) {
      const request = exchanges.get(name)?.request;
      const [method = '', target = ''] = request?.start.split(/ (.*)/s, 2) ?? [];
      // The table itself is there already.
      const body = request?.body.replaceAll('SensorData', 'OtherData').replaceAll('sensordata', 'otherdata');
      const { status } = await call(method, here(target), body === '' ? undefined : body);
      if (status === 501) missing.push(name);
    }
    expect(missing).toEqual(['Elastic table', 'ExecuteCosmosSqlQuery', 'Retrieve the paged results']);
  });
});

async function open() {
  const clock = fakeClock();
  const { call, url } = await openEnvironment({ clock });
  return { call, clock, url };
}

const values = async (call: Call, query = ''): Promise<number[]> =>
  (await call('GET', `${SET}?$select=contoso_value${query}`)).json.value.map(
    (row: { contoso_value: number }) => row.contoso_value,
  );

describe('rows of an elastic table', () => {
  test('without a partition are addressed by their id alone, and get one of that name', async () => {
    const { call } = await open();
    const created = await call('POST', SET, { contoso_value: 1 });
    const id = idOf(created);
    expect(created.headers.get('odata-entityid')).toMatch(new RegExp(`${SET}\\(${id}\\)$`));
    const { json } = await call('GET', `${SET}(${id})`);
    expect(json).toMatchObject({ contoso_value: 1, partitionid: id });
    expect((await call('GET', at(id, id))).status).toBe(200);
    expect((await call('DELETE', `${SET}(${id})`)).status).toBe(204);
  });

  test('with a partition are found in that one only', async () => {
    const { call } = await open();
    await call('POST', SET, { contoso_sensordataid: ID, partitionid: 'a', contoso_value: 1 });
    expect((await call('GET', `${SET}(${ID})`)).json.error.code).toBe('0x80040217');
    expect((await call('GET', `${SET}(${ID})?partitionId=b`)).status).toBe(404);
    for (const option of ['partitionId=a', "partitionId='a'"]) {
      expect((await call('GET', `${SET}(${ID})?${option}&$select=contoso_value`)).json.contoso_value).toBe(1);
    }
    expect((await call('PATCH', `${SET}(${ID})?partitionId=a`, { contoso_value: 9 }, { 'If-Match': '*' })).status).toBe(
      404,
    );
    const named = await call('PATCH', `${SET}(${ID})`, { partitionid: 'a', contoso_value: 2 }, { 'If-Match': '*' });
    expect(named.status).toBe(204);
    expect((await call('PATCH', at(ID, 'a'), { partitionid: 'b' }, { 'If-Match': '*' })).status).toBe(400);
    expect((await call('DELETE', `${SET}(${ID})?partitionId=a`)).status).toBe(204);
  });

  test('of one id stand side by side in different partitions', async () => {
    const { call } = await open();
    for (const [index, partition] of ['a', 'b', 'c'].entries()) {
      const row = { contoso_sensordataid: ID, partitionid: partition, contoso_value: index };
      expect((await call('POST', SET, row)).status).toBe(204);
      expect((await call('POST', SET, row)).json.error.code).toBe('0x80040237');
    }
    expect(await values(call, '&$orderby=contoso_value')).toEqual([0, 1, 2]);
    expect(await values(call, '&partitionId=b')).toEqual([1]);
    expect((await call('GET', `${SET}/$count?partitionId=b`)).text).toBe('1');
    const paged: number[] = [];
    let next: string | undefined = `${SET}?$select=contoso_value`;
    while (next) {
      const { json }: Answer = await call('GET', next, undefined, { Prefer: 'odata.maxpagesize=1' });
      paged.push(...json.value.map((row: { contoso_value: number }) => row.contoso_value));
      next = json['@odata.nextLink'];
    }
    expect(paged).toEqual([0, 1, 2]);
  });

  test('are replaced by an upsert and changed by an update', async () => {
    const { call } = await open();
    await call('PATCH', at(ID, 'a'), { contoso_value: 1, contoso_sensortype: 'Humidity' });
    await call('PATCH', at(ID, 'a'), { contoso_deviceid: 'x' }, { 'If-Match': '*' });
    const select = '?$select=contoso_value,contoso_sensortype,contoso_deviceid';
    expect((await call('GET', `${at(ID, 'a')}${select}`)).json).toMatchObject({
      contoso_value: 1,
      contoso_sensortype: 'Humidity',
      contoso_deviceid: 'x',
    });
    await call('PATCH', at(ID, 'a'), { contoso_value: 2 });
    expect((await call('GET', `${at(ID, 'a')}${select}`)).json).toMatchObject({
      contoso_value: 2,
      contoso_sensortype: null,
      contoso_deviceid: null,
    });
    expect((await call('PATCH', at(ID, 'a'), {}, { 'If-None-Match': '*' })).status).toBe(412);
    const answer = await call('PATCH', at(ID, 'b'), { contoso_value: 3 }, { Prefer: 'return=representation' });
    expect([answer.status, answer.json.contoso_value]).toEqual([201, 3]);
  });

  test('with a time to live are gone when it is over, counted from their last change', async () => {
    const { call, clock, url } = await open();
    const count = async () => (await call('GET', `${url}/emulator/tables/${SET}/count`)).json.count;
    await call('POST', SET, { contoso_sensordataid: ID, partitionid: 'a', ttlinseconds: 60 });
    await call('POST', SET, { partitionid: 'a' });
    clock.advance(59_000);
    await call('PATCH', at(ID, 'a'), { contoso_value: 1 }, { 'If-Match': '*' });
    clock.advance(59_000);
    expect(await count()).toBe(2);
    clock.advance(1000);
    expect(await count()).toBe(1);
    expect((await call('GET', at(ID, 'a'))).status).toBe(404);
    expect((await call('POST', SET, { ttlinseconds: 0 })).status).toBe(400);
  });

  test('change only as long as the ETag fits', async () => {
    const { call } = await open();
    await call('PATCH', at(ID, 'a'), { contoso_value: 1 });
    const etag = (await call('GET', at(ID, 'a'))).headers.get('etag') ?? '';
    expect((await call('PATCH', at(ID, 'a'), { contoso_value: 2 }, { 'If-Match': etag })).status).toBe(204);
    expect((await call('PATCH', at(ID, 'a'), { contoso_value: 3 }, { 'If-Match': etag })).status).toBe(412);
    expect((await call('DELETE', at(ID, 'a'), undefined, { 'If-Match': etag })).status).toBe(412);
  });

  test('are read with rows that they point to one at a time only', async () => {
    const { call } = await open();
    await call('PATCH', at(ID, 'a'), { contoso_value: 1 });
    expect((await call('GET', `${at(ID, 'a')}?$expand=owninguser($select=fullname)`)).json.owninguser).not.toBeNull();
    for (const query of [
      '$expand=owninguser',
      "$filter=owninguser/fullname eq 'x'",
      '$orderby=owninguser/fullname',
      `fetchXml=${encodeURIComponent('<fetch><entity name="contoso_sensordata"><link-entity name="systemuser" from="systemuserid" to="owninguser"/></entity></fetch>')}`,
    ]) {
      const answer = await call('GET', `${SET}?${query}`);
      expect([answer.status, answer.json.error]).toEqual([
        400,
        { code: '0x80048d0b', message: 'Link entities are not supported' },
      ]);
    }
  });

  test('have the one key that comes with the table', async () => {
    const { call } = await open();
    const keys = "EntityDefinitions(LogicalName='contoso_sensordata')/Keys";
    const { json } = await call('GET', keys);
    expect(json.value).toMatchObject([
      {
        SchemaName: 'KeyForNoSqlEntityWithPKPartitionId',
        KeyAttributes: ['contoso_sensordataid', 'partitionid'],
        EntityKeyIndexStatus: 'Active',
      },
    ]);
    const label = { LocalizedLabels: [{ Label: 'Device', LanguageCode: 1033 }] };
    const own = { SchemaName: 'contoso_Device', DisplayName: label, KeyAttributes: ['contoso_deviceid'] };
    const name = `${keys}(${json.value[0].MetadataId})`;
    for (const refused of [await call('POST', keys, own), await call('DELETE', name)]) {
      expect(refused.json.error).toMatchObject({
        code: '0x8006088F',
        message: expect.stringContaining('elastic tables'),
      });
    }
  });

  test('are not part of change sets, and nothing below them has an address', async () => {
    const { call } = await open();
    const operation = `POST ${SET} HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{}\r\n`;
    const part = `Content-Type: application/http\r\nContent-ID: 1\r\n\r\n${operation}`;
    const body = `--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n${part}--c--\r\n--b--\r\n`;
    const headers = { 'Content-Type': 'multipart/mixed; boundary=b' };
    expect((await call('POST', '$batch', body, headers)).text).toContain('HTTP/1.1 501');
    const alone = `--b\r\nContent-Type: application/http\r\n\r\n${operation}--b--\r\n`;
    expect((await call('POST', '$batch', alone, headers)).text).toContain('x-ms-session-token: 207:30#');
    expect((await call('GET', `${at(ID, 'a')}/contoso_value`)).status).toBe(501);
  });
});

describe('bulk messages on an elastic table', () => {
  const rows = (...numbers: unknown[]) =>
    numbers.map((contoso_value) => ({ ...TYPE, contoso_value, partitionid: 'a' }));

  test('write what can be written, and tell what became of each row when asked', async () => {
    const { call, url } = await open();
    const rowFault = { table: 'contoso_sensordata', column: 'contoso_value', equals: 3, message: 'No threes.' };
    await call('POST', `${url}/emulator/rules`, { action: { rowFault } });
    const Targets = rows(1, 'x', 3, 4);
    const answer = await call('POST', bulk('CreateMultiple'), { Targets }, ANNOTATIONS);
    expect([answer.status, answer.json.error.code]).toEqual([400, '0x80048d19']);
    const details = JSON.parse(answer.json.error[DETAILS]);
    expect(
      details.map((one: { RequestIndex: number; StatusCode: number }) => [one.RequestIndex, one.StatusCode]),
    ).toEqual([
      [0, 201],
      [1, 400],
      [2, 400],
      [3, 201],
    ]);
    expect(await values(call, '&$orderby=contoso_value')).toEqual([1, 4]);
    const { json } = await call('GET', `${SET}(${details[3].Id})?partitionId=a`);
    expect(json.contoso_value).toBe(4);
    const silent = await call('POST', bulk('CreateMultiple'), { Targets: rows('x') });
    expect(Object.keys(silent.json.error)).toEqual(['code', 'message']);
  });

  test('update, upsert and delete row by row', async () => {
    const { call } = await open();
    const { json } = await call('POST', bulk('CreateMultiple'), { Targets: rows(1, 2) });
    const [one, two] = json.Ids;
    const named = (contoso_sensordataid: string, more: object = {}) => ({
      ...TYPE,
      contoso_sensordataid,
      partitionid: 'a',
      ...more,
    });
    const statuses = async (name: string, Targets: unknown[]) => {
      const answer = await call('POST', bulk(name), { Targets }, ANNOTATIONS);
      if (answer.status < 300) return answer.status;
      return JSON.parse(answer.json.error[DETAILS]).map(({ StatusCode }: { StatusCode: number }) => StatusCode);
    };
    const value = { contoso_value: 5 };
    expect(await statuses('UpdateMultiple', [named(one, value), named(ID, value), { ...TYPE, ...value }])).toEqual([
      200, 404, 400,
    ]);
    expect(await statuses('UpdateMultiple', [named(one, value)])).toBe(204);
    const byUrl = { ...TYPE, '@odata.id': at(two, 'a'), contoso_value: 7 };
    expect(
      await statuses('UpsertMultiple', [
        named(ID, value),
        byUrl,
        { ...TYPE, ...value },
        named(ID, { ttlinseconds: 'x' }),
      ]),
    ).toEqual([201, 200, 201, 400]);
    expect(await values(call, '&$orderby=contoso_value')).toEqual([5, 5, 5, 7]);
    const wrong = { ...TYPE, '@odata.id': 'contoso_sensordatas((' };
    expect(
      await statuses('DeleteMultiple', [named(one), { ...TYPE, contoso_sensordataid: one }, wrong, byUrl]),
    ).toEqual([204, 404, 400, 204]);
    expect(await statuses('DeleteMultiple', [named(ID)])).toBe(204);
    expect(await values(call)).toEqual([5]);
  });

  test('are listed for the table, DeleteMultiple with them, and for standard tables it is refused', async () => {
    const { call } = await open();
    const listed = async (message: string, table: string) =>
      (
        await call(
          'GET',
          `sdkmessagefilters?$select=sdkmessagefilterid&$filter=sdkmessageid/name eq '${message}' and primaryobjecttypecode eq '${table}'`,
        )
      ).json.value.length;
    for (const message of ['CreateMultiple', 'UpdateMultiple', 'DeleteMultiple']) {
      expect([message, await listed(message, 'contoso_sensordata')]).toEqual([message, 1]);
    }
    expect(await listed('DeleteMultiple', 'account')).toBe(0);
    const refused = await call('POST', 'accounts/Microsoft.Dynamics.CRM.DeleteMultiple', { Targets: [] });
    expect([refused.status, refused.json.error.message]).toEqual([501, 'DeleteMultiple has not yet been implemented.']);
    const { json } = await call('GET', "EntityDefinitions(LogicalName='contoso_sensordata')?$select=TableType");
    expect(json.TableType).toBe('Elastic');
  });
});
