import {
  type Anchor,
  equalBytes,
  type Hash,
  hideFields,
  KillickError,
  nodePrimitives,
  type ParsedEvent,
  parseBatchHeader,
  parseEvent,
  planInclusion,
  printProof,
  SYSTEM,
  verifyInclusion,
} from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { Refusal } from '../../errors.ts'
import { parseOrNull } from '../packs/read-pack.ts'
import { droppedInWords, readDroppedBy } from '../registry/drops.ts'
import type { Registered } from '../registry/registrations.ts'
import type { LedgerRegistry } from '../registry/registry.ts'
import { readKeys } from '../registry/sources.ts'
import { GROUP, pathIn, treeOver } from '../tree/batch-tree.ts'
import { type LogKey, readCheckpoint } from '../tree/checkpoints.ts'
import { readPlans } from '../tree/tiles.ts'
import { readCarriedErasures } from './carried-erasures.ts'
import { findEvent, type StoredPlace } from './find-event.ts'
import { memoryOf, type ProofMemory } from './proof-memory.ts'
import { readCarriedAnchors } from './successions.ts'

/** The part of a ledger that proofs need. */
type Source = { db: Db; log: LogKey; registry: LedgerRegistry }

/**
 * The proof of one event, as JSON text: for the smallest anchored size that covers it or, while there is none, for the checkpoint
 * of its receipt. The amount that it reads does not grow with the log.
 *
 * @param name the event's id (of several events that claim one id, the first accepted), or its leaf hash
 * @throws Refusal event_not_found | event_dropped | event_unreadable
 */
export async function readProof(source: Source, name: string): Promise<string> {
  const memory = memoryOf(source.db)
  const proof = await makeProof(source, memory, name)
  if (proof.isWhole) return proof.text
  // The tiles in memory are not this log's, or somebody has altered the log.
  memory.kept.clear()
  return (await makeProof(source, memory, name)).text
}

async function makeProof(
  { db, log, registry }: Source,
  memory: ProofMemory,
  name: string,
): Promise<{ text: string; isWhole: boolean }> {
  const place = await findEvent(db, memory, name)
  const { logIndex, pos } = place
  const { event, header, path: batchPath } = await parsePlace(place).catch((error) => orDropped(db, logIndex, error))
  const kids = [...new Set([event.signature?.kid ?? header.signature.kid, header.signature.kid])]
  const [anchors, registrations, erasures] = await Promise.all([
    place.isAnchored ? readCarriedAnchors(db, log, logIndex, place.proving) : [],
    readRegistrations(db, registry, event, place.systemSeq),
    readCarriedErasures(db, event, memory.tiles),
  ])
  const size = anchors[0]?.size
  const checkpoint = size === undefined ? place.receipt! : (await readCheckpoint(db, size))!
  const sizes = [...new Set([checkpoint.size, ...anchors.map((anchor) => anchor.size)])]
  const { own, shown } = chooseRegistrations(registrations, event, kids, checkpoint.size)
  const plans = sizes.map((covering) => planInclusion(logIndex, covering))
  const ofRegistrations = shown.map(({ logIndex }) => planInclusion(logIndex, checkpoint.size))
  const paths = await readPlans(db, [...plans, ...ofRegistrations], memory.tiles)
  const known = new Map(own.flatMap(({ registration }) => registration.keys.map(({ kid, jwk }) => [kid, jwk])))
  const keys = kids.every((kid) => known.has(kid)) ? known : await readKeys(db, event.source, kids)
  const erased = new Set(erasures.flatMap(({ entry }) => entry.digests))
  const missing = missingOf(event, logIndex, own, erased.size)
  const withPath = (anchor: Anchor): Anchor =>
    anchor.size === checkpoint.size ? anchor : { ...anchor, path: paths[sizes.indexOf(anchor.size)]! }

  const text = printProof({
    event: event.token,
    batch: { header: place.header, index: pos, path: batchPath },
    log: { origin: log.origin, index: logIndex, size: checkpoint.size, path: paths[0]! },
    checkpoint: checkpoint.note,
    anchors: anchors.map(withPath),
    keys: kids.map((kid) => keys.get(kid)!),
    ...(missing > 0 && { missing }),
    ...(erasures.length > 0 && { erasures }),
    ...(shown.length > 0 && {
      registrations: shown.map((registered, i) => ({
        ...{ event: shownOf(registered), header: registered.header, index: registered.logIndex },
        path: paths[sizes.length + i]!,
      })),
    }),
  })
  const { leafHash } = header
  const leads = (to: { size: number; root: Hash }) => {
    const claim = { leafHash, index: logIndex, path: paths[sizes.indexOf(to.size)]!, size: to.size, root: to.root }
    return verifyInclusion(claim, nodePrimitives.nodeHash)
  }
  const isWhole =
    [checkpoint, ...anchors].every(leads) &&
    shown.every(({ header: text, logIndex: index }, i) => {
      const claim = { leafHash: nodePrimitives.leafHash(text), index, path: paths[sizes.length + i]!, ...checkpoint }
      return verifyInclusion(claim, nodePrimitives.nodeHash)
    })
  return { text, isWhole }
}

/** The fields of a registration. */
const SHOWN = ['action', 'targets', 'metadata']
/** How many registrations a proof carries: of its source, and of the ledger itself, whose keys signed them. */
const MAX_OWN = 12
const MAX_SYSTEM = 4

