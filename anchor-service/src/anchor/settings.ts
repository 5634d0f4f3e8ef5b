import { readFileSync } from 'node:fs'
import type { NodesOptions } from './chain/chain.ts'
import type { KeySettings } from './chain/open-signer.ts'

/** One target as it is configured. Where a setting is left out of KILLICK_TARGETS, the environment's holds. */
export type TargetSettings = {
  /** KILLICK_TARGET, `target`: its name in metrics, API and queue; required in the file. Default `default`. */
  name: string
  /** KILLICK_RPC_URL, `rpcUrl`: JSON-RPC endpoints of the chain, separated by white space or commas. */
  rpcUrls: string[]
  /** KILLICK_RPC_QUORUM, `rpcQuorum`: how many must agree. Default: one of up to two, else the majority. */
  rpcQuorum: number | null
  /** KILLICK_RPC_TIMEOUT_MS, `rpcTimeoutMs`: for one call. Default 10,000. */
  rpcTimeoutMs: number
  /** KILLICK_CHAIN_ID, `chainId`: the chain the endpoints must be on. Default: that of the first to answer. */
  chainId: number | null
  /** KILLICK_CONTRACT, `contract`: address of AnchorLog on that chain. */
  contract: string
  /** KILLICK_LOG_ID, `logId`: the log, after a hand-over. Default: the one that the key opens itself. */
  logId: string | null
  key: KeySettings
  /** KILLICK_ANCHOR_INTERVAL_MS, `anchorIntervalMs`: shortest time between two anchors, unless the log grows fast. Default 60,000. */
  intervalMs: number
  /** KILLICK_ANCHOR_GROWTH, `anchorGrowth`: entries after which to anchor without waiting for the interval. Default 1,000. */
  growth: number
  /**
   * KILLICK_CONFIRMATIONS, `confirmations`: blocks, the anchor's own among them, before it counts. On chains without
   * finality it is final then, too. Default 2.
   */
  confirmations: number
  /** KILLICK_ANCHOR_POLL_MS, `anchorPollMs`: how often to look at an anchor that is under way. Default 2,000. */
  pollMs: number
  /** KILLICK_BUMP_AFTER_MS, `bumpAfterMs`: how long a transaction may wait before its fee is raised. Default 60,000. */
  bumpAfterMs: number
  /** KILLICK_MAX_FEE_GWEI, `maxFeeGwei`: most to pay for a unit of gas. Default 200. */
  maxFeeGwei: number
  /** KILLICK_BALANCE_ANCHORS, `balanceAnchors`: warn when the balance pays for fewer anchors. Default 100. */
  balanceAnchors: number
}

/** Blocks that a node may lag behind the others. */
const MAX_LAG = 8

/** How a target's chain is asked: by all of its settings, whoever asks. */
export const nodesOf = ({ rpcUrls, rpcQuorum, rpcTimeoutMs, chainId }: TargetSettings): NodesOptions => ({
  ...{ urls: rpcUrls, timeoutMs: rpcTimeoutMs, maxLag: MAX_LAG },
  ...(rpcQuorum !== null && { quorum: rpcQuorum }),
  ...(chainId !== null && { chainId }),
})

type Fault = (name: string, why: string) => void
type Lookup = (setting: string) => string | null

/**
 * The targets that the environment describes: those of the file KILLICK_TARGETS (a JSON array of objects), or the one of
 * the variables alone, or none.
 */
export function loadTargets(env: Readonly<Record<string, string | undefined>>, fault: Fault): TargetSettings[] {
  const set = new Map(SETTINGS.map((setting) => [setting, env[variable(setting)]?.trim() || null]))
  const fromEnv: Lookup = (setting) => set.get(setting) ?? null
  const file = env.KILLICK_TARGETS?.trim()
  if (!file) {
    const isTarget = ['rpcUrl', 'contract', 'chainKey', 'signerUrl'].some((setting) => fromEnv(setting) !== null)
    const target = parseTarget(fromEnv, (setting, why) => fault(variable(setting), why), isTarget)
    return isTarget ? [target] : []
  }
  const entries = readEntries(file, fault)
  const targets = entries.map((entry, i) => {
    const lookup: Lookup = (setting) => text(entry[setting]) ?? (setting === 'target' ? null : fromEnv(setting))
    const at: Fault = (setting, why) => fault(`KILLICK_TARGETS[${i}].${setting}`, why)
    if (text(entry.target) === null) at('target', 'is missing: give each target a name')
    for (const name of Object.keys(entry).filter((name) => !SETTINGS.includes(name))) at(name, 'is not a setting')
    for (const [name, value] of Object.entries(entry))
      if (!isReadable(value)) at(name, 'must be text or a number, or a list of texts')
    return parseTarget(lookup, at)
  })
  const names = targets.map(({ name }) => name)
  if (new Set(names).size < names.length) fault('KILLICK_TARGETS', 'names a target twice')
  return targets
}

