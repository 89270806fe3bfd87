import { parseArgs } from 'node:util';
import { openArena } from '../contract/bulk-writer/arena.ts';
import { runTrial } from '../contract/bulk-writer/trial.ts';

/** `npm run soak [-- --seed N] [--seeds COUNT]`: the writer under fire, one trial a seed. Ends with 1 if any row is wrong. */
const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
  },
});
const single = values.seed !== undefined;
const from = Number(values.seed ?? values.from);
const count = single ? 1 : Number(values.seeds);
/** An emulator gets slower with all the rows that trials leave behind. */
const TRIALS_OF_ARENA = 100;

let arena = await openArena();
const bad: number[] = [];
let rows = 0;
let repeated = 0;
for (let done = 0; done < count; done += 1) {
  if (done > 0 && done % TRIALS_OF_ARENA === 0) {
    await arena.close();
    arena = await openArena();
    process.stdout.write(`${done} of ${count} seeds, ${rows} rows, ${bad.length} seeds with faults\n`);
  }
  const verdict = await runTrial(arena, from + done);
  rows += verdict.rows;
  if (verdict.repeated) repeated += 1;
  if (single) process.stdout.write(`${verdict.description}\n`);
  if (verdict.faults.length === 0) continue;
  bad.push(verdict.seed);
  process.stdout.write(`seed ${verdict.seed}:\n${verdict.faults.map((fault) => `  ${fault}\n`).join('')}`);
}
await arena.close();
process.stdout.write(`${count} seeds from ${from}, ${rows} rows, ${repeated} writes broken off and repeated; `);
process.stdout.write(
  bad.length === 0 ? 'nothing lost, doubled or misreported\n' : `faults in seeds ${bad.join(', ')}\n`,
);
process.exitCode = bad.length === 0 ? 0 : 1;