/** How many fields of an event the ledger has lost, beyond those that were erased. For a source with decoys nobody can tell. */
function missingOf(
  { fieldCount, disclosures }: ParsedEvent,
  logIndex: number,
  own: readonly Registered[],
  erased: number,
): number {
  const settings = own.findLast((registered) => registered.logIndex < logIndex)?.registration
  return settings?.decoys ? 0 : Math.max(0, fieldCount - disclosures.length - erased)
}

/** Registrations of an event's source and of the ledger itself; none if the database does not hold them any more. */
type Registrations = { ofSource: readonly Registered[]; system: readonly Registered[] }

/** @param systemSeq the next `seq` of the system stream */
async function readRegistrations(
  db: Db,
  registry: LedgerRegistry,
  { source }: ParsedEvent,
  systemSeq: number,
): Promise<Registrations> {
  try {
    if (!registry.isWalkedTo(systemSeq)) await registry.catchUp(db)
    const ofSource = await registry.read(db, source)
    return { ofSource, system: await registry.read(db, SYSTEM.source) }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return { ofSource: [], system: [] }
  }
}

/**
 * All registrations of an event's source, and those that its proof carries: of the registrations that the log held at the proof's
 * size, so that changes after the event are seen too, and if there are many, the newest and the first of each key that signed.
 */
function chooseRegistrations(
  { ofSource: own, system }: Registrations,
  { source }: ParsedEvent,
  kids: readonly string[],
  size: number,
): { own: readonly Registered[]; shown: Registered[] } {
  if (source === SYSTEM.source) return { own, shown: choose(own, signersOf(own, kids), size, MAX_OWN) }
  const ofSource = choose(own, new Set(kids), size, MAX_OWN)
  const signers = signersOf(
    system,
    ofSource.map(({ event }) => event.signature!.kid),
  )
  const shown = [...choose(system, signers, size, MAX_SYSTEM), ...ofSource].sort((a, b) => a.logIndex - b.logIndex)
  // More registrations than a proof may carry: without any the proof holds, with only some of them it would not.
  return { own, shown: shown.length > MAX_OWN + MAX_SYSTEM ? [] : shown }
}

const hidden = new WeakMap<Registered, string>()

/** A registration's event with the fields that make it one. */
function shownOf(registered: Registered): string {
  const token = hidden.get(registered) ?? hideFields(registered.event, SHOWN)
  hidden.set(registered, token)
  return token
}

const firstWordOn = (all: readonly Registered[], kid: string) =>
  all.find(({ registration }) => registration.keys.some((key) => key.kid === kid))

/** Keys of the ledger with the keys that registered them, back to the one that registered itself. */
function signersOf(system: readonly Registered[], kids: readonly string[]): Set<string> {
  const signers = new Set(kids)
  for (const kid of signers) {
    const by = firstWordOn(system, kid)?.event.signature?.kid
    if (by !== undefined) signers.add(by)
  }
  return signers
}

/** The first registrations of these keys, and the newest of the others, `most` in all if the keys leave room. */
function choose(all: readonly Registered[], kids: ReadonlySet<string>, size: number, most: number): Registered[] {
  const within = all.filter(({ logIndex }) => logIndex < size)
  if (within.length <= most) return within
  const needed = new Set([...kids].map((kid) => firstWordOn(within, kid)).filter((found) => found !== undefined))
  const rest = within.filter((registered) => !needed.has(registered))
  const newest = new Set(rest.slice(rest.length - Math.max(0, most - needed.size)))
  return within.filter((registered) => needed.has(registered) || newest.has(registered))
}

/** The event and the header of its batch, which are what was signed, and its path through the batch's tree. */
async function parsePlace(place: StoredPlace) {
  const { pos, leaves } = place
  try {
    const header = parseBatchHeader(place.header)
    const event = parseOrNull(place.token)
    const path = pathIn(place.group, place.nodes, leaves, pos)
    if (event !== null && path !== null) {
      const claim = { leafHash: event.leafHash, index: pos, size: leaves, path, root: header.root }
      if (verifyInclusion(claim, nodePrimitives.nodeHash)) return { event, header, path }
    }
    // A version that kept no nodes has stored the batch, or somebody has altered a row.
    return { header, ...pathThroughAll(await place.whole(), pos) }
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    throw new Refusal('event_unreadable', `${error.code}: ${error.message}`)
  }
}

/** Says of an event that cannot be read that it was dropped, if it was. @throws Refusal event_dropped, or the error */
async function orDropped(db: Db, logIndex: number, error: unknown): Promise<never> {
  const by = (await readDroppedBy(db, [logIndex])).get(logIndex)
  if (by === undefined || !(error instanceof Refusal)) throw error
  const { policy, version } = by
  throw new Refusal('event_dropped', droppedInWords(by), { drop: { logIndex: by.logIndex, policy, version } })
}

/** @throws KillickError | Refusal event_unreadable */
function pathThroughAll({ token, leaves }: { token: string; leaves: Buffer }, pos: number) {
  const event = parseEvent(token, nodePrimitives)
  const first = 32 * (pos - (pos % GROUP))
  const group = leaves.subarray(first, first + 32 * GROUP)
  const isThere = equalBytes(leaves.subarray(32 * pos, 32 * pos + 32), event.leafHash)
  const path = isThere ? pathIn(group, treeOver(leaves).nodes, leaves.length / 32, pos) : null
  if (path === null) throw new Refusal('event_unreadable')
  return { event, path }
}
