// A ledger as a maker of bundles reads it: over HTTP, as any reader does.
import { MAX_LOG_BYTES, parseAnchorRow, readPages } from '../audit/answers.ts'
import type { Api } from '../audit/api.ts'
import { readDrops } from '../audit/drop-answers.ts'
import { findErased, readErased, readErasures } from '../audit/erasure-answers.ts'
import { tilePath } from '../audit/tree.ts'
import type { FoundPlace, LedgerReader } from '../bundle/ledger-reader.ts'
import type { BundleAnchor } from '../bundle/manifest.ts'
import { parseBatchHeader } from '../core/batch.ts'
import { fromUtf8 } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { isCount, MAX_EVENT_BYTES } from '../core/event.ts'
import { asHash, type Hash } from '../core/hash.ts'
import { isObject, type JsonValue } from '../core/json.ts'
import { treeRoot } from '../core/merkle.ts'
import { TILE_WIDTH } from '../core/tree.ts'
import { nodePrimitives } from '../node/primitives.ts'

/** Largest page of a search. */
const PAGE = 500
const TILE_LEVELS = 8
const HASH_BYTES = 32
/** Tiles that are remembered: each has at most 8 KiB. */
const MAX_TILES = 1_024
const SETTLED = new Set(['confirmed', 'final'])

export function openLedger(api: Api, url: string): LedgerReader {
  const tiles = new Map<string, Uint8Array>()
  const tile = async (level: number | 'entries', index: number, width: number): Promise<Uint8Array> => {
    const path = tilePath(level, index, width)
    const known = tiles.get(path)
    if (known !== undefined) return known
    const bytes = await readTile(api, level, index, width)
    if (tiles.size >= MAX_TILES) tiles.delete(tiles.keys().next().value!)
    if (level !== 'entries') tiles.set(path, bytes)
    return bytes
  }
  return {
    url,
    checkpoint: () => api.text('/checkpoint', MAX_LOG_BYTES),
    async anchors() {
      const anchors: BundleAnchor[] = []
      for await (const { rows } of readPages(api, '/v1/anchors', 'anchors', () => PAGE, parseAnchorRow))
        for (const { state, chainId, contract, logId, size, root, time, transaction, block } of rows)
          if (SETTLED.has(state) && time !== null && transaction !== null && block !== null)
            anchors.push({ chainId, contract, logId, size, root, time, transaction, block })
      return anchors
    },
    async *entries(first, end) {
      for (let at = first; at < end; ) {
        const index = Math.floor(at / TILE_WIDTH)
        const width = Math.min(TILE_WIDTH, end - index * TILE_WIDTH)
        const all = entriesOf(await tile('entries', index, width))
        if (all.length < width) throw malformed(`${tilePath('entries', index, width)} holds too few entries`)
        yield* all.slice(at - index * TILE_WIDTH, width)
        at = index * TILE_WIDTH + width
      }
    },
    async *batches(first, count) {
      for (let done = 0; done < count; ) {
        const before = done
        const lines = api.lines(`/v1/batches?from=${first + done}&limit=${count - done}`, MAX_EVENT_BYTES)
        for await (const header of lines) {
          const { n } = parseBatchHeader(header)
          const tokens: string[] = []
          while (tokens.length < n) {
            const line = await lines.next()
            if (line.done) throw malformed('A batch of the service ends too early')
            tokens.push(line.value)
          }
          yield { header, tokens }
          done += 1
        }
        if (done === before) throw malformed(`The service has no batch ${first + done}`)
      }
    },
    async node(level, index, size) {
      const [tileLevel, rest] = [Math.floor(level / TILE_LEVELS), level % TILE_LEVELS]
      const first = index * 2 ** rest
      const at = Math.floor(first / TILE_WIDTH)
      const width = Math.min(TILE_WIDTH, Math.floor(size / TILE_WIDTH ** tileLevel) - at * TILE_WIDTH)
      const hashes = hashesOf(await tile(tileLevel, at, width))
      const own = hashes.slice(first - at * TILE_WIDTH, first - at * TILE_WIDTH + 2 ** rest)
      if (own.length < 2 ** rest) throw malformed(`${tilePath(tileLevel, at, width)} holds too few hashes`)
      return treeRoot(own, nodePrimitives.nodeHash)
    },
    async *search(conditions) {
      const path = `/v1/events?${new URLSearchParams(conditions)}`
      for await (const { rows } of readPages(api, path, 'events', () => PAGE, placeOf)) yield* rows
    },
    erasures: (after) => readErasures(api, undefined, after),
    erased: (leafHashes) => findErased(api, leafHashes),
    erasedList: (id) => readErased(api, id),
    drops: (from) => readDrops(api, from),
  }
}

/** A partial tile may be gone once the full one exists, which begins with the same. */
async function readTile(api: Api, level: number | 'entries', index: number, width: number): Promise<Uint8Array> {
  try {
    return await api.bytes(tilePath(level, index, width))
  } catch (error) {
    if (!(error instanceof KillickError) || error.details.status !== 404 || width === TILE_WIDTH) throw error
    return api.bytes(tilePath(level, index, TILE_WIDTH))
  }
}

function entriesOf(bytes: Uint8Array): string[] {
  const entries: string[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = (bytes[at]! << 8) | (bytes[at + 1] ?? 0)
    const text = fromUtf8(bytes.subarray(at + 2, at + 2 + length))
    if (text === null || at + 2 + length > bytes.length) throw malformed('A tile of entries is cut off')
    entries.push(text)
    at += 2 + length
  }
  return entries
}

function hashesOf(bytes: Uint8Array): Hash[] {
  const count = Math.floor(bytes.length / HASH_BYTES)
  return Array.from({ length: count }, (_, i) => asHash(bytes.slice(i * HASH_BYTES, (i + 1) * HASH_BYTES)))
}

function placeOf(row: JsonValue): FoundPlace {
  if (isObject(row)) {
    const { logIndex, source, stream, seq } = row
    if (isCount(logIndex) && isCount(seq) && typeof source === 'string' && typeof stream === 'string')
      return { logIndex, source, stream, seq }
  }
  throw malformed('/v1/events holds something else than events')
}

const malformed = (why: string): KillickError => new KillickError('answer_malformed', why)
