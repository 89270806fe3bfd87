import type { RowKey } from '../table.ts';

/** What can become of an input row. */
export const OUTCOMES = ['created', 'updated', 'unchanged', 'deleted', 'rejected', 'skipped'] as const;

export type OutcomeKind = (typeof OUTCOMES)[number];

/** Why a row was rejected or skipped. */
export interface RowError {
  /** Ours (`valueTooLong`, `duplicateKey`, …) or the service's (`0x80040217`). */
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly column?: string;
}

export interface RowOutcome {
  /** Position in the input, from 0. */
  readonly index: number;
  readonly key: RowKey;
  readonly outcome: OutcomeKind;
  readonly id?: string;
  readonly error?: RowError;
}

export type OutcomeCounts = Record<OutcomeKind, number>;

export const noOutcomes = (): OutcomeCounts => ({
  created: 0,
  updated: 0,
  unchanged: 0,
  deleted: 0,
  rejected: 0,
  skipped: 0,
});
