import { sameKey } from '../../../../src/dataverse/bulk/keys.ts';
import type { DataverseClient, DataverseRequest, DataverseResponse } from '../../../../src/dataverse/client.ts';
import { type DataverseError, errorFromAnswer } from '../../../../src/dataverse/errors.ts';
import type { Column, Table } from '../../../../src/dataverse/table.ts';

const column = (logicalName: string, type: string, more: Partial<Column> = {}): [string, Column] => [
  logicalName,
  { logicalName, type, validForCreate: true, validForUpdate: true, ...more },
];

export const ACCOUNT: Table = {
  logicalName: 'account',
  entitySetName: 'accounts',
  primaryId: 'accountid',
  primaryName: 'name',
  columns: new Map([
    column('accountid', 'Uniqueidentifier'),
    column('accountnumber', 'String', { maxLength: 20 }),
    column('name', 'String', { maxLength: 160 }),
    column('numberofemployees', 'Integer', { minValue: 0, maxValue: 1_000_000_000 }),
    column('lastusedon', 'DateTime', { dateBehavior: 'UserLocal' }),
    column('primarycontactid', 'Lookup', {
      targets: new Map([['contact', { navigationProperty: 'primarycontactid', entitySetName: 'contacts' }]]),
    }),
  ]),
  keys: [
    { logicalName: 'new_number', columns: ['accountnumber'], status: 'Active' },
    { logicalName: 'new_pair', columns: ['name', 'numberofemployees'], status: 'Active' },
    { logicalName: 'new_time', columns: ['lastusedon'], status: 'Active' },
    { logicalName: 'new_contact', columns: ['accountnumber', 'primarycontactid'], status: 'Active' },
    { logicalName: 'new_pending', columns: ['name'], status: 'Pending' },
    { logicalName: 'new_failed', columns: ['numberofemployees'], status: 'Failed' },
  ],
};

type Row = Record<string, unknown>;

/** What a request is about, as far as tests decide by it. */
export interface Sent {
  readonly kind: 'lookUp' | 'CreateMultiple' | 'UpdateMultiple' | 'batch';
  readonly rows: readonly Row[];
}

/** What becomes of a request: undefined lets it go on. */
export type Fault = (sent: Sent) => { before?: Error; after?: Error } | undefined;

/**
 * Accounts in memory behind a client, keyed by account number: bulk messages are all or nothing, operations of a batch
 * stand alone. A row whose name is `refused` is refused.
 */
export function fakeDataverse(seed: readonly Row[] = [], fault: Fault = () => undefined) {
  const rows = new Map<string, Row>(seed.map((row) => [String(row['accountid']), { ...row }]));
  const sent: Sent[] = [];

  const refusal = (kind: 'create' | 'update', row: Row): [number, string] | undefined => {
    if (row['name'] === 'refused') return [400, '0x80040203'];
    if (kind === 'update') return rows.has(String(row['accountid'])) ? undefined : [404, '0x80040217'];
    if (rows.has(String(row['accountid']))) return [412, '0x80040237'];
    const number = row['accountnumber'];
    const twin = [...rows.values()].some((other) => number !== undefined && same(other['accountnumber'], number));
    return twin ? [412, '0x80060892'] : undefined;
  };
  const write = (row: Row): void => {
    const id = String(row['accountid']);
    const { '@odata.type': _, ...values } = row;
    rows.set(id, { ...rows.get(id), ...values });
  };

  const operation = (text: string): { kind: 'create' | 'update' | 'delete'; row: Row } => {
    const [, method, path = ''] = /^(POST|PATCH|DELETE) \S*\/(accounts\S*) /m.exec(text) ?? [];
    const id = /\(([^)]+)\)/.exec(path)?.[1];
    const body = text.slice(text.lastIndexOf('\r\n\r\n')).trim() || text.split('\r\n\r\n').at(-2) || '';
    const values = method === 'DELETE' ? {} : JSON.parse(/\{.*\}/s.exec(body)?.[0] ?? '{}');
    const kind = method === 'POST' ? 'create' : method === 'PATCH' ? 'update' : 'delete';
    return { kind, row: id === undefined ? values : { accountid: id, ...values } };
  };
  const carryOut = ({ kind, row }: ReturnType<typeof operation>): [number, string] => {
    if (kind === 'delete') return rows.delete(String(row['accountid'])) ? [204, ''] : [404, '0x80040217'];
    const refused = refusal(kind, row);
    if (refused) return refused;
    write(row);
    return [204, ''];
  };
  const batch = (request: DataverseRequest): { sent: Sent; act: () => DataverseResponse } => {
    const parts = (request.body ?? '')
      .split(/--batch_\S+/)
      .slice(1, -1)
      .map(operation);
    return {
      sent: { kind: 'batch', rows: parts.map(({ row }) => row) },
      act: () => {
        const answers = parts.map(carryOut).map(([status, code]) => {
          const body = status < 400 ? '' : JSON.stringify({ error: { code, message: `refused with ${code}` } });
          return `--b\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 ${status} X\r\nContent-Type: application/json\r\n\r\n${body}\r\n`;
        });
        return response(`${answers.join('')}--b--\r\n`, 'multipart/mixed; boundary=b');
      },
    };
  };
  const bulk = (request: DataverseRequest, kind: 'CreateMultiple' | 'UpdateMultiple') => {
    const { Targets } = JSON.parse(request.body ?? '{}') as { Targets: Row[] };
    const act = (): DataverseResponse => {
      const refused = Targets.map((row) => refusal(kind === 'CreateMultiple' ? 'create' : 'update', row)).find(Boolean);
      if (refused) throw serviceError(...refused);
      Targets.forEach(write);
      return response('{}');
    };
    return { sent: { kind, rows: Targets }, act };
  };
  const lookUp = (request: DataverseRequest) => {
    const query = new URLSearchParams(request.path.split('?')[1]);
    const wanted: string[] = JSON.parse(query.get('@v') ?? '[]');
    const name = (query.get('@c') ?? '').replaceAll("'", '');
    const act = (): DataverseResponse => {
      const value = [...rows.values()].filter((row) => wanted.some((each) => same(row[name], each)));
      return response(JSON.stringify({ value }));
    };
    return { sent: { kind: 'lookUp' as const, rows: wanted.map((each) => ({ [name]: each })) }, act };
  };

  const client: DataverseClient = {
    async send(request) {
      const kind = /(CreateMultiple|UpdateMultiple)$/.exec(request.path)?.[1] as Sent['kind'] | undefined;
      const call =
        request.path === '$batch'
          ? batch(request)
          : kind === 'CreateMultiple' || kind === 'UpdateMultiple'
            ? bulk(request, kind)
            : lookUp(request);
      if (request.meter) request.meter.calls += 1;
      sent.push(call.sent);
      const found = fault(call.sent);
      if (found?.before) throw found.before;
      const answer = call.act();
      if (found?.after) throw found.after;
      return answer;
    },
  };
  return {
    client,
    rows,
    sent,
    byNumber: (number: string) => [...rows.values()].find((row) => row['accountnumber'] === number),
  };
}

const same = (a: unknown, b: unknown): boolean => sameKey({ key: String(a) }) === sameKey({ key: String(b) });

export const serviceError = (status: number, code: string): DataverseError =>
  errorFromAnswer({
    status,
    contentType: 'application/json',
    text: JSON.stringify({ error: { code, message: `refused with ${code}` } }),
  });

const response = (text: string, contentType = 'application/json'): DataverseResponse => ({
  status: 200,
  header: (name) => (name === 'content-type' ? contentType : undefined),
  text,
  json: () => JSON.parse(text),
});
