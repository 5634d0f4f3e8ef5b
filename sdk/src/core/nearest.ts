/** Finds the known name that a misspelt one was meant to be. */

/**
 * The known name that a misspelt one was probably meant to be: the one with the fewest letters to add, drop, change or swap, at
 * most a third of them; upper and lower case, dashes and underscores count for nothing.
 * @returns null if none is near
 */
export function nearest(name: string, known: Iterable<string>): string | null {
  const plain = (text: string) => text.toLowerCase().replace(/[-_]/g, '')
  // Longer texts are no names, and would cost time.
  const given = plain(name.slice(0, 64))
  let best: string | null = null
  let fewest = Number.POSITIVE_INFINITY
  for (const candidate of known) {
    const other = plain(candidate)
    const edits = distance(given, other)
    if (edits <= Math.floor(Math.max(given.length, other.length) / 3) && edits < fewest) {
      best = candidate
      fewest = edits
    }
  }
  return best
}

/** Optimal string alignment: Levenshtein, and two letters swapped count as one edit. */
function distance(a: string, b: string): number {
  let [before, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      row.push(Math.min(last[j]! + 1, row[j - 1]! + 1, change, ...(isSwap ? [before[j - 2]! + 1] : [])))
    }
    before = last
    last = row
  }
  return last[b.length]!
}
