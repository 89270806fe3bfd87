import type { RowToWrite, WriteMode } from '../../../src/dataverse/bulk/write-rows.ts';
import { REFUSED } from './faults.ts';
import type { Chance } from './random.ts';

/** The ways in which rows of a trial are addressed. */
export const ADDRESSES = {
  id: { kind: 'id', columns: ['accountid'] },
  key: { kind: 'alternateKey', columns: ['accountnumber'] },
  pair: { kind: 'alternateKey', columns: ['telephone3', 'numberofemployees'] },
  lookup: { kind: 'alternateKey', columns: ['telephone2', 'primarycontactid'] },
  match: { kind: 'match', columns: ['telephone1'] },
} as const;
export type Address = keyof typeof ADDRESSES;

/** A row of the input with what the check needs to know of it. */
export interface Planned {
  readonly row: Omit<RowToWrite, 'index'>;
  /** Which row of the service it means: those with one number mean the same. */
  readonly target: number;
  /** The service refuses what it would write. */
  readonly bad: boolean;
  /** It has what the caller says that the row has. */
  readonly same: boolean;
}

/** A row that is there before, in the form that it is created with. */
export interface Before {
  readonly target: number;
  readonly values: Readonly<Record<string, unknown>>;
}

export interface Case {
  readonly marker: string;
  readonly address: Address;
  readonly mode: WriteMode;
  readonly resolve: boolean;
  readonly order: 'input' | 'completion';
  readonly batchSize: number;
  readonly forms: { bulk: boolean; batch: boolean } | undefined;
  readonly rows: readonly Planned[];
  readonly before: readonly Before[];
  /** Targets that several rows are there for, which only a match can have. */
  readonly ambiguous: ReadonlySet<number>;
  /** Targets that the second writer creates, and deletes, when it gets to it. */
  readonly othersCreate: readonly number[];
  readonly othersDelete: readonly number[];
  /** What a row is created with so that it has a target's key. */
  keyValues(target: number): Readonly<Record<string, unknown>>;
}

export const nameOf = (index: number): string => `v${index}`;

const guid = (seed: number, kind: number, number: number): string =>
  `${(seed >>> 0).toString(16).padStart(8, '0')}-000${kind}-4000-8000-${number.toString(16).padStart(12, '0')}`;

/** Characters that an address by key does not carry, that URLs, JSON or OData read in their own way, or that take several bytes. */
const AWKWARD = [
  "'",
  '&',
  '/',
  '%',
  '+',
  '#',
  '?',
  '"',
  '\\',
  'é',
  '😀',
  '<',
  '*',
  ':',
  ' x',
  ',',
  '(',
  '=',
  '$',
] as const;

