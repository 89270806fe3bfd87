/**
 * Divides `total` equal things among those who want some of them: nobody gets more than wanted, nothing is left over that
 * somebody still wants, and nobody who wants more has two fewer than another. What cannot be divided evenly goes to those
 * from `first` on, in their order.
 */
export function fairShares(total: number, wants: readonly number[], first = 0): readonly number[] {
  const shares = wants.map(() => 0);
  let left = total;
  for (let given = -1; given !== left && left > 0; ) {
    given = left;
    for (let step = 0; step < wants.length && left > 0; step += 1) {
      const at = (first + step) % wants.length;
      const share = shares[at] ?? 0;
      if (share >= (wants[at] ?? 0)) continue;
      shares[at] = share + 1;
      left -= 1;
    }
  }
  return shares;
}
