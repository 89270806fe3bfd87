import type { Clock } from '../../shared/clock.ts';
import type { NewId } from '../../shared/ids.ts';
import type { CustomizationLock } from './definitions/customization-lock.ts';
import type { Effort } from './effort.ts';
import type { OrganizationFacts, RowEvent } from './events/row-event.ts';
import type { Keys } from './keys.ts';
import type { Catalog, Table } from './metadata.ts';
import type { PrivilegeCatalog } from './privileges.ts';
import type { Roles } from './roles.ts';
import type { Caller, Guard } from './security.ts';
import type { Steps } from './steps.ts';
import type { Store, StoredValue } from './store.ts';

/** The facts of the organization that the emulator plays. */
export interface Organization extends OrganizationFacts {
  readonly businessUnitId: string;
  readonly baseCurrencyId: string;
  readonly version: string;
}

/** How the service is taken to behave where no source confirms it. */
export interface Assumptions {
  /** The answer to an UpsertMultiple in which two targets name one row. */
  readonly duplicateTargets: { readonly status: number; readonly code: string };
  /** The annotation in which an elastic table's bulk message tells what became of each target. */
  readonly bulkDetails: string;
  /** What becomes of a column in a body that cannot be written. */
  readonly readOnlyColumns: 'ignored' | 'refused';
  /** What becomes of a key in a path with one of the characters that are documented as not working there. */
  readonly keyCharacters: 'refused' | 'taken';
  /** `$top`, `$orderby` and `$count` of definitions. */
  readonly definitionOptions: 'refused' | 'answered';
  /** `contains`, `startswith` and `endswith` in a filter of definitions. */
  readonly definitionTextFilters: 'refused' | 'answered';
}

/** What every request works on. */
export interface Environment {
  readonly catalog: Catalog;
  readonly store: Store;
  readonly keys: Keys;
  readonly customizing: CustomizationLock;
  readonly privileges: PrivilegeCatalog;
  readonly roles: Roles;
  readonly guard: Guard;
  readonly steps: Steps;
  readonly organization: Organization;
  readonly clock: Clock;
  readonly newId: NewId;
  /** Most rows of one page. */
  readonly pageSizeMax: number;
  /** Most rows that an aggregation may read. */
  readonly aggregateMax: number;
  readonly assumptions: Assumptions;
  /** Throws WireError when a rule refuses to have these values written into a row of the table. */
  checkRow(table: string, values: ReadonlyMap<string, StoredValue>): void;
}

/** A row that another request, or another operation of the change set, names. */
export interface RowReference {
  readonly table: Table;
  readonly id: string;
}

/** One request in progress: who asks, and what it did so far. */
export interface Work {
  readonly env: Environment;
  readonly caller: Caller;
  /** `https://host/api/data/v9.2/` */
  readonly root: string;
  readonly correlationId: string;
  readonly requestId: string;
  /** `?tag=` of the request, for events. */
  readonly tag?: string | undefined;
  /** Rows that earlier operations of the change set made, by their Content-ID. */
  readonly contentIds?: Map<string, RowReference>;
  /** What the whole HTTP request made the service do so far. */
  readonly effort: Effort;
  /** Raised by writes; delivered once the transaction is committed. */
  readonly events: RowEvent[];
}
