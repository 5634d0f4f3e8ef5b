/**
 * Checks that the anchors which the service lists as counting are those that the log tells of. Anchors are the clock of erasures, retention
 * and pruning, so nobody may leave one out or make one up, not even where no node is asked.
 */

import type { ParsedEvent } from '../core/event.ts'
import { type Hash, printHash } from '../core/hash.ts'
import { isObject, type JsonValue } from '../core/json.ts'
import { SYSTEM } from '../core/registry.ts'
import type { ListedAnchors } from './chain.ts'
import type { Fault } from './findings.ts'
import type { OwnCheck } from './own-check.ts'
import { systemEvent } from './records.ts'

/** What the last event about an anchor says. `at`: its log index. */
type Told = { readonly at: number; readonly counts: boolean; readonly root: JsonValue | undefined }

const ACTIONS = ['anchor.commit', 'anchor.withdraw']

/**
 * @param listed anchors as they were listed before the checkpoint was read
 * @param listedAt how many entries the log had by then
 * @param listAgain lists them anew, for those of which the log tells since
 */
export function checkAnchorsTold(
  listed: ListedAnchors,
  listedAt: number,
  listAgain: () => Promise<ListedAnchors>,
): OwnCheck {
  const told = new Map<string, Told>()
  let isUnread = false

  /** @returns why an event cannot be so */
  function take({ fields }: ParsedEvent, at: number): string | null {
    const { action, targets, metadata } = fields
    if (!ACTIONS.includes(action as string)) return null
    const target = Array.isArray(targets) && targets.length === 1 ? targets[0] : undefined
    if (!isObject(target) || target.type !== 'anchor' || typeof target.id !== 'string')
      return 'its target is not one anchor'
    const root = isObject(metadata) ? metadata.root : undefined
    told.set(target.id, { at, counts: action === 'anchor.commit', root })
    return null
  }

  /** What is listed as counting, against the log. */
  function judgeListed(name: string, root: Hash): Fault[] {
    const said = told.get(name)
    if (said === undefined)
      return isUnread
        ? []
        : [{ place: null, reason: 'untold', message: `${about(name)} is listed, and the log tells of none` }]
    const place = { logIndex: said.at, ...SYSTEM }
    if (!said.counts && said.at < listedAt)
      return [{ place, reason: 'different', message: `${about(name)} is listed, though it was withdrawn by the log` }]
    return said.root === printHash(root)
      ? []
      : [{ place, reason: 'different', message: `${about(name)} is listed with another root than the log tells` }]
  }

  return {
    id: 'anchors.told',
    title: 'Anchors are listed as the log tells of them',
    resumes: { again: true },
    async entry(walked) {
      const { logIndex, header } = walked
      const event = systemEvent(walked)
      if (event === null) {
        isUnread ||= header.source === SYSTEM.source && header.stream === SYSTEM.stream
        return []
      }
      const wrong = take(event, logIndex)
      if (wrong === null) return []
      const place = { logIndex, ...SYSTEM, seq: event.seq }
      return [{ place, reason: 'misplaced', message: `Anchor, log entry ${logIndex}: ${wrong}` }]
    },
    async finish() {
      const counting = [...told].filter(([, { counts }]) => counts)
      const detail = `${counting.length.toLocaleString('en')} told of`
      if (!listed.isWhole)
        return { faults: [], detail, skipped: { reason: 'unreadable', detail: 'The list of anchors cannot be read' } }
      const faults = [...listed.counting].flatMap(([name, { root }]) => judgeListed(name, root))
      const missing = counting.filter(([name]) => !listed.counting.has(name))
      // Those that came to count since may be listed by now.
      const again = missing.some(([, { at }]) => at >= listedAt) ? await listAgain() : null
      let open = 0
      for (const [name, { at }] of missing) {
        const isSince = at >= listedAt && again !== null
        if (isSince && again.counting.has(name)) continue
        // It may have been reorganised away since, of which the next audit tells.
        if (isSince && (again.others.has(name) || !again.isWhole)) open += 1
        else
          faults.push({
            place: { logIndex: at, ...SYSTEM },
            reason: 'absent',
            message: `${about(name)} is not listed as one that counts, though the log tells of it`,
          })
      }
      if (faults.length > 0) return { faults, detail }
      if (isUnread)
        return {
          faults,
          detail,
          skipped: { reason: 'unreadable', detail: 'Not all of the ledger’s own entries can be read' },
        }
      if (open > 0)
        return {
          ...{ faults, detail },
          skipped: {
            reason: 'changed_meanwhile',
            detail: `${open.toLocaleString('en')} changed while the log was read`,
          },
        }
      return { faults, detail }
    },
  }
}

const about = (name: string) => `/v1/anchors: the anchor ${name}`
