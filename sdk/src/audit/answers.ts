// Reads a service's answers strictly. The service is under audit, so nonsense becomes `answer_malformed` here and not an accident
// further on.
import { fromHex } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { isCount, isSourceName } from '../core/event.ts'
import { type Hash, parseHash } from '../core/hash.ts'
import { isObject, type JsonObject, type JsonValue } from '../core/json.ts'
import { type PublicJwk, parsePublicJwk, thumbprint } from '../core/jwk.ts'
import { parseVkey } from '../core/note.ts'
import type { Succeeds } from '../core/proof.ts'
import { parseTime } from '../core/time.ts'
import { type PinnedLog, parsePinnedLog } from '../verify/trust.ts'
import type { Api } from './api.ts'

const nonsense = (what: string) => new KillickError('answer_malformed', `The service answered with nonsense: ${what}`)

export const malformed = (what: string): never => {
  throw nonsense(what)
}

const text = (value: JsonValue | undefined, what: string): string =>
  typeof value === 'string' ? value : malformed(`${what} is no text`)

const count = (value: JsonValue | undefined, what: string): number =>
  isCount(value) ? value : malformed(`${what} is no whole number from 0`)

const hex = (value: JsonValue | undefined, bytes: number, what: string): string => {
  const isHex = typeof value === 'string' && value.startsWith('0x') && fromHex(value.slice(2))?.length === bytes
  return isHex ? value : malformed(`${what} is not 0x and ${2 * bytes} hex digits`)
}

const orNull = <T>(value: JsonValue | undefined, read: (value: JsonValue | undefined) => T): T | null =>
  value === null ? null : read(value)

function place(value: JsonObject, what: string): PinnedLog {
  const log = refuse(() => parsePinnedLog(value), what)
  const isPrinted = log.contract === value.contract && log.logId === value.logId
  return isPrinted ? log : malformed(`${what}: contract and logId are not in lower case`)
}

/** What a parser throws is nonsense of the service. */
function refuse<T>(parse: () => T, what: string): T {
  try {
    return parse()
  } catch (error) {
    if (error instanceof KillickError) return malformed(`${what}: ${error.message}`)
    throw error
  }
}

/** Most successions that may be listed: each costs questions to a chain. */
const MAX_SUCCESSIONS = 16

const vkey = (value: JsonValue | undefined, what: string): string => {
  const vkey = text(value, what)
  refuse(() => parseVkey(vkey), what)
  return vkey
}

/** What a log says of its front: by the event at `logIndex` it publishes no entry before `minimumIndex`. */
export type PruningClaim = {
  readonly afterDays: number | null
  readonly logIndex: number
  readonly minimumIndex: number
}

/** `GET /v1/log`: the log's key, its targets, the logs that it claims to succeed, and what of its front it does not publish. */
export type LogDescription = {
  vkey: string
  logs: PinnedLog[]
  successions: Omit<Succeeds, 'path'>[]
  pruning: PruningClaim | null
}

/** Most bytes of that answer; a statement of succession has some hundred. */
export const MAX_LOG_BYTES = 1 << 20

/** @throws KillickError answer_malformed */
export function parseLog(value: JsonValue): LogDescription {
  if (!isObject(value) || !Array.isArray(value.targets)) return malformed('/v1/log does not describe a log')
  if (!Array.isArray(value.successions) || value.successions.length > MAX_SUCCESSIONS)
    return malformed(`/v1/log: successions is no list of at most ${MAX_SUCCESSIONS}`)
  const successions = value.successions.map((item) => {
    const { note, transaction, block } = isObject(item) ? item : malformed('/v1/log: successions')
    const what = '/v1/log, succession'
    return {
      note: text(note, `${what}: note`),
      transaction: hex(transaction, 32, `${what}: transaction`),
      block: count(block, `${what}: block`),
    }
  })
  const logs = value.targets.map((item) => place(isObject(item) ? item : malformed('/v1/log: targets'), '/v1/log'))
  // A service from before there was pruning says nothing of it.
  const pruning = orNull(value.pruning ?? null, pruningClaim)
  return { vkey: vkey(value.vkey, '/v1/log: vkey'), logs, successions, pruning }
}

function pruningClaim(value: JsonValue | undefined): PruningClaim {
  const { afterDays, logIndex, minimumIndex } = isObject(value) ? value : malformed('/v1/log: pruning')
  const number = (member: JsonValue | undefined) => count(member, '/v1/log, pruning: a member')
  return { afterDays: orNull(afterDays, number), logIndex: number(logIndex), minimumIndex: number(minimumIndex) }
}

