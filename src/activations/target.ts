import type { KeyStrategy } from '../dataverse/bulk/keys.ts';
import type { RowOutcome } from '../dataverse/bulk/outcomes.ts';
import type { WriteProgress } from '../dataverse/bulk/progress.ts';
import type { RowToWrite, WriteMode } from '../dataverse/bulk/write-rows.ts';
import type { TableNeeds } from '../dataverse/metadata.ts';
import type { CallMeter } from '../dataverse/request.ts';
import type { Table } from '../dataverse/table.ts';

/** How the rows of a run are written. */
export interface WriteRequest {
  readonly table: Table;
  readonly strategy: KeyStrategy;
  readonly mode: WriteMode;
  /** Takes up what the writing costs. */
  readonly meter: CallMeter;
  readonly signal?: AbortSignal | undefined;
  /** Told after each call how many of them, and of how many rows, may be made at the same time. */
  readonly onProgress?: ((progress: Pick<WriteProgress, 'concurrency' | 'batchSize'>) => void) | undefined;
  /** When the rows were first sent, over all tries, in milliseconds since 1970. */
  readonly since?: number | undefined;
}

/** The environment that an activation writes to. */
export interface ActivationTarget {
  /** A table's definition. Throws DataverseError `tableUnknown` or `tableNotAllowed`. */
  table(name: string, needs: TableNeeds, signal?: AbortSignal): Promise<Table>;
  /**
   * Writes the rows and yields one outcome for each. Throws where a failure says nothing about the rows; writing the
   * same rows again is safe.
   */
  writeRows(request: WriteRequest, rows: AsyncIterable<RowToWrite>): AsyncIterable<RowOutcome>;
}

/** Opens the environment of a connection by the connection's name. */
export type OpenTarget = (connection: string, signal?: AbortSignal) => Promise<ActivationTarget>;
