import {
  type Anchor,
  equalBytes,
  hideFields,
  isEventId,
  KillickError,
  nodePrimitives,
  type ParsedEvent,
  parseBatchHeader,
  parseEvent,
  parseHash,
  planInclusion,
  printProof,
  SYSTEM,
} from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { Refusal } from '../../errors.ts'
import { findPacks, readCoverage } from '../index/runs.ts'
import { idKey, leafKey } from '../packs/event-keys.ts'
import { readLines } from '../packs/read-pack.ts'
import type { Registered } from '../registry/registrations.ts'
import type { LedgerRegistry } from '../registry/registry.ts'
import { readKeys } from '../registry/sources.ts'
import { pathOf } from '../tree/batch-tree.ts'
import { type LogKey, readCheckpoint, readCovering } from '../tree/checkpoints.ts'
import { readPlans } from '../tree/tiles.ts'
import { readCarriedAnchors } from './successions.ts'

type Row = { log_index: number; pos: number; token: string; header: string; event_leaves: Buffer }

/**
 * The proof of one event, as its JSON text: against the smallest anchored size that covers it, or while there is none,
 * against the checkpoint of its receipt. Beside finding the event, four short reads, whatever the size of the log.
 *
 * @param name the event's id (of several events that claim one id, the first accepted), or its leaf hash
 * @throws Refusal event_not_found | event_unreadable
 */
export async function readProof(
  { db, log, registry }: { db: Db; log: LogKey; registry: LedgerRegistry },
  name: string,
): Promise<string> {
  const row = await findEvent(db, name)
  const { event, header } = parseRow(row)
  const kids = [...new Set([event.signature?.kid ?? header.signature.kid, header.signature.kid])]
  const anchors = await readCarriedAnchors(db, log, row.log_index)
  const size = anchors[0]?.size
  const checkpoint =
    size === undefined ? (await readCovering(db, [row.log_index]))[0]! : (await readCheckpoint(db, size))!
  const sizes = [...new Set([checkpoint.size, ...anchors.map((anchor) => anchor.size)])]
  const { own, shown } = await readRegistrations(db, registry, event, kids, checkpoint.size)
  const plans = sizes.map((covering) => planInclusion(row.log_index, covering))
  const ofRegistrations = shown.map(({ logIndex }) => planInclusion(logIndex, checkpoint.size))
  const paths = await readPlans(db, [...plans, ...ofRegistrations])
  const known = new Map(own.flatMap(({ registration }) => registration.keys.map(({ kid, jwk }) => [kid, jwk])))
  const keys = kids.every((kid) => known.has(kid)) ? known : await readKeys(db, event.source, kids)
  const missing = missingOf(event, row.log_index, own)
  const withPath = (anchor: Anchor): Anchor =>
    anchor.size === checkpoint.size ? anchor : { ...anchor, path: paths[sizes.indexOf(anchor.size)]! }

  return printProof({
    event: event.token,
    batch: { header: row.header, index: row.pos, path: pathOf(row.event_leaves, row.pos) },
    log: { origin: log.origin, index: row.log_index, size: checkpoint.size, path: paths[0]! },
    checkpoint: checkpoint.note,
    anchors: anchors.map(withPath),
    keys: kids.map((kid) => keys.get(kid)!),
    ...(missing > 0 && { missing }),
    ...(shown.length > 0 && {
      registrations: shown.map(({ event, header, logIndex }, i) => ({
        ...{ event: hideFields(event, SHOWN), header, index: logIndex, path: paths[sizes.length + i]! },
      })),
    }),
  })
}

/** Fields that a registration is made of. */
const SHOWN = ['action', 'targets', 'metadata']
/** Registrations in a proof: of its source, and of the ledger's own, whose keys signed these. */
const MAX_OWN = 12
const MAX_SYSTEM = 4

/** How many fields of an event the ledger has lost. Of a source with decoys it cannot be told. */
function missingOf({ fieldCount, disclosures }: ParsedEvent, logIndex: number, own: readonly Registered[]): number {
  const settings = own.findLast((registered) => registered.logIndex < logIndex)?.registration
  return settings?.decoys ? 0 : fieldCount - disclosures.length
}

/**
 * All registrations of an event's source, and those that its proof shows: of what the log held at the proof's size, so that what
 * was changed after the event is seen too, and if there are many, the newest and the first words on the keys. None where the
 * database does not hold them any more: then the proof says less.
 */
