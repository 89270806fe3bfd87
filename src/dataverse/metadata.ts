import type { Clock } from '../shared/clock.ts';
import { abortable } from './abortable.ts';
import type { DataverseClient } from './client.ts';
import {
  type Definition,
  type DefinitionReader,
  navigationsOf,
  partsFor,
  readDefinition,
  readEntitySets,
  readParts,
  targetsOf,
  toTable,
} from './definition.ts';
import { DataverseError } from './errors.ts';
import { activeKey, type Navigation, type Table, type TableShape } from './table.ts';
import type { DefinitionPart } from './wire/definitions.ts';

/**
 * Definitions of tables by logical name, entity set name or MetadataId, from a cache of a few minutes. Only what is
 * asked for is read, once for all who ask at the same time. Every method throws DataverseError `tableUnknown` or
 * `tableNotAllowed`, and what the client throws.
 */
export interface Metadata {
  /** What rows of a table look like: enough to read them. */
  shape(name: string, signal?: AbortSignal): Promise<TableShape>;
  /**
   * What writing rows of a table takes. A definition that lacks what is needed is read anew, since it may have been
   * made since.
   */
  table(name: string, needs?: TableNeeds, signal?: AbortSignal): Promise<Table>;
  /** What leads from rows of a table to other rows, by navigation property: through its lookups only, or all. */
  navigations(name: string, which: 'lookups' | 'all', signal?: AbortSignal): Promise<ReadonlyMap<string, Navigation>>;
  /** Throws DataverseError `tableNotAllowed` for the logical name of a table that the connection may not touch. */
  assertAllowed(table: string): void;
  /** To be told the version of all definitions whenever an answer has it: a new one ends the cache. */
  noteVersion(version: string | undefined): void;
  /** Ends the cache, for definitions have been changed. */
  forget(): void;
}

/** What a caller wants of a table. */
export interface TableNeeds {
  /** The columns in use by logical name: what is known of others may be incomplete. Left out, all of them. */
  readonly columns?: readonly string[];
  /** There should be an active alternate key on just these columns. */
  readonly keyColumns?: readonly string[];
}

export interface MetadataOptions extends DefinitionReader {
  readonly allowedTables: ReadonlySet<string> | undefined;
  readonly clock: Clock;
  readonly lifetimeMs?: number;
}

/** A definition that lacked something is read anew this often at most: a caller's mistake must not become a flood of reads. */
const ANEW_MS = 2_000;

/** A read that would have to wait longer than this for service protection limits fails, while its callers still listen. */
const LONGEST_READ_MS = 60_000;

/** Versions of all definitions that are remembered. */
const MOST_VERSIONS = 100;

/** Names that are remembered; a table is remembered under up to three. */
const MOST_NAMES = 600;

interface Cached {
  readonly definition: Promise<Definition>;
  readonly readAt: number;
}

