/**
 * Whom the visitor trusts. What the page's publisher put beside it (`trust.json`) is that publisher's word, and is
 * shown as such; what the visitor pins goes before it, kind by kind.
 */
import {
  KillickError,
  type PinnedKey,
  type PinnedLog,
  parseJson,
  parsePinnedLog,
  parsePinTime,
  parsePublicJwk,
  splitVkeys,
  type Trust,
} from '@killick/sdk/verify'
import { refusal } from './refusal.ts'

export type Pins = {
  /** Who says so; absent for the visitor's own. */
  readonly publisher?: string
  readonly sourceKeys: readonly PinnedKey[]
  readonly logKeys: readonly string[]
  readonly logs: readonly PinnedLog[]
  /** JSON-RPC endpoints to ask. */
  readonly rpcs: readonly string[]
  readonly confirmations?: number
  /** Seconds that a claimed time may lie outside what the anchors allow. */
  readonly timeTolerance?: number
}

export const NO_PINS: Pins = { sourceKeys: [], logKeys: [], logs: [], rpcs: [] }

export type PinKind = 'sourceKeys' | 'logKeys' | 'logs'
/** Whose word each kind of pin is. */
export type By = Record<PinKind, 'you' | 'publisher' | 'nobody'>

const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : value === undefined ? [] : [value])
const member = (value: unknown, name: string): unknown => (value as Record<string, unknown> | null)?.[name]

function parseLog(value: unknown): PinnedLog {
  try {
    return parsePinnedLog(value)
  } catch (error) {
    throw error instanceof KillickError ? refusal('trust_invalid', 'pinned_log') : error
  }
}

function parseRpc(value: unknown): string {
  const url = String(value).trim()
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) throw refusal('trust_invalid', 'node_url')
  return url
}

const MEMBERS = ['publisher', 'sourceKeys', 'logKeys', 'logs', 'rpcs', 'confirmations', 'timeTolerance']
const PIN_MEMBERS = ['source', 'jwk', 'notBefore', 'notAfter']

/** A slip must not read as something left out: a key would count for every source, or for ever. As `killick verify --trust` reads it. */
function refuse(what: string): never {
  throw new KillickError('trust_invalid', `What is pinned: ${what}`)
}

function onlyKnown(value: object, known: readonly string[]): void {
  const stray = Object.keys(value).find((name) => !known.includes(name))
  if (stray !== undefined) refuse(`there is no member ${stray}`)
}

function parseSourceKey(pin: unknown): PinnedKey {
  if (typeof pin !== 'object' || pin === null || 'kty' in pin) {
    const stray = PIN_MEMBERS.find((name) => member(pin, name) !== undefined)
    if (stray !== undefined) refuse(`${stray} stands in the key, which goes into a jwk beside it`)
    return { jwk: parsePublicJwk(pin) }
  }
  onlyKnown(pin, PIN_MEMBERS)
  const source = member(pin, 'source')
  if (source !== undefined && typeof source !== 'string') refuse('a source is not a name')
  return { ...(source !== undefined && { source }), jwk: parsePublicJwk(member(pin, 'jwk')), ...parsePeriod(pin) }
}

/** @param min the least that it may be */
function parseCount(value: unknown, name: string, min: number): number | undefined {
  if (value === undefined || (Number.isSafeInteger(value) && (value as number) >= min))
    return value as number | undefined
  return refuse(`${name} is not a whole number from ${min}`)
}

/** When a pinned key counts. What is no time is refused, rather than left out: the key would count for ever. */
function parsePeriod(pin: unknown): Pick<PinnedKey, 'notBefore' | 'notAfter'> {
  const time = (name: 'notBefore' | 'notAfter') => {
    const text = member(pin, name)
    if (text === undefined || text === null) return {}
    parsePinTime(text as string)
    return { [name]: text as string }
  }
  return { ...time('notBefore'), ...time('notAfter') }
}

/** Pins from JSON: `{publisher?, sourceKeys?, logKeys?, logs?, rpcs?, confirmations?, timeTolerance?}`. @throws KillickError trust_invalid | key_invalid | vkey_invalid */
export function parsePins(value: unknown): Pins {
  if (typeof value !== 'object' || value === null)
    throw new KillickError('trust_invalid', 'What is pinned is not an object')
  onlyKnown(value, MEMBERS)
  const { publisher } = value as { publisher?: unknown }
  if (publisher !== undefined && typeof publisher !== 'string') refuse('publisher is not a name')
  const confirmations = parseCount(member(value, 'confirmations'), 'confirmations', 1)
  const timeTolerance = parseCount(member(value, 'timeTolerance'), 'timeTolerance', 0)
  return {
    ...(publisher !== undefined && { publisher }),
    sourceKeys: list(member(value, 'sourceKeys')).map(parseSourceKey),
    logKeys: list(member(value, 'logKeys')).map((vkey) => {
      splitVkeys([String(vkey)])
      return String(vkey)
    }),
    logs: list(member(value, 'logs')).map(parseLog),
    rpcs: list(member(value, 'rpcs')).map(parseRpc),
    ...(confirmations !== undefined && { confirmations }),
    ...(timeTolerance !== undefined && { timeTolerance }),
  }
}

/** Pins from a text. Of two members of one name, JSON.parse would take the last. @throws KillickError as `parsePins`, `json_…` */
export const readPins = (text: string): Pins => parsePins(parseJson(text))

/**
 * For each kind of pin the visitor's own, or else the publisher's; and whose they are. How to judge by anchors, the publisher may say of its own
 * contracts only.
 */
export function combine(own: Pins, publisher: Pins | null): { trust: Trust; rpcs: readonly string[]; by: By } {
  const choose = <K extends PinKind | 'rpcs'>(kind: K): Pins[K] =>
    own[kind].length > 0 ? own[kind] : (publisher ?? NO_PINS)[kind]
  const whose = (kind: PinKind) =>
    own[kind].length > 0 ? 'you' : (publisher?.[kind].length ?? 0) > 0 ? 'publisher' : 'nobody'
  const judging = whose('logs') === 'publisher' ? publisher : null
  const confirmations = own.confirmations ?? judging?.confirmations
  const timeTolerance = own.timeTolerance ?? judging?.timeTolerance
  return {
    trust: {
      sourceKeys: choose('sourceKeys'),
      logKeys: choose('logKeys'),
      logs: choose('logs'),
      ...(confirmations !== undefined && { confirmations }),
      ...(timeTolerance !== undefined && { timeTolerance }),
    },
    rpcs: choose('rpcs'),
    by: { sourceKeys: whose('sourceKeys'), logKeys: whose('logKeys'), logs: whose('logs') },
  }
}

const STORED = 'killick.pins'

/** The visitor's own pins, if they asked to keep them on this device. */
export function readStored(): Pins | null {
  try {
    const text = localStorage.getItem(STORED)
    return text === null ? null : readPins(text)
  } catch {
    return null
  }
}

/** Keeps pins on this device; null forgets them. @returns Whether the browser allowed it. */
export function store(pins: Pins | null): boolean {
  try {
    if (pins === null) localStorage.removeItem(STORED)
    else localStorage.setItem(STORED, JSON.stringify(pins))
    return true
  } catch {
    return false
  }
}
