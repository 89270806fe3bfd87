import { StorageError } from '../storage/errors.ts';
import type { Storage } from '../storage/storage.ts';
import type { StoredEntity, TableCondition, TableEntity } from '../storage/tables.ts';
import { WebhookError } from './errors.ts';
import type { ExecutionContext } from './execution-context.ts';
import {
  BODY_CONTAINER,
  countdown,
  EVENT_QUEUE,
  eventId,
  isEventId,
  parseQueuedEvent,
  partitionOf,
  type QueuedEvent,
  unpackBody,
} from './queued-event.ts';

/** One event as users see it. Times are ISO 8601 in UTC. */
export type WebhookEvent = RecognisedEvent | UnrecognisedEvent;

export interface RecognisedEvent {
  /** Ids in order are events newest first. */
  readonly id: string;
  readonly endpoint: string;
  /** Logical name. */
  readonly table: string;
  readonly row: string;
  readonly message: string;
  readonly state: 'received';
  readonly operationCreatedOn: string;
  readonly receivedAt: string;
  /** Null where the body is no longer kept. */
  readonly context: ExecutionContext | null;
}

export interface UnrecognisedEvent {
  readonly id: string;
  readonly endpoint: string;
  readonly table: null;
  readonly row: null;
  readonly message: null;
  readonly state: 'unrecognised';
  readonly operationCreatedOn: null;
  readonly receivedAt: string;
  /** The JSON as it came; its text where it is nested too deep, null where it is no longer kept. */
  readonly context: unknown;
}

export interface EventQuery {
  readonly table?: string | undefined;
  readonly row?: string | undefined;
  readonly message?: string | undefined;
  readonly state?: WebhookEvent['state'] | undefined;
  /** Milliseconds since 1970, of the operation (of the receipt where unrecognised): `from` inclusive, `to` exclusive. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  /** `nextPage` of the page before. */
  readonly page?: string | undefined;
  readonly pageSize: number;
}

export interface EventStore {
  /**
   * Stores a message of the queue, as the worker gets it. The same operation, correlation, step, row and message at one
   * endpoint is one event, whoever delivers it again.
   *
   * Throws `WebhookError` `messageUnreadable` for what is to end in the poison queue, `StorageError` for what is to be
   * tried again.
   */
  record(message: unknown, signal?: AbortSignal): Promise<'stored' | 'duplicate'>;
  get(id: string, signal?: AbortSignal): Promise<WebhookEvent | undefined>;
  /**
   * Events newest first, each with its context: most of these come with the table's row, only the largest are read from
   * a blob each. Filters scan what lies between `from` and `to`. Throws `WebhookError` `pageUnknown`.
   */
  list(query: EventQuery, signal?: AbortSignal): Promise<{ value: WebhookEvent[]; nextPage?: string }>;
}

const EVENT_TABLE = 'webhookevents';
const PARALLEL_READS = 8;

export function createEventStore({ storage }: { storage: Storage }): EventStore {
  const table = storage.table(EVENT_TABLE);
  const bodies = storage.blobs(BODY_CONTAINER);

  const packedBody = async (body: QueuedEvent['body'], signal: AbortSignal | undefined): Promise<Buffer | undefined> =>
    'inline' in body ? Buffer.from(body.inline, 'base64') : (await bodies.read(body.blob, signal))?.body;

  const eventOf = async (entity: StoredEntity, signal: AbortSignal | undefined): Promise<WebhookEvent> => {
    const { properties } = entity;
    const text = (name: string): string => String(properties[name] ?? '');
    const blob = properties['blob'];
    const packed = await packedBody(typeof blob === 'string' ? { blob } : { inline: text('inline') }, signal);
    const body = packed && (await unpackBody(packed));
    const facts = { id: entity.row, endpoint: text('endpoint'), receivedAt: text('receivedAt') };
    if (properties['state'] !== 'received') {
      const nothing = { table: null, row: null, message: null, operationCreatedOn: null };
      return { ...facts, ...nothing, state: 'unrecognised', context: body?.json ?? null };
    }
    return {
      ...facts,
      table: text('tableName'),
      row: text('rowId'),
      message: text('messageName'),
      state: 'received',
      operationCreatedOn: text('operationCreatedOn'),
      context: body?.context ?? null,
    };
  };

  return {
    async record(message, signal) {
      const queued = parseQueuedEvent(message);
      const packed = await packedBody(queued.body, signal);
      if (!packed) {
        throw new WebhookError(
          'messageUnreadable',
          `A message in the queue ${EVENT_QUEUE} from ${queued.receivedAt} refers to a body that is not there: ${BODY_CONTAINER}/${'blob' in queued.body ? queued.body.blob : ''}.`,
        );
      }
      const { context } = await unpackBody(packed);
      try {
        await table.insert(entityOf(queued, context), signal);
        return 'stored';
      } catch (error) {
        if (error instanceof StorageError && error.code === 'conflict') return 'duplicate';
        throw error;
      }
    },

    async get(id, signal) {
      const entity = isEventId(id) ? await table.get(partitionOf(id), id, signal) : undefined;
      return entity && eventOf(entity, signal);
    },

    async list(query, signal) {
      const { entities, continuation } = await table.query(
        { where: conditionsOf(query), limit: query.pageSize },
        signal,
      );
      const value: WebhookEvent[] = [];
      for (let start = 0; start < entities.length; start += PARALLEL_READS) {
        const some = entities.slice(start, start + PARALLEL_READS);
        value.push(...(await Promise.all(some.map((entity) => eventOf(entity, signal)))));
      }
      // The last id says where to go on, which stays true when events come in meanwhile.
      const last = entities.at(-1);
      return { value, ...(continuation !== undefined && last ? { nextPage: last.row } : {}) };
    },
  };
}

function entityOf(queued: QueuedEvent, context: ExecutionContext | undefined): TableEntity {
  const id = eventId(queued, context);
  const about = context && {
    tableName: context.table,
    rowId: context.row,
    messageName: context.message,
    operationCreatedOn: context.operationCreatedOn,
  };
  const { endpoint, receivedAt, body } = queued;
  const state: WebhookEvent['state'] = context ? 'received' : 'unrecognised';
  return {
    partition: partitionOf(id),
    row: id,
    properties: { version: 1, endpoint, receivedAt, state, ...about, ...body },
  };
}

function conditionsOf(query: EventQuery): TableCondition[] {
  const conditions: TableCondition[] = [];
  const equal = (name: string, value: string | undefined) => {
    if (value !== undefined) conditions.push({ name, is: 'eq', value });
  };
  // Ids count down: what is later sorts first. The partition narrows the scan to the days in question.
  const between = (is: 'lt' | 'ge' | 'gt', id: string) => {
    conditions.push({ name: 'partition', is: is === 'lt' ? 'le' : 'ge', value: partitionOf(id) });
    conditions.push({ name: 'row', is, value: id });
  };
  if (query.page !== undefined) {
    if (!isEventId(query.page)) throw new WebhookError('pageUnknown', 'The page is none that a list has named.');
    between('gt', query.page);
  }
  if (query.to !== undefined) between('ge', countdown(query.to - 1));
  if (query.from !== undefined) between('lt', countdown(query.from - 1));
  equal('tableName', query.table);
  equal('rowId', query.row?.toLowerCase());
  equal('messageName', query.message);
  equal('state', query.state);
  return conditions;
}
