import * as z from 'zod';
import { BridgeError } from '../../shared/errors.ts';
import { abortable } from '../abortable.ts';
import type { DataverseClient } from '../client.ts';
import type { Table } from '../table.ts';
import { supportPath } from '../wire/bulk.ts';
import { type CallLimits, type Experience, noExperience } from './effort.ts';

/** How rows of a table may travel, best first. */
export interface Forms {
  /** Whether the table has CreateMultiple and UpdateMultiple, and with them UpsertMultiple. */
  bulk: boolean;
  /** Whether the environment answers `$batch`. */
  batch: boolean;
}

/**
 * What tables of one environment support, and what writing them has cost. Answers are kept; the writer corrects them where
 * they prove wrong.
 */
export interface BulkSupport {
  /** Rejects only with the signal's reason. `deadline` in milliseconds since 1970: what is not told by then is assumed. */
  of(table: Table, limits?: AskLimits): Promise<Forms>;
  /** What earlier writes of the table with the same limits have left. */
  experience(table: Table, limits: CallLimits): Experience;
}

interface AskLimits {
  readonly signal?: AbortSignal | undefined;
  readonly deadline?: number | undefined;
}

const filters = z.object({ value: z.array(z.object({ sdkmessageid: z.object({ name: z.string() }).nullish() })) });

/**
 * Asks the service once for each table: a standard table supports a bulk message if a filter of the message names it,
 * an elastic one always (Dataverse, "Use bulk operation messages"). Where the application user may not read that, or
 * nothing is said, support is assumed: a refusal will tell.
 */
export function createBulkSupport(client: DataverseClient): BulkSupport {
  const known = new Map<string, Promise<Forms>>();
  const experiences = new Map<string, Experience>();
  const ask = async (table: Table, deadline: number | undefined): Promise<Forms> => {
    const forms: Forms = { bulk: true, batch: true };
    if (table.elastic) return forms;
    try {
      const answer = await client.send({ method: 'GET', path: supportPath(table.logicalName), deadline });
      const { data } = filters.safeParse(answer.json());
      const names = new Set(data?.value.map((each) => each.sdkmessageid?.name));
      if (data) forms.bulk = names.has('CreateMultiple') && names.has('UpdateMultiple');
    } catch (error) {
      if (!(error instanceof BridgeError)) throw error;
    }
    return forms;
  };
  return {
    async of(table, { signal, deadline } = {}) {
      let asked = known.get(table.logicalName);
      if (!asked) {
        // Shared by all callers, so no caller's signal may abort it.
        asked = ask(table, deadline);
        known.set(table.logicalName, asked);
        asked.catch(() => known.delete(table.logicalName));
      }
      return abortable(asked, signal);
    },
    experience({ logicalName }, limits) {
      const name = [logicalName, limits.batchSize, limits.targetMs].join();
      const found = experiences.get(name) ?? noExperience(limits);
      experiences.set(name, found);
      return found;
    },
  };
}
