import { sameKey } from '../../../../src/dataverse/bulk/keys.ts';
import type { Transport, TransportRequest, TransportResponse } from '../../../../src/dataverse/transport.ts';
import type { Clock } from '../../../../src/shared/clock.ts';

export type Row = Readonly<Record<string, unknown>>;
export type Kind = 'create' | 'update' | 'upsert' | 'delete';

/** What a request is about, as far as tests decide by it. */
export interface Sent {
  readonly form: 'query' | 'support' | 'bulk' | 'batch' | 'single';
  /** Of a `$batch`, the kind of its first operation. */
  readonly kind: Kind | 'lookUp';
  readonly rows: readonly Row[];
  readonly at: number;
}

/** What becomes of a request; nothing lets it go on. */
export interface Fault {
  /** Refused before anything is carried out. */
  readonly status?: number;
  readonly code?: string;
  readonly message?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Something other than Dataverse answers with this status. */
  readonly html?: number;
  /** The connection ends before or after the request is carried out. */
  readonly reset?: 'before' | 'after';
  /** Parts of a batch's answer that arrive. */
  readonly parts?: number;
  /** Milliseconds that the request takes longer. */
  readonly slow?: number;
}

/** Milliseconds that the service takes. */
export interface ServiceModel {
  readonly call: number;
  readonly create: number;
  readonly update: number;
  /** Of an operation inside a `$batch`. */
  readonly operation: number;
  readonly key: number;
}

export interface SimulationOptions {
  readonly clock: Clock;
  readonly rows?: readonly Row[];
  readonly fault?: (sent: Sent, number: number) => Fault | undefined;
  readonly model?: ServiceModel;
  /** An elastic table: bulk messages take some rows and not others, and tell of each if `statuses`. */
  readonly elastic?: { readonly statuses: boolean };
  /** Messages that the table has no filter for are refused. */
  readonly bulkMessages?: boolean;
  readonly batches?: boolean;
  /** Why a row is refused, whatever is done to it: a code, or a status and a code. */
  readonly refuses?: (row: Row, kind: Kind) => string | readonly [number, string] | undefined;
  readonly hint?: number;
}

class Refused extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string) {
    super(`refused with ${code}`);
    this.status = status;
    this.code = code;
  }
}

/** The account number in a target's address. */
const keyIn = (row: Row): string | undefined =>
  /\(accountnumber='(.*)'\)$/.exec(decodeURIComponent(String(row['@odata.id'] ?? '')))?.[1]?.replaceAll("''", "'");

const UNIQUE = ['accountnumber', 'tickersymbol'] as const;
type Unique = (typeof UNIQUE)[number];

/** Rows by id, with indices on the unique columns. */
class Accounts extends Map<string, Row> {
  readonly #byValue = new Map<string, string>();

  holder(column: string, value: unknown): string | undefined {
    return this.#byValue.get(sameKey({ [column]: String(value) }));
  }

