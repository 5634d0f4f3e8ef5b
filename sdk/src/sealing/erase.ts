// Erasures are events of the source itself, so that the ledger remembers them when a store of keys does not.
import type { AuditLog } from '../client/open.ts'
import { NOBODY } from '../client/sealer.ts'
import { KillickError } from '../core/errors.ts'
import type { Party } from '../core/fields.ts'
import { hasMembers, isObject } from '../core/json.ts'
import { isSubjectKeyId } from '../core/sealed.ts'
import { parseTime, printTime } from '../core/time.ts'
import { SealingError } from './errors.ts'
import { type ErasedKey, isErased, type SubjectKeys, storeError } from './subject-keys.ts'

/** Who erases, and why. All of it becomes part of the event, in clear. */
export type ErasureReasons = {
  readonly actor: Party
  readonly reason: string
  /** Number of the order or request. */
  readonly order?: string | undefined
}

/** What must be known of an event to see an erasure in it. */
export type ErasureEvent = {
  readonly id: string
  readonly source: string
  readonly fields: { readonly [field: string]: unknown }
}

/** What a search has in the place of an event that was dropped (`event_dropped`), or cannot be read: `code` and `detail` say which. */
export type UnreadEvent = {
  readonly source?: string | undefined
  readonly error: { readonly code: string; readonly detail: string }
}

const ACTION = 'subject.erase'
const TARGET = 'subject-key'

/**
 * Erases a subject: what was sealed for it cannot be read any more, in no copy, and nothing is sealed for it again (`subject_erased`). First
 * an event `subject.erase` is made durable, which names the key and nobody; then the key is destroyed. After a failure between the two, the
 * event is enough to go on (`reapplyErasures`), or call this again.
 * @param log of the source that sealed
 * @returns the mark; an earlier one if there was one, and then no second event
 * @throws SealingError `subject_missing`, `subject_unknown` if nothing was sealed for it (nothing is recorded then), `keys_unreachable`; and
 * what `record()` throws
 */
export async function eraseSubject(
  log: Pick<AuditLog, 'record'>,
  keys: SubjectKeys,
  subject: Party,
  { actor, reason, order }: ErasureReasons,
): Promise<ErasedKey> {
  const failed = (error: unknown): never => {
    throw storeError(error)
  }
  const id = await keys.idOf(subject)
  // A key that nobody can open now, as while a KMS is down, is destroyed all the same: what names the key speaks of one that is there.
  const found = await keys
    .find(id)
    .catch((error: { code?: unknown; details?: { id?: unknown } } | null) =>
      error?.code === 'subject_key_invalid' || error?.details?.id === id ? ('unopened' as const) : failed(error),
    )
  if (found === null)
    throw new SealingError('subject_unknown', `Nothing was sealed for this subject: there is no key ${id}`)
  if (found !== 'unopened' && isErased(found)) {
    // Whoever made the mark may have been stopped before the key was destroyed.
    await keys.erase([found]).catch(failed)
    return found
  }
  const at = printTime(Date.now())
  const { id: event } = await log.record(
    {
      ...{ action: ACTION, actor, targets: [{ type: TARGET, id }], outcome: 'success', occurredAt: at },
      metadata: { reason, ...(order !== undefined && { order }) },
    },
    { subject: NOBODY },
  )
  const mark = { id, at, event }
  await keys.erase([mark]).catch(failed)
  return mark
}

/**
 * The mark that an event of an erasure stands for; null if it is none. Only events that the ledger has accepted from that source count, since
 * whoever may sign for it may erase.
 * @param source that sealed
 */
export function erasureIn({ id: event, source: by, fields }: ErasureEvent, source: string): ErasedKey | null {
  const { action, targets, outcome, occurredAt } = fields
  if (by !== source || action !== ACTION || outcome !== 'success') return null
  const target = Array.isArray(targets) && targets.length === 1 ? targets[0] : undefined
  if (!isObject(target) || !hasMembers(target, ['type', 'id']) || target.type !== TARGET) return null
  const at = parseTime(occurredAt)
  return at === null || !isSubjectKeyId(target.id) ? null : { id: target.id, at: printTime(at), event }
}

/**
 * Erases again what events say was erased: after a store of keys was restored, before anything reads from it. What is erased stays as it is.
 * @param events of the source, in any order, others among them. What was dropped is passed over
 * @returns how many keys were not marked as erased any more
 * @throws SealingError `keys_unreachable`. @throws KillickError `event_malformed`, when all others were applied, if one cannot be read: it may
 * be an erasure
 */
export async function reapplyErasures(
  keys: SubjectKeys,
  source: string,
  events: Iterable<ErasureEvent | UnreadEvent> | AsyncIterable<ErasureEvent | UnreadEvent>,
): Promise<number> {
  let count = 0
  let unread: UnreadEvent | null = null
  for await (const event of events) {
    if ('error' in event) {
      if (event.error.code !== 'event_dropped' && (event.source ?? source) === source) unread ??= event
      continue
    }
    const mark = erasureIn(event, source)
    if (mark !== null) count += await keys.erase([mark])
  }
  if (unread !== null) {
    const why = `An event that may be an erasure cannot be read: ${unread.error.detail}. The others were applied`
    throw new KillickError('event_malformed', why)
  }
  return count
}
