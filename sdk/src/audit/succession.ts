// Checks the logs that this one claims to succeed: what is stated, whether the log tells the same and goes on from there, and
// what the contracts hold of the logs that were left.

import { setTimeout as sleep } from 'node:timers/promises'
import { equalBytes } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { type Hash, printHash } from '../core/hash.ts'
import { isObject, type JsonValue } from '../core/json.ts'
import type { Anchor, Succeeds } from '../core/proof.ts'
import type { LogPlace, Succession } from '../core/succession.ts'
import { readAnchors } from '../verify/read-anchors.ts'
import { isPlace, openSuccession } from '../verify/succession.ts'
import type { AnchorFact, PinnedLog } from '../verify/trust.ts'
import { MAX_LOG_BYTES, parseLog } from './answers.ts'
import type { Api } from './api.ts'
import { type Heads, holds, orReason } from './chain.ts'
import type { AuditReason } from './codes.ts'
import { isUnreadable } from './faulty.ts'
import type { Fault, FaultPlace, Findings } from './findings.ts'
import type { OwnCheck } from './own-check.ts'
import { systemEvent } from './records.ts'

/** A note that states a succession, and where to find the anchor that it names. */
export type Told = Omit<Succeeds, 'path'>

/** `stated`: what the log's key states in it, or why it states nothing. */
export type Statement = { readonly told: Told; readonly stated: Succession | string }

/** A succession, and what an audit found out about it. */
export type Succeeded = {
  /** The log that was left, with its last honest anchor: size, root (base64url) and block time in seconds. */
  from: LogPlace & { size: number; root: string; time: number }
  to: LogPlace
  /**
   * `held`: the contract holds that anchor, this log goes on from it, and the contract said what is beyond. `refuted`: by the log
   * or by the contract. `not asked`: the log goes on from it, and no node on that chain was given. `unanswered`: a node was given
   * and did not answer.
   */
  found: 'held' | 'refuted' | 'not asked' | 'unanswered'
  /**
   * Size of the newest anchor that the contract holds of the log that was left, if that is after the last honest one and this log
   * does not extend it; null if there is none, or if this was not checked.
   */
  beyond: number | null
}

export const SUCCESSION = 'succession'
export const LEFT = 'succession.left'

/** How long a service may answer with an older list of statements. */
const REMEMBERED_MS = 1_500

export function openStatements(listed: readonly Told[], logKeys: readonly string[]): Statement[] {
  return listed.map((told) => {
    try {
      return { told, stated: openSuccession(told.note, logKeys) }
    } catch (error) {
      if (!(error instanceof KillickError)) throw error
      return { told, stated: error.message }
    }
  })
}

export const statedIn = (statements: readonly Statement[]): Succession[] =>
  statements.flatMap(({ stated }) => (typeof stated === 'string' ? [] : [stated]))

/** Sizes for which the log's root is needed. */
export const sizesOf = (statements: readonly Statement[]): number[] => statedIn(statements).map(({ from }) => from.size)

/** The logs that were left. */
export const leftBy = (statements: readonly Statement[]): PinnedLog[] =>
  distinct(statedIn(statements).map(({ from }) => placeOf(from)))

/** Logs that succeed one of these, directly or by way of others. */
export function successorsOf(stated: readonly Succession[], logs: readonly PinnedLog[]): PinnedLog[] {
  const reached: PinnedLog[] = [...logs]
  for (const log of reached)
    for (const { from, to } of stated)
      if (isPlace(from, log) && !reached.some((known) => isPlace(to, known))) reached.push(to)
  return reached.slice(logs.length)
}

/** Pinned logs that were left for logs that are not pinned. */
export function leftUnpinned(stated: readonly Succession[], pinned: readonly PinnedLog[]): PinnedLog[] {
  const isPinned = (log: PinnedLog) => pinned.some((pin) => isPlace(log, pin))
  return pinned.filter((pin) => {
    const next = successorsOf(stated, [pin])
    return next.length > 0 && !next.some(isPinned)
  })
}

const placeOf = ({ chainId, contract, logId }: LogPlace): LogPlace => ({ chainId, contract, logId })
export const distinct = (places: readonly PinnedLog[]): PinnedLog[] =>
  places.filter((one, i) => places.findIndex((other) => isPlace(one, other)) === i)
const isSame = (a: Told, b: Told) => a.note === b.note && a.transaction === b.transaction && a.block === b.block
const nameOf = ({ chainId, logId }: PinnedLog) => `log ${logId} on chain ${chainId}`
const endOf = ({ from }: Succession) => `${from.size} entries, ${new Date(1000 * from.time).toISOString()}`

