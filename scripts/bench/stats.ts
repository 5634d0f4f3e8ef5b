export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** The value that the share `q` of all values does not exceed. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN
}

/** Runs `round` once to warm up, and then a few times. @returns the round whose `rate` is the median */
export async function medianRound<T extends { rate: number }>(rounds: number, round: () => Promise<T>): Promise<T> {
  await round()
  const all: T[] = []
  for (let i = 0; i < rounds; i++) all.push(await round())
  return all.sort((a, b) => a.rate - b.rate)[Math.floor((all.length - 1) / 2)]!
}
