import type { TableClient, TableEntityResult } from '@azure/data-tables';
import { abortable, createOnFirstUse } from './create-on-first-use.ts';
import { isMissing, StorageError, storageError } from './errors.ts';

/** Integers within 32 bits are stored as Int32, other numbers as Double. */
export type TableValue = string | number | boolean;

/**
 * A row of a table. `partition` and `row` hold no `/ \ # ?` and no control characters; a text property takes 32 Ki
 * UTF-16 units, an entity 1 MiB. Property names are letters, digits and `_`, and none of `partitionKey`, `rowKey`,
 * `etag`, `timestamp`.
 */
export interface TableEntity {
  readonly partition: string;
  readonly row: string;
  readonly properties: Readonly<Record<string, TableValue>>;
}

export interface StoredEntity extends TableEntity {
  /** In the service's weak form `W/"…"`, to be passed back as it is. */
  readonly etag: string;
}

/** `name` is `partition`, `row` or a property. Values that differ in type never match. */
export interface TableCondition {
  readonly name: string;
  readonly is: 'eq' | 'ne' | 'lt' | 'le' | 'gt' | 'ge';
  readonly value: string | boolean;
}

export interface TableQuery {
  /** All of them hold. */
  readonly where?: readonly TableCondition[];
  /** How many entities to give at most. */
  readonly limit: number;
  /** From the page before. */
  readonly continuation?: string;
}

export interface TablePage {
  /** In the order of partition and row. */
  readonly entities: StoredEntity[];
  /** Where the next page begins; absent on the last. Opaque, safe in a URL's query when encoded. */
  readonly continuation?: string;
}

/**
 * One table. The first insert or put makes it; nothing is found in a table that does not exist.
 *
 * All methods throw `StorageError`; an aborted one throws the signal's reason.
 */
export interface TableStore {
  get(partition: string, row: string, signal?: AbortSignal): Promise<StoredEntity | undefined>;
  /** Throws `conflict` where the row exists. */
  insert(entity: TableEntity, signal?: AbortSignal): Promise<{ etag: string }>;
  /** Writes the row, whatever is there in its place. */
  put(entity: TableEntity, signal?: AbortSignal): Promise<void>;
  /** Replaces all properties of this version of the row; throws `conflict` if it has another, `notFound` if it is gone. */
  replace(entity: TableEntity, etag: string, signal?: AbortSignal): Promise<{ etag: string }>;
  /** False where there was no such row; throws `conflict` where `etag` is given and is not the row's. */
  remove(partition: string, row: string, etag?: string, signal?: AbortSignal): Promise<boolean>;
  /** Asks the service until there are `limit` entities or no more; a condition off the keys scans what precedes. */
  query(query: TableQuery, signal?: AbortSignal): Promise<TablePage>;
}

/** The service answers with no more at a time. */
const MAX_PAGE = 1000;

export function tableStore(name: string, table: () => Promise<TableClient>): TableStore {
  const withHome = createOnFirstUse(async () => (await table()).createTable());
  const attempt = async <T>(
    verb: string,
    signal: AbortSignal | undefined,
    run: (client: TableClient) => Promise<T>,
  ): Promise<T> => {
    try {
      signal?.throwIfAborted();
      return await run(await table());
    } catch (error) {
      throw storageError(error, `Cannot ${verb} the table ${name}`, signal);
    }
  };

  return {
    get: (partition, row, signal) =>
      attempt('read from', signal, async (client) => {
        try {
          return stored(await client.getEntity(partition, row, abortable(signal)));
        } catch (error) {
          if (isMissing(error)) return undefined;
          throw error;
        }
      }),
    insert: (entity, signal) =>
      attempt('insert into', signal, async (client) => {
        const answer = await withHome(() => client.createEntity(sdkEntity(entity), abortable(signal)));
        return { etag: etagOf(answer.etag) };
      }),
    put: (entity, signal) =>
      attempt('write into', signal, async (client) => {
        await withHome(() => client.upsertEntity(sdkEntity(entity), 'Replace', abortable(signal)));
      }),
    replace: (entity, etag, signal) =>
      attempt('change a row of', signal, async (client) => {
        const answer = await client.updateEntity(sdkEntity(entity), 'Replace', { etag, ...abortable(signal) });
        return { etag: etagOf(answer.etag) };
      }),
    remove: (partition, row, etag = '*', signal) =>
      attempt('remove from', signal, async (client) => {
        try {
          await client.deleteEntity(partition, row, { etag, ...abortable(signal) });
          return true;
        } catch (error) {
          if (isMissing(error)) return false;
          throw error;
        }
      }),
    query: ({ where = [], limit, continuation }, signal) =>
      attempt('query', signal, async (client) => {
        const filter = where.map(conditionText).join(' and ');
        const listed = client.listEntities({ queryOptions: filter ? { filter } : {}, ...abortable(signal) });
        const entities: StoredEntity[] = [];
        let next = continuation;
        try {
          do {
            const from = next === undefined ? {} : { continuationToken: next };
            const { value: page } = await listed
              .byPage({ maxPageSize: Math.min(limit - entities.length, MAX_PAGE), ...from })
              .next();
            entities.push(...(page ?? []).map(stored));
            next = page?.continuationToken;
          } while (next !== undefined && entities.length < limit);
        } catch (error) {
          if (!isMissing(error)) throw error;
          next = undefined;
        }
        return { entities, ...(next === undefined ? {} : { continuation: next }) };
      }),
  };
}

type SdkEntity = { partitionKey: string; rowKey: string } & Record<string, unknown>;

function sdkEntity({ partition, row, properties }: TableEntity): SdkEntity {
  const typed = Object.entries(properties).map(([name, value]) => [
    name,
    typeof value === 'number' ? numberOf(value) : value,
  ]);
  return { ...Object.fromEntries(typed), partitionKey: partition, rowKey: row };
}

/** A bare JSON number that is no Int32 is refused, or read back as another type. */
const numberOf = (value: number): number | { type: 'Double'; value: string } =>
  (value | 0) === value ? value : { type: 'Double', value: String(value) };

function stored(result: TableEntityResult<Record<string, unknown>>): StoredEntity {
  const { partitionKey = '', rowKey = '', etag, timestamp: _changedAt, ...rest } = result;
  const properties: Record<string, TableValue> = {};
  for (const [name, value] of Object.entries(rest)) {
    // Metadata of the answer, such as `odata.metadata`; a property's name has no dot.
    if (name.includes('.')) continue;
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') properties[name] = value;
  }
  return { partition: partitionKey, row: rowKey, properties, etag };
}

const KEY_NAMES: Readonly<Record<string, string>> = { partition: 'PartitionKey', row: 'RowKey' };

function conditionText({ name, is, value }: TableCondition): string {
  // The name goes into the filter as it is, so that only a name may pass.
  if (!/^[A-Za-z_]\w*$/.test(name)) throw new StorageError('refused', `'${name}' is not the name of a property.`);
  const literal = typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : String(value);
  return `${KEY_NAMES[name] ?? name} ${is} ${literal}`;
}

function etagOf(etag: string | undefined): string {
  if (!etag) throw new StorageError('refused', 'The service answered without an ETag.');
  return etag;
}
