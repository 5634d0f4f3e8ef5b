/** The erasures that a proof carries: what the log says of fields of its event that the ledger no longer holds. */
import {
  type CarriedErasure,
  erasedLeaf,
  hideFields,
  MAX_ERASURES,
  nodePrimitives,
  type ParsedEvent,
  parseEvent,
  planInclusion,
  printHash,
  SYSTEM,
} from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { Lru } from '../../lru.ts'
import { erasedOf, readErased } from '../registry/erasures.ts'
import { readSystemLines } from '../registry/registrations.ts'
import { GROUP, pathIn, treeOver } from '../tree/batch-tree.ts'
import { readHead } from '../tree/checkpoints.ts'
import { type KeptTiles, readPlans } from '../tree/tiles.ts'

/** The list of an erasure as a tree; it never changes. */
type List = { leaves: Buffer; nodes: Buffer }

/** Bytes of lists in memory: that of an order about 100,000 events has 6.6 MB. */
const MAX_BYTES = 16 * 1024 * 1024
const lists = new WeakMap<Db, Lru<List>>()
const PAGE = 2000
/** What an order shows of itself in a proof. */
const SHOWN = ['action', 'targets', 'metadata']

/**
 * The erasures of an event, in the order of the log, each under the newest checkpoint. Those that are still being carried out
 * are left out: the event shows what they name.
 */
export async function readCarriedErasures(db: Db, event: ParsedEvent, tiles: KeptTiles): Promise<CarriedErasure[]> {
  if (event.disclosures.length === event.fieldCount) return []
  const name = printHash(event.leafHash)
  const shown = new Set(event.disclosures.map(({ text }) => nodePrimitives.digest(text)))
  const all = (await erasedOf(db, [name])).get(name) ?? []
  const entries = all.filter(({ digests }) => !digests.some((digest) => shown.has(digest))).slice(-MAX_ERASURES)
  if (entries.length === 0) return []
  const head = (await readHead(db))!
  const places = entries.map(({ erasure }) => erasure)
  const [lines, paths] = await Promise.all([
    readSystemLines(db, SYSTEM.source, places),
    readPlans(
      db,
      places.map((at) => planInclusion(at, head.size)),
      tiles,
    ),
  ])
  const carried = entries.map(async ({ erasure, pos, digests }, i): Promise<CarriedErasure | null> => {
    const { header, token } = lines.find(({ place }) => place === erasure)!
    const path = await pathOf(db, erasure, pos)
    if (path === null) return null
    return {
      ...{ event: hideFields(parseEvent(token, nodePrimitives), SHOWN), header, index: erasure, path: paths[i]! },
      ...{ checkpoint: head.note, entry: { index: pos, digests, path } },
    }
  })
  // A list that somebody has altered leads nowhere; the audit reports it.
  return (await Promise.all(carried)).filter((one) => one !== null)
}

async function pathOf(db: Db, erasure: number, pos: number) {
  const { leaves, nodes } = await listOf(db, erasure)
  const first = 32 * (pos - (pos % GROUP))
  return pathIn(leaves.subarray(first, first + 32 * GROUP), nodes, leaves.length / 32, pos)
}

async function listOf(db: Db, erasure: number): Promise<List> {
  const kept = lists.get(db) ?? new Lru<List>(MAX_BYTES)
  lists.set(db, kept)
  const known = kept.get(String(erasure))
  if (known !== undefined) return known
  const parts: Uint8Array[] = []
  for (let after = -1; ; ) {
    const page = await readErased(db, erasure, after, PAGE)
    parts.push(...page.map(erasedLeaf))
    if (page.length < PAGE) break
    after = page.at(-1)!.pos
  }
  const leaves = Buffer.concat(parts)
  const list = { leaves, nodes: treeOver(leaves).nodes }
  kept.set(String(erasure), list, list.leaves.length + list.nodes.length)
  return list
}
