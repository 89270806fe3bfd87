import type { RowOutcome } from '../../../../src/dataverse/bulk/outcomes.ts';
import {
  type RowToWrite,
  type WriteContext,
  type WriteItem,
  writeRows,
} from '../../../../src/dataverse/bulk/write-rows.ts';
import { createDataverseClient } from '../../../../src/dataverse/client.ts';
import { createPace } from '../../../../src/dataverse/pace.ts';
import { newMeter } from '../../../../src/dataverse/request.ts';
import { ACCOUNT } from './account-table.ts';
import { type SimulationOptions, simulateService } from './simulated-service.ts';
import { timeline } from './timeline.ts';

/** The GUID of a number. */
export const id = (number: number): string => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;

/** An account that is there before. */
export const account = (accountid: string, accountnumber: string, name = 'Before') => ({
  accountid,
  accountnumber,
  name,
});

/** A row by account number; its `newId` is `id(1000 + index)`. */
export const row = (index: number, number: string, name = 'Name', more: Partial<RowToWrite> = {}): RowToWrite => ({
  index,
  key: { accountnumber: number },
  values: { name },
  newId: id(1_000 + index),
  ...more,
});

export const kinds = (outcomes: readonly RowOutcome[]) => outcomes.map(({ outcome }) => outcome);

/** A writer in front of a simulated service, in a time of its own. */
export function openWorld(simulation: Omit<SimulationOptions, 'clock'> = {}, maxConcurrency = 4) {
  const clock = timeline();
  const service = simulateService({ ...simulation, clock });
  const pace = createPace({ clock, maxConcurrency });
  const meter = newMeter();
  let ids = 0;
  const newId = (): string => {
    ids += 1;
    return `batch${ids}`;
  };
  const client = createDataverseClient({
    apiUrl: 'https://contoso.crm4.dynamics.com/api/data/v9.2/',
    tokens: () => 'token',
    transport: service.transport,
    clock,
    pace,
    random: () => 0,
    newId,
  });
  const context: WriteContext = {
    client,
    apiPath: '/api/data/v9.2/',
    table: ACCOUNT,
    strategy: { kind: 'alternateKey', columns: ['accountnumber'] },
    mode: 'upsert',
    clock,
    pace,
    newId,
    random: () => 0,
    meter,
  };
  /** Outcomes that were given so far: what there is when a write throws. */
  const outcomes: RowOutcome[] = [];
  const collect = async (rows: AsyncIterable<WriteItem>, options: Partial<WriteContext>): Promise<void> => {
    for await (const outcome of writeRows({ ...context, ...options }, rows)) outcomes.push(outcome);
  };
  return {
    ...service,
    service,
    clock,
    client,
    pace,
    meter,
    context,
    outcomes,
    async write(rows: Iterable<WriteItem>, options: Partial<WriteContext> = {}): Promise<RowOutcome[]> {
      outcomes.length = 0;
      const source = (async function* () {
        yield* rows;
      })();
      await clock.run(collect(source, options));
      return [...outcomes];
    },
  };
}
