// Decides where an audit with a folder begins, and when it keeps how far it has come.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { equalBytes } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { printHash } from '../core/hash.ts'
import type { JsonValue } from '../core/json.ts'
import type { Anchor } from '../core/proof.ts'
import { isPlace } from '../verify/succession.ts'
import { AuditFolder, type EarlierEntries, type KeptAudit } from './kept.ts'
import type { OwnCheck } from './own-check.ts'

/** What additional checks have to know of what they were given. */
export const statesOf = (own: readonly OwnCheck[]): Map<string, JsonValue[]> =>
  new Map(own.map(({ id, resumes }) => [id, [...(resumes?.save?.() ?? [])]]))

/** Why an audit began at the log's first entry, although something was kept: other pins, other checks, or an anchor that is not listed any more. */
export type AuditRestart = 'pins' | 'checks' | 'anchors'

/** What an audit must have in common with an earlier one to go on with it. */
export type AuditSubject = {
  readonly origin: string
  /** What it is held against, as JSON: the log's keys, those of sources, contracts. */
  readonly pins: unknown
  /** Its additional checks. */
  readonly own: readonly OwnCheck[]
  /** The anchors that say when something was in the log. */
  readonly anchors: readonly Anchor[]
}

export type Keeping = {
  /** Where the audit begins; null: at the log's first entry. */
  readonly start: { readonly kept: KeptAudit; readonly isSame: boolean } | null
  readonly restarted: AuditRestart | null
  readonly begun: string
  readonly earlier: EarlierEntries | null
  /** Other places of the log that were read without a fault. Whoever reads it from its first entry on must pass them again. */
  readonly passed: readonly PassedLog[]
  isDue(size: number): boolean
  write(place: Omit<KeptAudit, 'origin' | 'pins' | 'checks' | 'anchors' | 'begun' | 'earlier'>): Promise<void>
  /** @param sound the log's signed checkpoint if the next audit may begin where this one kept something last; else null */
  end(sound: string | null): Promise<void>
}

/** The log as it was once: its size, its root (base64url), and what it was then, in words. */
export type PassedLog = { readonly size: number; readonly root: string; readonly what: string }

/** Nothing is kept more often than this, ms, nor so often that it takes more than this part of the time. */
const EVERY_MS = 30_000
const MOST = 0.02

/**
 * @param onlyNew whether it may begin behind what the last audit has read
 * @throws KillickError `audit_folder_failed` if what is there cannot be read, or is of another log
 */
export async function openKeeping(folderName: string, onlyNew: boolean, subject: AuditSubject): Promise<Keeping> {
  const { origin, own, anchors } = subject
  const stuck = own.find(({ resumes }) => resumes === undefined)
  if (stuck) throw new KillickError('option_invalid', `The check ${stuck.id} cannot go on where an earlier audit ended`)
  // The others need to know nothing of what came before.
  const checks = own.filter(({ resumes }) => resumes!.again || resumes!.save).map(({ id }) => id)
  const folder = new AuditFolder(folderName)
  const pins = createHash('sha256').update(JSON.stringify(subject.pins)).digest('base64url')
  const begin = () => new Date().toISOString()
  const covered = new Set(anchors.map(({ size }) => size))
  const newest = Math.max(0, ...covered)

  /** Why nobody may go on with it; null: one may. */
  const unfit = (kept: KeptAudit): AuditRestart | null => {
    if (kept.pins !== pins) return 'pins'
    if (JSON.stringify(kept.checks) !== JSON.stringify(checks)) return 'checks'
    return kept.anchors.every((known) => anchors.some((listed) => isSame(known, listed))) ? null : 'anchors'
  }

  const current = await folder.read('current')
  const last = await folder.read('last')
  const other = [current, last].find((kept) => kept !== null && kept.origin !== origin)
  const ofAnother = (name: string) =>
    new KillickError('audit_folder_failed', `${folderName} is of another log: ${name}`, { folder: folderName })
  if (other) throw ofAnother(other.origin)
  const noted = await folder.readNote()
  if (noted !== null && noted.checkpoint.origin !== origin) throw ofAnother(noted.checkpoint.origin)
  const seen = noted && {
    size: Number(noted.checkpoint.size),
    root: printHash(noted.checkpoint.root),
    what: `signed for in ${join(folderName, 'checkpoint')}`,
  }
  // One that had left out entries is no beginning of a whole audit; and one that is under way may be behind the last.
  const candidates = [
    ...(current && (onlyNew || current.earlier === null) ? [{ kept: current, isSame: true }] : []),
    ...(last && onlyNew ? [{ kept: last, isSame: false }] : []),
  ].sort((a, b) => b.kept.size - a.kept.size)
  const reasons = candidates.map(({ kept }) => unfit(kept))
  const start = candidates.find((_, i) => reasons[i] === null) ?? null
  const restarted = start === null ? (reasons[0] ?? null) : null
  let isOwn = start?.isSame ?? false
  let keptAt = performance.now()
  let took = 0

  const begun = start?.isSame ? start.kept.begun : begin()
  const earlier = start === null ? null : start.isSame ? start.kept.earlier : earlierOf(start.kept)
  return {
    ...{ start, restarted, begun, earlier },
    passed: [
      ...[current, last]
        .filter((kept) => kept !== null)
        .filter((kept) => kept !== start?.kept && kept.faults.length === 0)
        .map(({ size, root, begun, read }) => ({ size, root, what: `read from ${begun} to ${read}` })),
      ...(seen === null ? [] : [seen]),
    ],
    isDue(size) {
      if (!covered.has(size)) return false
      return size === newest || performance.now() - keptAt >= Math.max(EVERY_MS, took / MOST)
    },
    async write(place) {
      const before = performance.now()
      const those = anchors.filter(({ size }) => size <= place.size)
      await folder.write({ origin, pins, checks, anchors: those, begun, earlier, ...place })
      isOwn = true
      keptAt = performance.now()
      took = keptAt - before
    },
    async end(sound) {
      if (sound !== null) await folder.writeNote(sound)
      await folder.end(sound !== null && isOwn)
    },
  }
}

const earlierOf = ({ size, firstEvent, root, begun, earlier, read }: KeptAudit): EarlierEntries => ({
  ...{ size, root, events: firstEvent, begun: earlier?.begun ?? begun, ended: read },
})

const isSame = (a: Anchor, b: Anchor): boolean =>
  isPlace(a, b) &&
  a.size === b.size &&
  equalBytes(a.root, b.root) &&
  a.time === b.time &&
  a.transaction === b.transaction
