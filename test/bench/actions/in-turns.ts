import { median } from '../writer/figures.ts';

/** What a call costs, in microseconds: from its start to its end, and of the processor in this process. */
export interface Cost {
  readonly us: number;
  readonly processorUs: number;
}

export interface Pair {
  readonly ours: Cost;
  readonly peer: Cost;
  /** How much longer ours takes: the median of what the blocks that follow each other differ by. */
  readonly overhead: Cost;
}

const ROUNDS = 15;

/**
 * Medians over blocks of `calls`, one call after the other. Ours and the peer take turns in going first, so that what
 * else the machine does meets both. A block of each before is not counted.
 */
export async function inTurns(
  calls: number,
  ours: () => Promise<unknown>,
  peer: () => Promise<unknown>,
): Promise<Pair> {
  const costs = { ours: [] as Cost[], peer: [] as Cost[] };
  for (let round = -1; round < ROUNDS; round += 1) {
    const block = {
      ours: async () => costs.ours.push(await costOf(calls, ours)),
      peer: async () => costs.peer.push(await costOf(calls, peer)),
    };
    await (round % 2 === 0 ? block.ours() : block.peer());
    await (round % 2 === 0 ? block.peer() : block.ours());
  }
  const counted = { ours: costs.ours.slice(1), peer: costs.peer.slice(1) };
  const differences = counted.ours.map(({ us, processorUs }, round) => {
    const beside = counted.peer[round] ?? { us, processorUs };
    return { us: us - beside.us, processorUs: processorUs - beside.processorUs };
  });
  return { ours: middle(counted.ours), peer: middle(counted.peer), overhead: middle(differences) };
}

const middle = (costs: readonly Cost[]): Cost => ({
  us: median(costs.map(({ us }) => us)),
  processorUs: median(costs.map(({ processorUs }) => processorUs)),
});

async function costOf(calls: number, call: () => Promise<unknown>): Promise<Cost> {
  const before = process.cpuUsage();
  const startedAt = performance.now();
  for (let at = 0; at < calls; at += 1) await call();
  const us = ((performance.now() - startedAt) * 1000) / calls;
  const { user, system } = process.cpuUsage(before);
  return { us, processorUs: (user + system) / calls };
}