/**
 * The members of a row of `GET /v1/anchors` that are read. Amounts are wei as decimal text, `time` the block's in unix seconds.
 */
export type AnchorRow = PinnedLog & {
  readonly target: string
  readonly size: number
  readonly root: Hash
  readonly state: string
  readonly transaction: string | null
  readonly block: number | null
  readonly time: number | null
  readonly confirmations: number | null
  readonly gasUsed: number | null
  readonly fee: string | null
  readonly events: number
}

/** @throws KillickError answer_malformed */
export function parseAnchorRow(row: JsonValue): AnchorRow {
  const what = '/v1/anchors'
  if (!isObject(row)) return malformed(`${what} holds something else than anchors`)
  const number = (name: string) => orNull(row[name], (value) => count(value, `${what}: ${name}`))
  const wei = (value: JsonValue | undefined) =>
    typeof value === 'string' && /^\d{1,78}$/.test(value) ? value : malformed(`${what}: fee`)
  const time = number('time')
  return {
    ...place(row, what),
    target: text(row.target, `${what}: target`),
    size: count(row.size, `${what}: size`),
    root: parseHash(row.root) ?? malformed(`${what}: root is not a hash`),
    state: text(row.state, `${what}: state`),
    transaction: orNull(row.transaction, (value) => hex(value, 32, `${what}: transaction`)),
    block: number('block'),
    time: time === null || time < 2 ** 32 ? time : malformed(`${what}: time does not fit 32 bits`),
    confirmations: number('confirmations'),
    gasUsed: number('gasUsed'),
    fee: orNull(row.fee, wei),
    events: count(row.events, `${what}: events`),
  }
}

/** A row of `GET /v1/checkpoints`. */
export type CheckpointRow = { readonly size: number; readonly note: string }

/** @throws KillickError answer_malformed */
export function parseCheckpointRow({ size, note }: JsonObject): CheckpointRow {
  return { size: count(size, '/v1/checkpoints: size'), note: text(note, '/v1/checkpoints: note') }
}

/**
 * A row of a list; the event at `logIndex` tells of it. `revocation`: log index of the event that tells of a link's withdrawal.
 * All other members are compared with the event.
 */
export type ToldRow = { readonly logIndex: number; readonly revocation: number | null; readonly members: JsonObject }

/** A row of `GET /v1/shares`. @throws KillickError answer_malformed */
export function parseShareRow(row: JsonObject): ToldRow {
  const number = (name: string) => count(row[name], `/v1/shares: ${name}`)
  const revocation = row.revocation === null ? null : number('revocation')
  return { logIndex: number('logIndex'), revocation, members: row }
}

/**
 * A row of `GET /v1/equivocations`; `told` is the log index of the event that tells of it. @throws KillickError answer_malformed
 */
export function parseEquivocationRow(row: JsonObject): ToldRow {
  return { logIndex: count(row.told, '/v1/equivocations: told'), revocation: null, members: row }
}

/** A listed key: its period in ms since 1970, and the log index of its first registration. */
type ListedKey = {
  readonly jwk: PublicJwk
  readonly notBefore: number | null
  readonly notAfter: number | null
  readonly logIndex: number
}

/** A row of `GET /v1/sources`: settings as last registered, at `logIndex`, and keys by kid. */
export type SourceRow = {
  readonly source: string
  readonly eventSignatures: string
  readonly decoys: boolean
  readonly maxAge: number | null
  readonly maxAhead: number | null
  readonly heartbeat: number | null
  readonly logIndex: number
  readonly keys: ReadonlyMap<string, ListedKey>
}

