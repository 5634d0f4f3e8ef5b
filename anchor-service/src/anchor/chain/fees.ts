/** What a transaction offers, wei per gas. Chains without a base fee (`tip` null) take one price. */
export type Fees = { max: bigint; tip: bigint | null }

/** What the chain asks now, wei per gas: base fee of the next block (null on chains without one) and tip, or the one price. */
export type Market = { base: bigint | null; tip: bigint }

/** Bounds in wei per gas. */
export type FeeLimits = { cap: bigint }

/**
 * The opening offer: twice the base fee, so that it stays valid through six full blocks (EIP-1559: at most 12.5 % more
 * each), plus the tip, never above the cap.
 */
export function openingFees({ base, tip }: Market, { cap }: FeeLimits): Fees {
  if (base === null) return { max: least(tip, cap), tip: null }
  const max = least(base * 2n + tip, cap)
  return { max, tip: least(tip, max) }
}

/**
 * The next offer with the same nonce: the smallest bump that nodes accept, a tenth more of both fees (geth's price bump,
 * and the most that others ask). Null when that exceeds the cap.
 * @param atLeast what else it must reach, as far as the cap allows
 */
export function bumpedFees(last: Fees, { cap }: FeeLimits, atLeast: Fees = last): Fees | null {
  const max = most(bump(last.max), atLeast.max)
  if (max > cap) return null
  return { max, tip: last.tip === null ? null : least(most(bump(last.tip), atLeast.tip ?? 0n), max) }
}

/** Could a transaction that offers this be in the next block? */
export function isPayable(fees: Fees, { base, tip }: Market): boolean {
  return fees.max >= (base ?? tip)
}

/** A tenth more, rounded up; at least one wei. */
const bump = (fee: bigint) => fee + (fee + 9n) / 10n + (fee === 0n ? 1n : 0n)
const least = (a: bigint, b: bigint) => (a < b ? a : b)
const most = (a: bigint, b: bigint) => (a > b ? a : b)
