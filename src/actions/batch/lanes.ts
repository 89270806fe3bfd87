/** What decides about the order of an entry among others. */
export interface Ordered {
  /** Logical name. */
  readonly table: string;
  /** Values that address its row, by column: the primary id's, or an alternate key's. Undefined for a row without an address yet. */
  readonly key: Readonly<Record<string, unknown>> | undefined;
  /** Values that the row gets, by column. */
  readonly gets: Readonly<Record<string, unknown>>;
}

/**
 * Puts entries that may concern one row into one lane, in their order; entries of different lanes may run side by side.
 * Rows are known by the keys that the entries give. Where a table's rows are addressed in several ways nobody knows
 * which of them are the same, so that all entries of that table are one lane.
 */
export function lanesOf<Entry extends Ordered>(entries: readonly Entry[]): Entry[][] {
  const forms = formsByTable(entries);
  const parent = entries.map((_, at) => at);
  const rootOf = (at: number): number => {
    let root = at;
    while (parent[root] !== root) root = parent[root] ?? root;
    return root;
  };
  const firstWith = new Map<string, number>();
  for (const [at, entry] of entries.entries()) {
    for (const token of tokensOf(entry, [...(forms.get(entry.table) ?? [])])) {
      const one = rootOf(firstWith.get(token) ?? at);
      const other = rootOf(at);
      firstWith.set(token, at);
      parent[Math.max(one, other)] = Math.min(one, other);
    }
  }
  const lanes = new Map<number, Entry[]>();
  for (const [at, entry] of entries.entries()) {
    const root = rootOf(at);
    lanes.set(root, [...(lanes.get(root) ?? []), entry]);
  }
  return [...lanes.values()];
}

/** The sets of columns by which each table's rows are addressed. */
function formsByTable(entries: readonly Ordered[]): Map<string, Set<string>> {
  const forms = new Map<string, Set<string>>();
  for (const { table, key } of entries) {
    if (key) forms.set(table, (forms.get(table) ?? new Set()).add(Object.keys(key).sort().join()));
  }
  return forms;
}

function tokensOf({ table, key, gets }: Ordered, [form, another]: readonly string[]): string[] {
  if (form === undefined) return [];
  if (another !== undefined) return [table];
  const columns = form.split(',');
  const becomes = columns.every((column) => gets[column] != null) ? [token(table, columns, gets)] : [];
  return key ? [token(table, columns, key), ...becomes] : becomes;
}

/** The service compares texts without regard to case and to blanks at the end, and takes numbers as text too. */
const token = (table: string, columns: readonly string[], values: Readonly<Record<string, unknown>>): string =>
  JSON.stringify([table, ...columns.map((column) => String(values[column]).trimEnd().toLowerCase())]);

/** What an entry takes of a batch. */
export interface Packed {
  readonly index: number;
  readonly bytes: number;
  /** Whether its row is looked up right before it is sent, so that what stands before it in its lane must be over. */
  readonly looksUp: boolean;
}

export interface PackingLimits {
  readonly entries: number;
  readonly bytes: number;
}

/**
 * Packs lanes into batches. The batches of one chain are sent one after the other, chains side by side: a lane that fits
 * no single batch becomes a chain of its own. What stands in a batch stands in its order.
 */
export function chainsOf<Entry extends Packed>(
  lanes: readonly (readonly Entry[])[],
  limits: PackingLimits,
): Entry[][][] {
  const chains: Entry[][][] = [];
  let open: Entry[] | undefined;
  for (const lane of lanes) {
    const [first = [], ...rest] = cut(lane, limits);
    if (rest.length > 0) chains.push([first, ...rest]);
    else if (open && fits([...open, ...first], limits)) open.push(...first);
    else {
      open = [...first];
      chains.push([open]);
    }
  }
  return chains.map((chain) => chain.map((batch) => batch.toSorted((a, b) => a.index - b.index)));
}

const fits = (batch: readonly Packed[], { entries, bytes }: PackingLimits): boolean =>
  batch.length <= entries && batch.reduce((sum, entry) => sum + entry.bytes, 0) <= bytes;

function cut<Entry extends Packed>(lane: readonly Entry[], limits: PackingLimits): Entry[][] {
  const batches: Entry[][] = [];
  let last: Entry[] | undefined;
  for (const entry of lane) {
    if (last && !entry.looksUp && fits([...last, entry], limits)) last.push(entry);
    else {
      last = [entry];
      batches.push(last);
    }
  }
  return batches;
}