export function createMetadata(options: MetadataOptions): Metadata {
  const { clock, allowedTables, lifetimeMs = 5 * 60_000 } = options;
  const cache = new Map<string, Cached>();
  const readAnewAt = new Map<string, number>();
  const entitySets = new Map<string, string>();
  const tables = new WeakMap<Definition, { readonly table: Table; readonly of: string }>();
  const versions = new Set<string>();

  const isAllowed = (table: string): boolean => allowedTables?.has(table) ?? true;
  const since = (time: number | undefined): number => clock.now() - (time ?? Number.NEGATIVE_INFINITY);
  const keep = (name: string, cached: Cached): void => {
    cache.delete(name);
    cache.set(name, cached);
    for (const oldest of cache.keys()) {
      if (cache.size <= MOST_NAMES) break;
      cache.delete(oldest);
    }
  };

  /** Shared by all callers, so no caller's signal may abort it. */
  const read = (name: string): Promise<Definition> => {
    const cached: Cached = { definition: readDefinition(within(options), name), readAt: clock.now() };
    keep(name, cached);
    cached.definition.then(
      ({ shape }) => {
        if (cache.get(name) !== cached) return;
        for (const other of [shape.logicalName, shape.entitySetName]) keep(other, cached);
      },
      () => {
        if (cache.get(name) === cached) cache.delete(name);
      },
    );
    return cached.definition;
  };

  const find = (name: string): Promise<Definition> => {
    const cached = cache.get(name);
    if (!cached || since(cached.readAt) >= lifetimeMs) return read(name);
    keep(name, cached);
    return cached.definition;
  };

  /** The definition as it is, or read anew where it lacks something and was not read anew a moment ago. */
  const definitionWith = async (name: string, lacks: (definition: Definition) => boolean): Promise<Definition> => {
    const definition = await find(name);
    const { logicalName } = definition.shape;
    assertAllowed(logicalName);
    if (!lacks(definition) || since(readAnewAt.get(logicalName)) < ANEW_MS) return definition;
    if (readAnewAt.size >= MOST_NAMES) readAnewAt.clear();
    readAnewAt.set(logicalName, clock.now());
    return read(logicalName);
  };

  const assertAllowed = (table: string): void => {
    if (isAllowed(table)) return;
    throw new DataverseError(
      'tableNotAllowed',
      `The connection may not touch the table '${table}'.`,
      {},
      { hint: 'Add the table to the connection’s allowedTables setting.' },
    );
  };

  const complete = async (definition: Definition, columns: readonly string[] | undefined): Promise<Table> => {
    await readParts(within(options), definition, partsFor(definition, columns));
    const unnamed = targetsOf(definition, columns, isAllowed).filter((table) => !entitySets.has(table));
    if (unnamed.length > 0) {
      for (const [table, name] of await readEntitySets(within(options), unnamed)) entitySets.set(table, name);
    }
    const of = `${[...definition.parts.keys()].join()} ${entitySets.size}`;
    const made = tables.get(definition);
    if (made?.of === of) return made.table;
    const table = toTable(definition, entitySets, isAllowed);
    tables.set(definition, { table, of });
    return table;
  };

  const tableWith = async (name: string, { columns, keyColumns = [] }: TableNeeds): Promise<Table> => {
    const used = columns && [...columns, ...keyColumns];
    const lacksColumn = ({ shape }: Definition): boolean => used?.some((each) => !shape.columns.has(each)) ?? false;
    const table = await complete(await definitionWith(name, lacksColumn), used);
    if (keyColumns.length === 0 || activeKey(table, keyColumns) !== undefined) return table;
    return complete(await definitionWith(name, () => true), used);
  };

  const shapeOf = async (name: string): Promise<TableShape> => (await definitionWith(name, () => false)).shape;

  const navigationsFrom = async (name: string, which: 'lookups' | 'all') => {
    const definition = await definitionWith(name, () => false);
    const parts: DefinitionPart[] = which === 'all' ? ['manyToOne', 'oneToMany', 'manyToMany'] : ['manyToOne'];
    await readParts(within(options), definition, parts);
    return navigationsOf(definition);
  };

  const forget = (): void => {
    cache.clear();
    entitySets.clear();
  };

  return {
    shape: (name, signal) => abortable(shapeOf(name), signal),
    table: (name, needs = {}, signal) => abortable(tableWith(name, needs), signal),
    navigations: (name, which, signal) => abortable(navigationsFrom(name, which), signal),
    assertAllowed,
    noteVersion(noted) {
      // Web servers learn of a change one by one, so that an older version may be heard of again for a while.
      if (noted === undefined || versions.has(noted)) return;
      if (versions.size > 0) forget();
      if (versions.size >= MOST_VERSIONS) versions.clear();
      versions.add(noted);
    },
    forget,
  };
}

/** The same, through a client that waits no longer than one read may take in all. */
function within(options: MetadataOptions): MetadataOptions {
  const deadline = options.clock.now() + LONGEST_READ_MS;
  const client: DataverseClient = {
    ...options.client,
    send: (request) => options.client.send({ ...request, deadline }),
  };
  return { ...options, client };
}