  override set(id: string, row: Row): this {
    this.delete(id);
    for (const key of this.#keys(row)) this.#byValue.set(key, id);
    return super.set(id, row);
  }

  override delete(id: string): boolean {
    for (const key of this.#keys(this.get(id) ?? {})) this.#byValue.delete(key);
    return super.delete(id);
  }

  #keys(row: Row): string[] {
    return UNIQUE.flatMap((column) => (row[column] == null ? [] : [sameKey({ [column]: String(row[column]) })]));
  }
}

const reset = (): Error => Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' });
const same = (a: unknown, b: unknown): boolean => sameKey({ k: String(a) }) === sameKey({ k: String(b) });

interface Operation {
  readonly kind: Kind;
  readonly row: Row;
}

/**
 * Accounts in memory behind a transport, with unique account numbers and ticker symbols: bulk messages are all or
 * nothing, operations of a batch stand alone. What a request does happens at the end of its time. `races` tells rows
 * that two requests wrote at the same time, or one request twice.
 */
export function simulateService(options: SimulationOptions) {
  const { clock, model, elastic } = options;
  const rows = new Accounts();
  for (const row of options.rows ?? [])
    rows.set(String(row['accountid']), { ...row, createdon: '2020-01-01T00:00:00Z' });
  const sent: Sent[] = [];
  const races: string[] = [];
  const inFlight = new Set<string>();
  let calls = 0;
  let mostCalls = 0;

  const owner = (column: Unique, value: unknown): string | undefined =>
    value == null ? undefined : rows.holder(column, value);

  const carryOut = ({ kind, row }: Operation): void => {
    const id = idOf(row);
    const refusal = options.refuses?.(row, kind);
    if (refusal) throw typeof refusal === 'string' ? new Refused(400, refusal) : new Refused(...refusal);
    if (kind === 'delete') {
      if (!id || !rows.delete(id)) throw new Refused(404, '0x80040217');
      return;
    }
    const exists = id !== undefined && rows.has(id);
    if (kind === 'create' && exists) throw new Refused(412, '0x80040237');
    if (kind === 'update' && !exists) throw new Refused(404, '0x80040217');
    for (const column of UNIQUE) {
      const holder = owner(column, row[column]);
      if (holder !== undefined && holder !== id) throw new Refused(412, '0x80060892');
    }
    const { '@odata.type': _, '@odata.id': __, ...values } = row;
    const number = keyIn(row);
    const target = targetOf(row);
    const createdon = rows.get(target)?.['createdon'] ?? new Date(clock.now()).toISOString().replace(/\.\d+/, '');
    rows.set(target, {
      ...(number !== undefined && { accountnumber: number }),
      ...rows.get(target),
      ...values,
      accountid: target,
      createdon,
    });
  };
  /** The id that a target names, or that its key leads to. */
  const idOf = (row: Row): string | undefined => {
    const number = keyIn(row);
    if (number !== undefined) return owner('accountnumber', number);
    return row['accountid'] === undefined ? undefined : String(row['accountid']);
  };
  /** An upsert by key carries no id, and its key stands in its address only. */
  const targetOf = (row: Row): string => idOf(row) ?? `made-${keyIn(row)}`;
  const undoable = (operations: readonly Operation[]): void => {
    const before = operations.map(({ row }) => ({ id: targetOf(row), row: rows.get(targetOf(row)) }));
    try {
      operations.forEach(carryOut);
    } catch (error) {
      for (const { id, row } of before) {
        if (row) rows.set(id, row);
        else rows.delete(id);
      }
      throw error;
    }
  };
  const one = (operation: Operation): Refused | undefined => {
    try {
      carryOut(operation);
      return undefined;
    } catch (error) {
      if (error instanceof Refused) return error;
      throw error;
    }
  };

  const bulk = (operations: readonly Operation[]): TransportResponse => {
    if (options.bulkMessages === false) throw new Refused(400, '0x80040800');
    if (!elastic) {
      undoable(operations);
      return answer(204);
    }
    const refusals = operations.map(one);
    if (!refusals.some(Boolean)) return answer(204);
    const details = refusals.map((refusal, RequestIndex) => ({ RequestIndex, StatusCode: refusal?.status ?? 201 }));
    const statuses = { '@Microsoft.PowerApps.CDS.ErrorDetails.Plugin.BulkApiErrorDetails': JSON.stringify(details) };
    const error = { code: '0x80040203', message: 'some were refused', ...(elastic.statuses && statuses) };
    return answer(400, { error });
  };
  const batch = (operations: readonly Operation[], parts = operations.length): TransportResponse => {
    if (options.batches === false) throw new Refused(501, '0x80040219');
    const texts = operations.map((operation) => {
      const refused = one(operation);
      const body = refused ? JSON.stringify({ error: { code: refused.code, message: refused.message } }) : '';
      const head = `HTTP/1.1 ${refused?.status ?? 204} X\r\nContent-Type: application/json`;
      return `--b\r\nContent-Type: application/http\r\n\r\n${head}\r\n\r\n${body}\r\n`;
    });
    const end = parts < operations.length ? '--b\r\nContent-Type: appl' : '--b--\r\n';
    return answer(200, texts.slice(0, parts).join('') + end, 'multipart/mixed; boundary=b');
  };
  const query = (wanted: readonly Row[]): TransportResponse => {
    const columns = Object.keys(wanted[0] ?? {});
    const key = (row: Row): string => sameKey(Object.fromEntries(columns.map((name) => [name, String(row[name])])));
    const keys = new Set(wanted.map(key));
    return answer(200, { value: [...rows.values()].filter((row) => keys.has(key(row))) });
  };

  const act = ({ form, operations, wanted }: Parsed, fault: Fault | undefined): TransportResponse => {
    try {
      if (form === 'support') return support();
      if (form === 'query') return query(wanted);
      if (form === 'bulk') return bulk(operations);
      if (form === 'batch') return batch(operations, fault?.parts);
      operations.forEach(carryOut);
      return answer(204);
    } catch (error) {
      if (error instanceof Refused)
        return answer(error.status, { error: { code: error.code, message: error.message } });
      throw error;
    }
  };
  const support = (): TransportResponse => {
    const names = options.bulkMessages === false ? [] : ['CreateMultiple', 'UpdateMultiple'];
    return answer(200, { value: names.map((name) => ({ sdkmessageid: { name } })) });
  };
  const answer = (status: number, body?: unknown, contentType = 'application/json'): TransportResponse => ({
    status,
    headers: { 'content-type': contentType, ...(options.hint && { 'x-ms-dop-hint': String(options.hint) }) },
    body: Buffer.from(typeof body === 'string' ? body : body === undefined ? '' : JSON.stringify(body)),
  });
  const refuse = ({ status = 500, code, message = 'told by a fault', headers, html }: Fault): TransportResponse => {
    if (html) return { ...answer(html, '<html>'), headers: { 'content-type': 'text/html' } };
    return {
      ...answer(status, { error: { code, message } }),
      headers: { 'content-type': 'application/json', ...headers },
    };
  };
  const serviceTime = ({ form, operations, wanted }: Parsed): number => {
    if (!model) return 0;
    const each = ({ kind }: Operation): number =>
      form === 'batch' ? model.operation : kind === 'create' ? model.create : model.update;
    return model.call + wanted.length * model.key + operations.reduce((sum, operation) => sum + each(operation), 0);
  };

  const transport: Transport = async (request) => {
    const parsed = parse(request);
    const { form, kind, operations, wanted } = parsed;
    const seen: Sent = {
      form,
      kind,
      rows: wanted.length > 0 ? wanted : operations.map(({ row }) => row),
      at: clock.now(),
    };
    sent.push(seen);
    const fault = options.fault?.(seen, sent.length);
    calls += 1;
    mostCalls = Math.max(mostCalls, calls);
    const written = operations.map(({ row }) => String(row['accountid'] ?? row['@odata.id']));
    for (const id of written) {
      if (inFlight.has(id)) races.push(id);
      inFlight.add(id);
    }
    try {
      const time = serviceTime(parsed) + (fault?.slow ?? 0);
      if (time > 0) await clock.sleep(time, request.signal);
      if (fault?.reset === 'before') throw reset();
      if (fault?.status || fault?.html) return refuse(fault);
      const answered = act(parsed, fault);
      if (fault?.reset === 'after') throw reset();
      return answered;
    } finally {
      calls -= 1;
      for (const id of written) inFlight.delete(id);
    }
  };
  return {
    transport,
    rows,
    sent,
    races,
    /** Requests that write or look up, by form and kind. */
    get requests(): string[] {
      return sent.map(({ form, kind }) => (form === 'query' ? 'lookUp' : `${form} ${kind}`));
    },
    get mostCalls(): number {
      return mostCalls;
    },
    byNumber: (number: string) => [...rows.values()].find((row) => same(row['accountnumber'], number)),
  };
}

interface Parsed {
  readonly form: Sent['form'];
  readonly kind: Sent['kind'];
  readonly operations: readonly Operation[];
  readonly wanted: readonly Row[];
}

const KIND_OF: Readonly<Record<string, Kind>> = {
  CreateMultiple: 'create',
  UpdateMultiple: 'update',
  UpsertMultiple: 'upsert',
  DeleteMultiple: 'delete',
};

function parse({ method, url, headers, body = '' }: TransportRequest): Parsed {
  const path = decodeURIComponent(url.pathname.replace(/^\/api\/data\/v9\.2\//, ''));
  const text = String(body);
  if (path === 'sdkmessagefilters') return { form: 'support', kind: 'lookUp', operations: [], wanted: [] };
  const message = KIND_OF[/\.(\w+Multiple)$/.exec(path)?.[1] ?? ''];
  if (message) {
    const { Targets } = JSON.parse(text) as { Targets: Row[] };
    return { form: 'bulk', kind: message, wanted: [], operations: Targets.map((row) => ({ kind: message, row })) };
  }
  if (path === '$batch') {
    const operations = text
      .split(/--batch_\S+/)
      .slice(1, -1)
      .map(readPart);
    return { form: 'batch', kind: operations[0]?.kind ?? 'create', operations, wanted: [] };
  }
  if (method === 'GET') return { form: 'query', kind: 'lookUp', operations: [], wanted: readFilter(url.searchParams) };
  const operation = readOperation(method, path, headers['if-match'] !== undefined, text);
  return { form: 'single', kind: operation.kind, operations: [operation], wanted: [] };
}

function readPart(text: string): Operation {
  const [, method = '', path = ''] = /^(POST|PATCH|DELETE) \/api\/data\/v9\.2\/(\S*) HTTP/m.exec(text) ?? [];
  const json = /\r\n\r\n(\{.*\})\r\n/s.exec(text)?.[1] ?? '';
  return readOperation(method, decodeURIComponent(path), /^if-match:/im.test(text), json);
}

function readOperation(method: string, path: string, updateOnly: boolean, json: string): Operation {
  const values = json === '' ? {} : (JSON.parse(json) as Row);
  if (method === 'POST') return { kind: 'create', row: values };
  const key = /\((.*)\)/.exec(path)?.[1] ?? '';
  const row = key.includes('=') ? { '@odata.id': path, ...values } : { ...values, accountid: key };
  return { kind: method === 'DELETE' ? 'delete' : updateOnly ? 'update' : 'upsert', row };
}

/** The combinations of values that a query asks for. */
function readFilter(parameters: URLSearchParams): Row[] {
  const values = parameters.get('@v');
  if (values !== null) {
    const name = (parameters.get('@c') ?? '').replaceAll("'", '');
    return (JSON.parse(values) as unknown[]).map((value) => ({ [name]: value }));
  }
  const groups = [...(parameters.get('$filter') ?? '').matchAll(/\(((?:'(?:[^']|'')*'|[^'()])*)\)/g)];
  return groups.map(([, group = '']) =>
    Object.fromEntries(
      [...group.matchAll(/(\w+) eq (?:'((?:[^']|'')*)'|([^' ]+))/g)].map(([, name, text, bare]) => [
        name ?? '',
        text?.replaceAll("''", "'") ?? bare,
      ]),
    ),
  );
}
