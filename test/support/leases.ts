import type { LeaseStore, Notes } from '../../src/storage/leases.ts';

interface Thing {
  holder?: string | undefined;
  until: number;
  notes: Notes;
}

/** Things to hold in this process's memory; what the real ones do besides is shown by test/contract/leases.test.ts. */
export function memoryLeases(now: () => number, things: Map<string, Thing> = new Map()): LeaseStore {
  const heldBy = (path: string): string | undefined => {
    const thing = things.get(path);
    return thing && thing.until > now() ? thing.holder : undefined;
  };
  return {
    async list(prefix) {
      return [...things]
        .filter(([path]) => path.startsWith(prefix))
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([path, { notes }]) => ({ path, held: heldBy(path) !== undefined, notes }));
    },
    async acquire(path, holder, seconds) {
      if ((heldBy(path) ?? holder) !== holder) return false;
      things.set(path, { holder, until: now() + seconds * 1000, notes: things.get(path)?.notes ?? {} });
      return true;
    },
    async renew(path, holder) {
      const thing = things.get(path);
      if (thing?.holder !== holder) return false;
      thing.until = Math.max(thing.until, now() + 30_000);
      return true;
    },
    async release(path, holder) {
      const thing = things.get(path);
      if (thing?.holder === holder) thing.holder = undefined;
    },
    async annotate(path, holder, notes) {
      const thing = things.get(path);
      if (!thing || heldBy(path) !== holder) return false;
      thing.notes = notes;
      return true;
    },
    async change(path, change) {
      const notes = change(things.get(path)?.notes ?? {});
      if (notes) things.set(path, { until: 0, notes });
    },
  };
}
