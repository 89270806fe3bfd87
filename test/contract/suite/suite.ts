import { describeBatches } from './batches.ts';
import { describeDefinitions } from './definitions.ts';
import { describeLinks } from './links.ts';
import { describeQueries } from './queries.ts';
import { describeRecordedErrors } from './recorded-errors.ts';
import { describeRows } from './rows.ts';
import type { World } from './world.ts';

/** Registers all that is true of every environment, emulated or real. */
export function contractSuite(world: World): void {
  describeRows(world);
  describeQueries(world);
  describeLinks(world);
  describeBatches(world);
  describeDefinitions(world);
  describeRecordedErrors(world);
}
