/**
 * Erasures: docs/PROTOCOL.md §16. A ledger forgets fields of events; the leaves, and so all proofs, stay as they are. For each
 * erasure an event of the ledger's own stream names the fields by their digests: it holds the root of a Merkle tree whose leaves
 * each name one event and the digests of what it loses. So the log says what may be missing, and says nothing of what it was.
 */
import { utf8 } from './bytes.ts'
import { KillickError } from './errors.ts'
import { isCount, type ParsedEvent } from './event.ts'
import type { EventInput } from './fields.ts'
import { type Hash, leafHash, parseHash, printHash } from './hash.ts'
import { hasMembers, isObject, type JsonValue } from './json.ts'
import { type DecidedBy, parseDecidedBy } from './proposal.ts'
import { SYSTEM } from './registry.ts'

/**
 * The policy by which events expired, and how old that was judged to be: by the anchor of `size` entries, whose block has `time`
 * (s since 1970). docs/PROTOCOL.md §17.
 */
export type ExpiredBy = {
  readonly id: string
  readonly version: number
  readonly size: number
  readonly time: number
}

/** What an erasure's event says. It names neither events nor contents. */
export type Erasure = {
  /** A UUID. */
  readonly id: string
  /** Why, in words: 1 to 1,024 characters. */
  readonly reason: string
  /** The law that it rests on, and the number of the order: at most 256 characters each; null where none was named. */
  readonly legalBasis: string | null
  readonly order: string | null
  /** Names of the fields that were to go; null: all fields. */
  readonly fields: readonly string[] | null
  /** How many events lose fields, and the root of the tree over `erasedLeaf` of each, in the order of the log. */
  readonly count: number
  readonly root: Hash
  /** Null: somebody ordered it; else the events have expired. */
  readonly policy: ExpiredBy | null
  /** Who ordered it, and who confirmed that; null: it took one person. */
  readonly confirmed: DecidedBy | null
}

/** One event that loses fields: its leaf hash, and the digests of what it loses, as `_sd` has them, sorted. */
export type ErasedEvent = { readonly leafHash: Hash; readonly digests: readonly string[] }

const ORDER = 'erasure.order'
const END = 'erasure.end'
const MEMBERS = ['reason', 'legalBasis', 'order', 'fields', 'count', 'root']
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** The leaf of an erased event in the tree of its erasure. */
export const erasedLeaf = ({ leafHash: leaf, digests }: ErasedEvent): Hash =>
  leafHash(utf8(JSON.stringify([printHash(leaf), ...digests])))

/** The fields of the system event that orders an erasure; `parseErasure` reads them back. */
export function erasureFields(erasure: Erasure): Pick<EventInput, 'action' | 'targets' | 'metadata'> {
  const { id, root, policy, confirmed, ...said } = erasure
  return {
    action: ORDER,
    targets: [{ type: 'erasure', id }],
    metadata: {
      ...{ ...said, root: printHash(root) },
      ...(policy && { policy: { ...policy } }),
      ...(confirmed && { confirmed: { ...confirmed } }),
    },
  }
}

/** The fields of the system event that says that an erasure was carried out: from there on the ledger holds none of it. */
export const erasureEndFields = (id: string): Pick<EventInput, 'action' | 'targets'> => ({
  action: END,
  targets: [{ type: 'erasure', id }],
})

function invalid(why: string): never {
  throw new KillickError('erasure_invalid', `Erasure: ${why}`)
}

const isText = (value: JsonValue | undefined, most: number): value is string =>
  typeof value === 'string' && value.length > 0 && value.length <= most

/**
 * What an event orders to erase; null if it is not the order of an erasure, which is an event of the ledger's own stream with the
 * action `erasure.order`. The caller checks that the event is in the log.
 * @throws KillickError `erasure_invalid`
 */
export function parseErasure(event: ParsedEvent): Erasure | null {
  if (!isOwn(event) || event.fields.action !== ORDER) return null
  const { metadata } = event.fields
  if (!isObject(metadata) || !hasMembers(metadata, MEMBERS, ['policy', 'confirmed']))
    invalid(`its metadata is not ${MEMBERS.join(', ')}`)
  const { reason, legalBasis, order, fields, count } = metadata
  if (!isText(reason, 1024)) invalid('reason is not a text')
  if (legalBasis !== null && !isText(legalBasis, 256)) invalid('legalBasis is neither a text nor null')
  if (order !== null && !isText(order, 256)) invalid('order is neither a text nor null')
  const isNames = Array.isArray(fields) && fields.every((name) => isText(name, 64))
  if (fields !== null && !isNames) invalid('fields is neither names nor null')
  if (!isCount(count) || count === 0) invalid('count is not a number of events')
  return {
    ...{ id: targetOf(event) ?? invalid('its target is not one erasure'), reason, legalBasis, order, count },
    fields: fields as readonly string[] | null,
    root: parseHash(metadata.root) ?? invalid('root is no hash'),
    policy: metadata.policy === undefined ? null : parsePolicy(metadata.policy),
    confirmed:
      metadata.confirmed === undefined
        ? null
        : (parseDecidedBy(metadata.confirmed) ?? invalid('confirmed names nobody')),
  }
}

function parsePolicy(value: JsonValue): ExpiredBy {
  if (!isObject(value) || !hasMembers(value, ['id', 'version', 'size', 'time'])) invalid('policy is none')
  const { id, version, size, time } = value
  if (!isText(id, 64) || !isCount(version) || !isCount(size) || !isCount(time)) invalid('policy is none')
  return { id, version, size, time }
}

/** The id of the erasure that an event says was carried out; null if it does not say so. @throws KillickError `erasure_invalid` */
export function parseErasureEnd(event: ParsedEvent): string | null {
  if (!isOwn(event) || event.fields.action !== END) return null
  return targetOf(event) ?? invalid('its target is not one erasure')
}

const isOwn = ({ source, stream }: ParsedEvent) => source === SYSTEM.source && stream === SYSTEM.stream

function targetOf({ fields: { targets } }: ParsedEvent): string | null {
  const target = Array.isArray(targets) && targets.length === 1 ? targets[0] : undefined
  if (!isObject(target) || target.type !== 'erasure' || typeof target.id !== 'string') return null
  return UUID.test(target.id) ? target.id : null
}