// biome-ignore format: a list
const SETTINGS = [
  'target', 'rpcUrl', 'rpcQuorum', 'rpcTimeoutMs', 'chainId', 'contract', 'logId', 'chainKey', 'chainKeyPassword', 'signerUrl',
  'anchorIntervalMs', 'anchorGrowth', 'confirmations', 'anchorPollMs', 'bumpAfterMs', 'maxFeeGwei', 'balanceAnchors',
]

/** KILLICK_RPC_URL of `rpcUrl`. */
const variable = (setting: string) => `KILLICK_${setting.replace(/[A-Z]/g, '_$&').toUpperCase()}`

/** Whether `text` makes something of a value; null is as good as left out. */
const isReadable = (value: unknown) =>
  value === null || [value].flat().every((each) => typeof each === 'string' || typeof each === 'number')

function text(value: unknown): string | null {
  if (Array.isArray(value)) return value.join(' ')
  return typeof value === 'string' || typeof value === 'number' ? String(value).trim() || null : null
}

function readEntries(file: string, fault: Fault): Record<string, unknown>[] {
  try {
    const entries: unknown = JSON.parse(readFileSync(file, 'utf8'))
    if (Array.isArray(entries) && entries.every((entry) => typeof entry === 'object' && entry !== null)) {
      if (entries.length === 0) fault('KILLICK_TARGETS', 'names no target: leave it out to anchor nowhere')
      return entries
    }
    fault('KILLICK_TARGETS', 'must be a file with a JSON array of objects')
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code ?? 'it is not JSON'
    fault('KILLICK_TARGETS', `must be a file with a JSON array of objects (${why})`)
  }
  return []
}

/** @param isTarget - False: there is nowhere to anchor, and only what is set is checked. */
function parseTarget(lookup: Lookup, fault: Fault, isTarget = true): TargetSettings {
  function integer(setting: string, fallback: number, min: number, max: number): number {
    const value = lookup(setting)
    if (value === null) return fallback
    if (/^\d{1,15}$/.test(value) && Number(value) >= min && Number(value) <= max) return Number(value)
    fault(setting, `must be an integer from ${min} to ${max}`)
    return fallback
  }
  function hex(setting: string, digits: number): string | null {
    const value = lookup(setting)
    if (value !== null && !new RegExp(`^0x[0-9a-fA-F]{${digits}}$`).test(value)) {
      fault(setting, `must be 0x and ${digits} hex digits`)
    }
    return value?.toLowerCase() ?? null
  }
  const optional = (setting: string, max: number) => (lookup(setting) === null ? null : integer(setting, 0, 1, max))
  const isUrl = (value: string) => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)

  const name = lookup('target') ?? 'default'
  if (!/^[a-z0-9-]{1,32}$/.test(name)) fault('target', 'must be 1 to 32 lower-case letters, digits and dashes')
  const rpcUrls = lookup('rpcUrl')?.split(/[\s,]+/) ?? []
  if (!rpcUrls.every(isUrl)) fault('rpcUrl', 'must be URLs that start with http:// or https://')
  // One node would have several votes.
  else if (new Set(rpcUrls.map((url) => new URL(url).href)).size < rpcUrls.length)
    fault('rpcUrl', 'must not name an endpoint twice')
  const contract = hex('contract', 40)
  const [key, signerUrl] = [lookup('chainKey'), lookup('signerUrl')]
  if (signerUrl !== null && !isUrl(signerUrl)) fault('signerUrl', 'must be a URL that starts with http:// or https://')
  const missing = [
    rpcUrls.length === 0 && 'rpcUrl',
    contract === null && 'contract',
    key === null && signerUrl === null && 'chainKey',
  ]
  for (const setting of missing)
    if (setting && isTarget) fault(setting, 'is missing: a target needs an endpoint, a contract and a key')
  if (key !== null && signerUrl !== null) fault('signerUrl', 'and a key exclude each other')

  const rpcQuorum = optional('rpcQuorum', 100)
  if (isTarget && rpcQuorum !== null && rpcQuorum > rpcUrls.length)
    fault('rpcQuorum', 'must not exceed the number of endpoints')
  return {
    ...{ name, rpcUrls, rpcQuorum, contract: contract ?? '', logId: hex('logId', 64) },
    rpcTimeoutMs: integer('rpcTimeoutMs', 10_000, 10, 600_000),
    chainId: optional('chainId', Number.MAX_SAFE_INTEGER),
    key: signerUrl !== null ? { signerUrl } : { key: key ?? '', password: lookup('chainKeyPassword') },
    intervalMs: integer('anchorIntervalMs', 60_000, 100, 86_400_000),
    growth: integer('anchorGrowth', 1_000, 1, 1e9),
    confirmations: integer('confirmations', 2, 1, 10_000),
    pollMs: integer('anchorPollMs', 2_000, 10, 600_000),
    bumpAfterMs: integer('bumpAfterMs', 60_000, 10, 86_400_000),
    maxFeeGwei: integer('maxFeeGwei', 200, 1, 1e9),
    balanceAnchors: integer('balanceAnchors', 100, 1, 1e6),
  }
}
