/** An account to be upserted by its number: an input row as it comes out of JSON or CSV. */
export type InputRow = Readonly<Record<string, unknown>>;

/** The columns of these rows. */
export const COLUMNS = ['accountnumber', 'name', 'telephone1', 'websiteurl', 'description', 'numberofemployees'];

/** An input row of about 200 characters. The numbers of `set` are its own; `version` goes into what is written. */
export const account = (set: string, number: number, version: number): InputRow => ({
  accountnumber: `${set}-${number}`,
  name: `Company ${number} of ${set}`,
  telephone1: `+1 555 ${String(number).padStart(7, '0')}`,
  websiteurl: `https://company-${number}.example.com`,
  description: `Written by the benchmark, version ${version}`,
  numberofemployees: (number % 5000) + version,
});

/** The longest name that an account takes has 160 characters: the definition of the column says so. */
export const tooLong = (row: InputRow): InputRow => ({ ...row, name: 'x'.repeat(161) });

/** A parent that does not exist: only the service can know. */
export const orphaned = (row: InputRow): InputRow => ({
  ...row,
  parentaccountid: { table: 'account', id: '00000000-0000-4000-8000-00000000dead' },
});

/** `fresh` and `known` in even alternation, as long as there are both. */
export function interleaved(fresh: readonly InputRow[], known: readonly InputRow[]): InputRow[] {
  const rows: InputRow[] = [];
  for (let at = 0; at < Math.max(fresh.length, known.length); at += 1) {
    for (const row of [fresh[at], known[at]]) if (row) rows.push(row);
  }
  return rows;
}

/** The same rows, one in a hundred spoilt: just so many, at places by chance (selection sampling). */
export function spoilt(
  rows: readonly InputRow[],
  spoil: (row: InputRow) => InputRow,
  random: () => number,
): InputRow[] {
  let wanted = Math.round(rows.length / 100);
  return rows.map((row, at) => {
    if (random() * (rows.length - at) >= wanted) return row;
    wanted -= 1;
    return spoil(row);
  });
}
