/** Chains and anchors as they are called. */
import type { Anchor, Proof, Verdict } from '@killick/sdk/verify'
import { words } from './language.ts'

/** Networks that whoever runs them can rewrite, or that may be given up. */
const TEST_CHAINS = [11155111, 560048]
const LOCAL_CHAINS = [1337, 31337]

/** `npm start` numbers its chains so, a new number each time. */
const isLocal = (chainId: number) => LOCAL_CHAINS.includes(chainId) || Math.floor(chainId / 1e6) === 31_337

export const chainName = (chainId: number): string => words.chain(chainId, isLocal(chainId))

/** Whoever runs such a chain can rewrite it, or it may be given up. */
export const isTestChain = (chainId: number): boolean => TEST_CHAINS.includes(chainId) || isLocal(chainId)

/** Block time, ISO 8601; at most the last time there is. */
export const anchorTime = (anchor: Anchor): string => new Date(Math.min(anchor.time, 8.64e12) * 1000).toISOString()

/** In English, as the console speaks. */
export const plural = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`

/** The anchors that the chain confirmed; while it confirmed none, all that the proof claims. */
export function weightyAnchors(proof: Proof, verdict: Verdict): { anchors: Anchor[]; confirmed: boolean } {
  const passed = (id: string) => verdict.checks.some((check) => check.id === id && check.status === 'passed')
  const held = proof.anchors.filter((_, i) => passed(`anchor.${i}.path`) && passed(`anchor.${i}.contract`))
  return held.length > 0 ? { anchors: held, confirmed: true } : { anchors: [...proof.anchors], confirmed: false }
}