export type SuccessionOptions = {
  readonly api: Api
  /** The list that the service gave before the log was read. */
  readonly statements: readonly Statement[]
  readonly logKeys: readonly string[]
  readonly origin: string
  /** Newest anchors, including those of logs that were left. Null: no node is asked. */
  readonly heads: Heads | null
  /** The log's roots by size, for `sizesOf` and the heads, as far as the log was read. */
  readonly roots: ReadonlyMap<number, Hash | null>
  readonly findings: Findings
}

/** Its result also has what was found, and the successions that nothing refutes. */
export type SuccessionCheck = OwnCheck & { readonly found: Succeeded[]; readonly sound: Succession[] }

/** Compares a statement of succession with the log and the contract, as `verifyProof` does. */
export function checkSuccessions(options: SuccessionOptions): SuccessionCheck {
  const { api, statements, logKeys, origin, heads, roots, findings } = options
  const title = 'Where it succeeds another log, it goes on from that one’s last honest anchor'
  findings.expect(SUCCESSION, title)
  if (statements.length > 0)
    findings.expect(LEFT, 'The log that was left holds nothing after that which this one lacks')
  const inLog: (Told & { place: FaultPlace })[] = []
  const found: Succeeded[] = []
  const sound: Succession[] = []

  /** What is wrong with it by the log alone; null if nothing. */
  function refutedByLog({ stated, told }: Statement): string | null {
    if (typeof stated === 'string') return `A statement of succession does not hold: ${stated}`
    if (!inLog.some((entry) => isSame(entry, told))) return '/v1/log: a succession of which the log does not tell'
    if (stated.origin !== origin) return `The statement of succession is about another log, ${stated.origin}`
    const root = roots.get(stated.from.size)
    if (!root) return `It says that it succeeds a log of ${stated.from.size} entries, and has fewer itself`
    if (!equalBytes(root, stated.from.root))
      return `It does not extend the ${nameOf(stated.from)} that it says it succeeds: its own root of ${stated.from.size} entries is another than the one named`
    return null
  }

  /**
   * Statements in the log that are not listed even when asked for again, which rules out that they were made during the audit.
   */
  async function unlisted(): Promise<{ faults: Fault[]; isNew: boolean }> {
    const isListed = (told: Told, among: readonly Told[]) => among.some((one) => isSame(one, told))
    const listed = statements.map(({ told }) => told)
    // A service lists the newest 16.
    const rest = inLog.slice(-16).filter((told) => !isListed(told, listed))
    if (rest.length === 0) return { faults: [], isNew: false }
    const faults: Fault[] = []
    await sleep(REMEMBERED_MS)
    let now: readonly Told[]
    try {
      now = parseLog(await api.json('/v1/log', MAX_LOG_BYTES)).successions
    } catch (error) {
      if (!isUnreadable(error)) throw error
      return {
        faults: [{ place: null, reason: 'unreadable', message: `/v1/log cannot be read: ${error.message}` }],
        isNew: false,
      }
    }
    for (const { place, ...told } of rest) {
      if (isListed(told, now)) continue
      const [{ stated }] = openStatements([told], logKeys) as [Statement]
      const message =
        typeof stated === 'string'
          ? `The log tells of a succession whose statement does not hold: ${stated}`
          : '/v1/log: a succession of which the log tells is not there'
      faults.push({ place, reason: typeof stated === 'string' ? 'succession_invalid' : 'absent', message })
    }
    return { faults, isNew: faults.length < rest.length }
  }

  const isAskedOf = ({ chainId }: PinnedLog) =>
    heads?.nodes.some((node) => node.chainId === chainId || node.silent !== null) ?? false

  /** What the contract of a log that was left holds after that log's last honest anchor. */
  async function look(
    stated: Succession,
    { heads: all, unread }: Heads,
    faults: Fault[],
  ): Promise<number | string | null> {
    const last = Math.max(...sound.filter(({ from }) => isPlace(from, stated.from)).map(({ from }) => from.size))
    const own = all.filter(({ log }) => isPlace(stated.from, log))
    if (own.length === 0) return unread[0] ?? `No node was asked that is on chain ${stated.from.chainId}`
    let beyond: number | null = null
    for (const head of own) {
      const root = roots.get(head.size)
      let isExtended = head.size <= last
      const reason = await orReason(async () => {
        isExtended ||= head.genuineCode && !!root && (await holds(head, root))
      })
      if (reason !== null) return reason
      if (!head.genuineCode)
        faults.push({
          ...{ place: null, reason: 'code_foreign' },
          message: `The code at ${head.log.contract} (asked at ${head.rpc.node}) is not AnchorLog`,
        })
      else if (!isExtended) beyond = Math.max(beyond ?? 0, head.size)
    }
    return beyond
  }

  return {
    id: SUCCESSION,
    title,
    resumes: { again: true },
    found,
    sound,
    async entry(walked) {
      const event = systemEvent(walked)
      if (event?.fields.action !== 'log.succeed') return []
      const { logIndex } = walked
      const place = { logIndex, source: event.source, stream: event.stream, seq: event.seq, id: event.id }
      const told = toldBy(event.fields.metadata)
      if (told) inLog.push({ ...told, place })
      return told
        ? []
        : [{ place, reason: 'succession_invalid', message: 'The log tells of a succession, and not which' }]
    },

    async finish() {
      const { faults, isNew } = await unlisted()
      const open: Open[] = isNew
        ? [{ reason: 'changed_meanwhile', detail: 'A succession was stated while the audit ran' }]
        : []
      const named: { stated: Succession; anchor: Anchor }[] = []
      for (const statement of statements) {
        const { stated, told } = statement
        const message = refutedByLog(statement)
        if (message !== null) faults.push({ place: null, reason: 'succession_invalid', message })
        if (typeof stated === 'string') continue
        if (message !== null) found.push(describe(stated, 'refuted'))
        else named.push({ stated, anchor: { ...stated.from, transaction: told.transaction, block: told.block } })
      }
      const facts = heads && (await readAnchors({ anchors: named.map(({ anchor }) => anchor) }, heads.nodes))
      const standing = named.filter(({ stated }, i) => {
        const why = refutedByChain(facts?.[i])
        if (why === null) return true
        faults.push({
          ...{ place: null, reason: 'succession_invalid' },
          message: `It says that it succeeds the ${nameOf(stated.from)} from ${endOf(stated)} on: ${why}`,
        })
        found.push(describe(stated, 'refuted'))
        return false
      })
      sound.push(...standing.map(({ stated }) => stated))
      const beyond: string[] = []
      for (const [i, { stated, anchor }] of named.entries()) {
        if (!standing.some((one) => one.anchor === anchor)) continue
        const fact = facts?.[i]
        const seen = heads === null ? UNASKED : await look(stated, heads, faults)
        const silence =
          fact && 'unreadable' in fact ? `${fact.node}: ${fact.unreadable}` : typeof seen === 'string' ? seen : null
        if (silence !== null) {
          open.push({
            reason: isAskedOf(stated.from) ? 'node_unreadable' : 'not_asked',
            detail: `What the ${nameOf(stated.from)} holds was not checked; this log does go on from ${endOf(stated)}. ${silence}`,
          })
          found.push(describe(stated, isAskedOf(stated.from) ? 'unanswered' : 'not asked'))
          continue
        }
        found.push(describe(stated, 'held', seen as number | null))
        if (seen !== null)
          beyond.push(
            `The ${nameOf(stated.from)} was anchored up to ${seen} entries, and this one does not extend that: it left at ${endOf(stated)}`,
          )
      }
      if (open[0] !== undefined || sound.length === 0)
        findings.skip(LEFT, open[0]?.reason ?? 'nothing_known', 'Not checked')
      else if (beyond[0] !== undefined) findings.skip(LEFT, 'left_log_anchored', `${beyond[0]}. ${MEANING}`)
      else findings.pass(LEFT, sound.map(endOf).join('; '))
      const detail = sound
        .map((stated) => `It succeeds the ${nameOf(stated.from)}, from ${endOf(stated)} on`)
        .join('; ')
      return { faults, detail: detail || 'It tells of no other log', skipped: open[0] ?? null }
    },
  }
}

type Open = { readonly reason: AuditReason; readonly detail: string }

const UNASKED = 'No node was asked'
const MEANING =
  'That is to be expected where the chain key was stolen, and would look the same if the publisher dropped those entries: who has receipts or checkpoints of them knows'

function describe({ from, to }: Succession, found: Succeeded['found'], beyond: number | null = null): Succeeded {
  const { size, root, time } = from
  return { from: { ...placeOf(from), size, root: printHash(root), time }, to, found, beyond }
}

/** What a contract says against it; null if nothing, or if it was not asked or gave no answer. */
function refutedByChain(fact: AnchorFact | undefined): string | null {
  if (fact === undefined || 'unreadable' in fact) return null
  if (!fact.genuineCode) return 'the code there is not AnchorLog'
  if (!fact.anchored) return 'the contract does not hold it'
  return fact.located === false ? 'it is not in the block and transaction that are named' : null
}

function toldBy(metadata: JsonValue | undefined): Told | null {
  if (!isObject(metadata)) return null
  const { note, transaction, block } = metadata
  return typeof note === 'string' && typeof transaction === 'string' && typeof block === 'number'
    ? { note, transaction, block }
    : null
}