async function readRegistrations(
  db: Db,
  registry: LedgerRegistry,
  { source }: ParsedEvent,
  kids: readonly string[],
  size: number,
): Promise<{ own: readonly Registered[]; shown: Registered[] }> {
  try {
    await registry.catchUp(db)
    const own = await registry.read(db, source)
    if (source === SYSTEM.source) return { own, shown: choose(own, signersOf(own, kids), size, MAX_OWN) }
    const ofSource = choose(own, new Set(kids), size, MAX_OWN)
    const system = await registry.read(db, SYSTEM.source)
    const signers = signersOf(
      system,
      ofSource.map(({ event }) => event.signature!.kid),
    )
    const shown = [...choose(system, signers, size, MAX_SYSTEM), ...ofSource].sort((a, b) => a.logIndex - b.logIndex)
    // More words than a proof may carry: without them it is whole, with some of them it would not hold.
    return { own, shown: shown.length > MAX_OWN + MAX_SYSTEM ? [] : shown }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return { own: [], shown: [] }
  }
}

const firstWordOn = (all: readonly Registered[], kid: string) =>
  all.find(({ registration }) => registration.keys.some((key) => key.kid === kid))

/** Keys of the ledger with those that registered them, back to the one that registered itself. */
function signersOf(system: readonly Registered[], kids: readonly string[]): Set<string> {
  const signers = new Set(kids)
  for (const kid of signers) {
    const by = firstWordOn(system, kid)?.event.signature?.kid
    if (by !== undefined) signers.add(by)
  }
  return signers
}

/** The first words on these keys, and of the others the newest, `most` in all where the keys leave room. */
function choose(all: readonly Registered[], kids: ReadonlySet<string>, size: number, most: number): Registered[] {
  const within = all.filter(({ logIndex }) => logIndex < size)
  if (within.length <= most) return within
  const needed = new Set([...kids].map((kid) => firstWordOn(within, kid)).filter((found) => found !== undefined))
  const rest = within.filter((registered) => !needed.has(registered))
  const newest = new Set(rest.slice(rest.length - Math.max(0, most - needed.size)))
  return within.filter((registered) => needed.has(registered) || newest.has(registered))
}

function parseRow({ token, pos, header, event_leaves }: Row) {
  try {
    const event = parseEvent(token, nodePrimitives)
    if (!equalBytes(event_leaves.subarray(32 * pos, 32 * pos + 32), event.leafHash))
      throw new Refusal('event_unreadable')
    return { event, header: parseBatchHeader(header) }
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    throw new Refusal('event_unreadable', `${error.code}: ${error.message}`)
  }
}

/** Packs that are looked into at a time. */
const AT_ONCE = 4

/** Names hold what they are found by; of the packs with such events, the first that holds the event itself. */
async function findEvent(db: Db, name: string): Promise<Row> {
  const leafHash = parseHash(name)
  if (leafHash === null && !isEventId(name)) throw new Refusal('event_not_found')
  const wanted = leafHash === null ? Buffer.from(name.replaceAll('-', ''), 'hex') : Buffer.from(leafHash)
  const key = leafHash === null ? idKey(wanted) : leafKey(wanted)
  for await (const packs of packsWith(db, key)) {
    const { rows } = await db.query<Candidate>(
      `select p.first_event, p.pos, p.n, p.ids, p.body, b.log_index, b.header, b.event_leaves
       from unnest($1::bigint[]) as found (first_event) join packs p using (first_event) join batches b using (log_index)
       order by p.first_event`,
      [packs],
    )
    for (const { pos, n, ids, body, ...batch } of rows) {
      const names = leafHash === null ? ids : batch.event_leaves.subarray(32 * pos, 32 * (pos + n))
      const i = indexOfName(names, wanted)
      if (i < 0) continue
      const line = await readLines(body, pos)
      return { ...batch, pos: pos + i, token: line(i) }
    }
  }
  throw new Refusal('event_not_found')
}

/** The packs that may have a key, the oldest first, a few at a time. */
async function* packsWith(db: Db, key: Buffer): AsyncGenerator<number[]> {
  const coverage = await readCoverage(db)
  const all = { from: 0, to: Number.MAX_SAFE_INTEGER, order: 'oldest' } as const
  for await (const packs of findPacks(db, coverage, [key], all)) while (packs.length > 0) yield packs.splice(0, AT_ONCE)
  for (let from = coverage.all; ; ) {
    const { rows } = await db.query<{ first_event: number }>(
      `select first_event from packs where first_event >= $1 and position($2::bytea in keys) > 0 order by first_event limit ${AT_ONCE}`,
      [from, key],
    )
    if (rows.length > 0) yield rows.map(({ first_event }) => first_event)
    if (rows.length < AT_ONCE) return
    from = rows.at(-1)!.first_event + 1
  }
}

type Candidate = { pos: number; n: number; ids: Buffer; body: Buffer } & Omit<Row, 'token'>

/** @param names one after another, each as long as `name` */
function indexOfName(names: Buffer, name: Buffer): number {
  let at = names.indexOf(name)
  while (at >= 0 && at % name.length !== 0) at = names.indexOf(name, at + 1)
  return at < 0 ? at : at / name.length
}