/** @throws KillickError answer_malformed, also for an invalid key */
export function parseSourceRow(row: JsonValue): SourceRow {
  if (!isObject(row) || !isSourceName(row.source) || !Array.isArray(row.keys))
    return malformed('/v1/sources holds something else than sources and their keys')
  const what = `/v1/sources, ${row.source}`
  const { decoys } = row
  const bound = (name: string) => orNull(row[name], (value) => count(value, `${what}: ${name}`))
  const date = (value: JsonValue | undefined, name: string) =>
    orNull(value, (text) => {
      return parseTime(text) ?? malformed(`${what}: ${name} is no time`)
    })
  const keys = row.keys.map((key, i): [string, ListedKey] => {
    if (!isObject(key)) return malformed(`${what}: key ${i} is none`)
    const jwk = jwkOf(key.jwk)
    const kid = jwk && thumbprint(jwk)
    if (jwk === null || kid === null || key.kid !== kid)
      return malformed(`${what}: key ${i} cannot be read, or has another name`)
    const times = { notBefore: date(key.notBefore, 'notBefore'), notAfter: date(key.notAfter, 'notAfter') }
    return [kid, { jwk, ...times, logIndex: count(key.logIndex, `${what}: logIndex of key ${i}`) }]
  })
  return {
    source: row.source,
    eventSignatures: text(row.eventSignatures, `${what}: eventSignatures`),
    decoys: typeof decoys === 'boolean' ? decoys : malformed(`${what}: decoys is not true or false`),
    ...{ maxAge: bound('maxAge'), maxAhead: bound('maxAhead'), heartbeat: bound('heartbeat') },
    logIndex: count(row.logIndex, `${what}: logIndex`),
    keys: new Map(keys),
  }
}

function jwkOf(jwk: JsonValue | undefined): PublicJwk | null {
  try {
    return parsePublicJwk(jwk)
  } catch (error) {
    if (error instanceof KillickError) return null
    throw error
  }
}

/**
 * A page of a list in the order of the log: rows with keys above a given one, smallest first.
 * @param path with its query
 * @throws KillickError answer_malformed, also if they are in another order
 */
export async function readRows<Row>(
  api: Api,
  path: string,
  member: string,
  after: number,
  parse: (row: JsonObject) => Row,
  keyOf: (row: Row) => number,
): Promise<Row[]> {
  const page = await api.json(path)
  const items = isObject(page) ? page[member] : undefined
  if (!Array.isArray(items)) return malformed(`${path} is not a list`)
  let last = after
  return items.map((item) => {
    const row = parse(isObject(item) ? item : malformed(`${path} holds something else than rows`))
    if (keyOf(row) <= last) return malformed(`${path} is not in the order of the log`)
    last = keyOf(row)
    return row
  })
}

/** The rows of an answer that is no page of a list. @throws KillickError answer_malformed */
export function rowsOf(answer: JsonValue, path: string, member: string): JsonObject[] {
  const rows = isObject(answer) ? answer[member] : undefined
  if (!Array.isArray(rows) || !rows.every(isObject)) return malformed(`${path} is not a list of ${member}`)
  return rows as JsonObject[]
}

/** A log entry, if it is one of the first `size`: of what later ones say, the next audit tells. */
export const within = (logIndex: number | null, size: number): number | null =>
  logIndex !== null && logIndex < size ? logIndex : null

/** More rows than any ledger lists; stops a service that would go on for ever. */
export const MAX_ROWS = 2_000_000

/** More rows than come while an audit reads the log. */
export const MAX_MEANWHILE = 10_000

/** What answers a cursor that is none, or one too long for a request. */
const CURSOR_REFUSED: ReadonlySet<unknown> = new Set([400, 414, 431])

/**
 * The rows of a list, page by page, each read by `parse`; `next`: the cursor of what follows them.
 * @param path with its query, to which limit and cursor are added
 * @param limit rows on a page, asked for before each
 * @throws KillickError answer_malformed, also if a page's cursor does not lead on
 */
export async function* readPages<Row>(
  api: Api,
  path: string,
  member: string,
  limit: () => number,
  parse: (row: JsonValue) => Row,
): AsyncGenerator<{ rows: Row[]; next: string | null }> {
  let next: string | null = ''
  const start = `${path}${path.includes('?') ? '&' : '?'}`
  for (let total = 0; next !== null; ) {
    const cursor: string = next === '' ? '' : `&cursor=${encodeURIComponent(next)}`
    const page: JsonValue = await api.json(`${start}limit=${limit()}${cursor}`).catch((error) => {
      const isRefused = error instanceof KillickError && CURSOR_REFUSED.has(error.details.status)
      throw isRefused && cursor !== '' ? nonsense(`${path} refuses the cursor that it gave`) : error
    })
    const rows = isObject(page) ? page[member] : undefined
    if (!isObject(page) || !Array.isArray(rows)) return malformed(`${path} is not a list`)
    const following = page.next === undefined || page.next === null ? null : text(page.next, `${path}: next`)
    total += rows.length
    if (following !== null && (rows.length === 0 || following === next || following === '' || total > MAX_ROWS))
      return malformed(`${path} does not come to an end`)
    next = following
    yield { rows: rows.map(parse), next }
  }
}