/** Everything about a trial but its faults. `contacts` are rows that lookups may point at. */
export function drawCase(chance: Chance, seed: number, contacts: readonly [string, ...string[]]): Case {
  const marker = `t${seed}`;
  const address = chance.one(['id', 'key', 'key', 'key', 'pair', 'lookup', 'match'] as const);
  const mode = chance.one(['upsert', 'upsert', 'upsert', 'create', 'update', 'delete'] as const);
  const targets = chance.whole(3, 90);
  const texts = Array.from({ length: targets }, (_, target) => {
    const awkward = chance.is(0.15) ? chance.one(AWKWARD) : '';
    return `${seed}k${target}${awkward}`;
  });
  const contactOf = texts.map(() => chance.one(contacts));
  /** The same key in other letters, to the service's collation. */
  const written = (text: string): string => {
    const cased = chance.is(0.3) ? text.replace('k', 'K') : text;
    return chance.is(0.1) ? `${cased} ` : cased;
  };
  const keyOf = (target: number, text: string): RowToWrite['key'] => {
    switch (address) {
      case 'id':
        return { id: guid(seed, 1, target) };
      case 'key':
        return { accountnumber: text };
      case 'pair':
        return { telephone3: text, numberofemployees: target % 7 };
      case 'lookup':
        return { telephone2: text, primarycontactid: contactOf[target] ?? '' };
      default:
        return { telephone1: text };
    }
  };
  const keyValues = (target: number): Readonly<Record<string, unknown>> => {
    const { id, primarycontactid, ...key } = keyOf(target, texts[target] ?? '');
    return {
      ...key,
      ...(id !== undefined && { accountid: id }),
      ...(primarycontactid !== undefined && { 'primarycontactid@odata.bind': `/contacts(${primarycontactid})` }),
    };
  };

  const isThere = texts.map(() => chance.is(mode === 'create' ? 0.2 : 0.5));
  const ambiguous = new Set(
    address === 'match' ? texts.flatMap((_, at) => (isThere[at] && chance.is(0.1) ? at : [])) : [],
  );
  const all = texts.map((_, at) => at);
  const before = all
    .filter((at) => isThere[at])
    .flatMap((target) => (ambiguous.has(target) ? [target, target] : [target]))
    .map((target) => ({ target, values: { ...keyValues(target), name: 'before', tickersymbol: marker } }));

  // A row that is created under its caller's own id carries no proof of who created it.
  const equalKeys = !(address === 'id' && mode === 'create') && chance.is(0.6);
  const many = chance.is(0.1) ? 3 : 1;
  const picked = equalKeys
    ? Array.from({ length: targets * many }, () => chance.whole(0, targets - 1))
    : all.filter(() => chance.is(0.9));
  const badShare = chance.one([0, 0.02, 0.1, 0.4]);
  const rows = picked.map((target, index): Planned => {
    const alone = picked.filter((each) => each === target).length === 1;
    const same = alone && mode !== 'delete' && isThere[target] === true && !ambiguous.has(target) && chance.is(0.1);
    const bad = !same && mode !== 'delete' && chance.is(badShare);
    const values = {
      name: same ? 'before' : nameOf(index),
      tickersymbol: marker,
      ...(bad && { description: `please ${REFUSED}` }),
    };
    return {
      target,
      bad,
      same,
      row: {
        key: keyOf(target, written(texts[target] ?? '')),
        values: mode === 'delete' ? {} : values,
        newId: guid(seed, 2, index),
        ...(same && { known: { name: 'before', tickersymbol: marker } }),
      },
    };
  });

  const raced = address !== 'id' && address !== 'match' && chance.is(0.6);
  const deleted =
    (mode === 'upsert' || mode === 'update' || mode === 'delete') && address !== 'match' && chance.is(0.25);
  const canSkipLookUp = (mode === 'upsert' && address !== 'match') || (mode === 'create' && address !== 'match');
  return {
    marker,
    address,
    mode,
    resolve: !(canSkipLookUp && chance.is(0.2)),
    order: chance.one(['input', 'completion']),
    batchSize: chance.one([1000, 1000, 30, 7]),
    forms: chance.one([
      undefined,
      undefined,
      undefined,
      { bulk: false, batch: true },
      { bulk: true, batch: false },
      { bulk: false, batch: false },
    ]),
    rows,
    before,
    ambiguous,
    othersCreate:
      raced && (mode === 'upsert' || mode === 'create') ? all.filter((at) => !isThere[at] && chance.is(0.3)) : [],
    othersDelete: deleted ? all.filter((at) => isThere[at] && chance.is(0.1)) : [],
    keyValues,
  };
}

/** A row as the service has it. */
export type Stored = Readonly<Record<string, unknown>>;

/** Which target a stored row is. */
export function targetOf(drawn: Case, row: Stored): number | undefined {
  const match = /^\d+[kK](\d+)/.exec(String(row[keyTextOf(drawn)]));
  if (drawn.address === 'id') return Number.parseInt(String(row['accountid']).slice(-12), 16);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}

const keyTextOf = ({ address }: Case): string => ADDRESSES[address].columns[0];
