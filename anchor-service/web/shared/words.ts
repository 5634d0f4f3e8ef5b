/** Times, chains and parties in words. */
import type { Anchor, Proof, Verdict } from '@killick/sdk/verify'

const CHAINS: Record<number, string> = {
  1: 'Ethereum',
  10: 'OP Mainnet',
  137: 'Polygon',
  8453: 'Base',
  42161: 'Arbitrum One',
  11155111: 'the Sepolia test network',
  560048: 'the Hoodi test network',
  1337: 'a local test chain',
  31337: 'a local test chain',
}
const TEST_CHAINS = [1337, 31337, 11155111, 560048]

/** `npm start` numbers its chains so, a new number each time. */
const isStartChain = (chainId: number) => Math.floor(chainId / 1e6) === 31_337

export const chainName = (chainId: number): string =>
  CHAINS[chainId] ?? (isStartChain(chainId) ? 'a local test chain' : `chain ${chainId}`)

/** Whoever runs such a chain can rewrite it, or it may be given up. */
export const isTestChain = (chainId: number): boolean => TEST_CHAINS.includes(chainId) || isStartChain(chainId)

const FORMAT = new Intl.DateTimeFormat('en-GB', {
  ...{ day: 'numeric', month: 'long', year: 'numeric' },
  ...{ hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' },
  timeZone: 'UTC',
})

/** "23 November 2026 at 01:31:17 UTC" */
export function timeInWords(iso: string): string {
  const time = new Date(iso)
  return Number.isNaN(time.getTime()) ? iso : `${FORMAT.format(time)} UTC`
}

export const anchorTime = (anchor: Anchor): string =>
  timeInWords(new Date(Math.min(anchor.time, 8.64e12) * 1000).toISOString())

export const plural = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`

/** "Example Ltd’s" */
export const possessive = (name: string): string => `${name}’${/s$/i.test(name) ? '' : 's'}`

/** "a, b and c" */
export const listed = (items: readonly string[]): string =>
  items.length < 2 ? (items[0] ?? '') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`

/** The anchors that the chain confirmed; while it confirmed none, all that the proof claims. */
export function weightyAnchors(proof: Proof, verdict: Verdict): { anchors: Anchor[]; confirmed: boolean } {
  const passed = (id: string) => verdict.checks.some((check) => check.id === id && check.status === 'passed')
  const held = proof.anchors.filter((_, i) => passed(`anchor.${i}.path`) && passed(`anchor.${i}.contract`))
  return held.length > 0 ? { anchors: held, confirmed: true } : { anchors: [...proof.anchors], confirmed: false }
}
