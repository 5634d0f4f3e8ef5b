// What a service answers, read strictly. It is under audit: nonsense is `answer_malformed`, and no accident further on.
import { fromHex } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { isCount, isSourceName } from '../core/event.ts'
import { type Hash, parseHash } from '../core/hash.ts'
import { isObject, type JsonObject, type JsonValue } from '../core/json.ts'
import { type PublicJwk, parsePublicJwk } from '../core/jwk.ts'
import type { PinnedLog } from '../verify/trust.ts'
import type { Api } from './api.ts'

const malformed = (what: string): never => {
  throw new KillickError('answer_malformed', `The service answered with nonsense: ${what}`)
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

const place = (value: JsonObject, what: string): PinnedLog => ({
  chainId: count(value.chainId, `${what}: chainId`),
  contract: hex(value.contract, 20, `${what}: contract`),
  logId: hex(value.logId, 32, `${what}: logId`),
})

/** Of `GET /v1/log`: the log's key, and where it is anchored. @throws KillickError answer_malformed */
export function parseLog(value: JsonValue): { vkey: string; logs: PinnedLog[] } {
  if (!isObject(value) || !Array.isArray(value.targets)) return malformed('/v1/log does not describe a log')
  const logs = value.targets.map((item) => place(isObject(item) ? item : malformed('/v1/log: targets'), '/v1/log'))
  return { vkey: text(value.vkey, '/v1/log: vkey'), logs }
}

/** A row of `GET /v1/anchors`, as far as it is read. Amounts are wei as decimal text, `time` the block's in unix seconds. */
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

export type SourceRow = { readonly source: string; readonly keys: readonly PublicJwk[] }

/** A row of `GET /v1/sources`. @throws KillickError answer_malformed | key_invalid */
export function parseSourceRow(row: JsonValue): SourceRow {
  if (!isObject(row) || !isSourceName(row.source) || !Array.isArray(row.keys))
    return malformed('/v1/sources holds something else than sources and their keys')
  return { source: row.source, keys: row.keys.map((key) => parsePublicJwk(isObject(key) ? key.jwk : key)) }
}

/** More than any ledger lists; a service that goes on for ever is stopped here. */
const MAX_ROWS = 2_000_000

/**
 * The rows of a list, page by page, each read by `parse`; `next`: the cursor of what follows them.
 * @param path with its query, to which the cursor is added
 * @param limit rows on a page, asked for before each
 * @throws KillickError answer_malformed, also where a page does not lead on
 */
export async function* readPages<Row>(
  api: Api,
  path: string,
  member: string,
  limit: () => number,
  parse: (row: JsonValue) => Row,
): AsyncGenerator<{ rows: Row[]; next: string | null }> {
  let next: string | null = ''
  for (let total = 0; next !== null; ) {
    const cursor: string = next === '' ? '' : `&cursor=${encodeURIComponent(next)}`
    const page: JsonValue = await api.json(`${path}?limit=${limit()}${cursor}`)
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
