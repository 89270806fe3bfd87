import type { Definition } from '../metadata.ts';
import type { WrittenDefinition } from './body.ts';
import type { Change } from './customize.ts';

/** A column that is being made or changed. */
export interface ColumnDraft {
  readonly change: Change;
  readonly written: WrittenDefinition;
  readonly table: string;
  readonly schemaName: string;
  readonly id: string;
  /** The definition as it is; undefined while the column is made. */
  readonly current: Definition | undefined;
}
