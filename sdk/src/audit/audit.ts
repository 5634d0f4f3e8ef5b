import { availableParallelism } from 'node:os'
import { equalBytes } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { EMPTY_ROOT, type Hash, parseHash, printHash } from '../core/hash.ts'
import { splitVkeys } from '../core/note.ts'
import { isPlace } from '../verify/succession.ts'
import { checkTrust, type PinnedLog, requireTrust } from '../verify/trust.ts'
import { checkAnchorsTold } from './anchors-told.ts'
import type { Api } from './api.ts'
import { compareWithChain, compareWithLog, listAnchors, readHeads, untoldRoot } from './chain.ts'
import type { AuditRestsOn } from './codes.ts'
import { DroppedLeaves } from './dropped.ts'
import { checkErasures, type ErasureCheck } from './erasures.ts'
import { isUnreadable } from './faulty.ts'
import { type AuditCheck, type FaultPlace, Findings } from './findings.ts'
import { checkHolds } from './holds.ts'
import { type AuditRestart, openKeeping, type PassedLog, statesOf } from './keeping.ts'
import { type EarlierEntries, takeFolder } from './kept.ts'
import { KeyRing, type PinnedSourceKey } from './keys.ts'
import { type WalkStart, walkLedger } from './ledger.ts'
import { checkNotes } from './notes.ts'
import type { OwnCheck } from './own-check.ts'
import { openPrefix, type Prefix } from './prefix.ts'
import { checkProposals } from './proposals.ts'
import { checkPruning } from './pruning.ts'
import { type BatchReaders, openReaders } from './readers.ts'
import { checkRecords } from './records.ts'
import { checkRetention } from './retention.ts'
import { listSources } from './sources.ts'
import {
  checkSuccessions,
  distinct,
  LEFT,
  leftBy,
  leftUnpinned,
  openStatements,
  SUCCESSION,
  type Succeeded,
  sizesOf,
  statedIn,
  successorsOf,
} from './succession.ts'
import { readCheckpoint, readLog, readSize } from './told-first.ts'
import { LogTree, type ReadTile, tilePath } from './tree.ts'

/**
 * What the auditor relies on instead of the service's word. If empty, the audit takes the service's word, and the result says so.
 */
export type AuditPins = {
  /** Verifier keys (C2SP vkeys) of the log. */
  readonly logKeys: readonly string[]
  /** Keys of sources; one without a name counts for every source that it is registered for. */
  readonly sourceKeys: readonly PinnedSourceKey[]
  /** Contracts, each with the log in it. */
  readonly logs: readonly PinnedLog[]
  /** JSON-RPC endpoints; if empty, the chain is not asked. */
  readonly urls: readonly string[]
}

/** Progress of an audit: batches out of `size`, and how many of their events were checked, which were not dropped. */
export type AuditProgress = { readonly batches: number; readonly size: number; readonly events: number }

/** Options of an audit. */
export type AuditOptions = {
  /** Called after each batch. */
  readonly onProgress?: (progress: AuditProgress) => void
  /** Ends the audit early: it rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** Most events to check per second, on average; 0: as fast as they come. Default 0. */
  readonly pace?: number
  /** Most threads that read batches and check signatures; a paced audit has one. Default: as many as the machine has cores. */
  readonly threads?: number
  /** Additional checks. Default none. */
  readonly own?: readonly OwnCheck[]
  /** What reads batches, and notes what additional checks need of each event. Default: nothing is noted. */
  readonly readers?: BatchReaders
  /**
   * Folder in which the audit keeps how far it has come, at entries that an anchor covers: one that was interrupted goes on there. It is
   * made if it is not there; an audit is refused while another has the same. Default: nothing is kept.
   */
  readonly folder?: string | undefined
  /**
   * With `folder`: leave out the entries that earlier audits without a fault have read, up to the newest of them that an anchor covers,
   * except for the ledger's own. What happened to those since is not checked, but that the log still goes on from them. Default false.
   */
  readonly onlyNew?: boolean
}

/** What an audit found. `auditOutcome` sums it up in one word. */
export type AuditResult = {
  /** Name of the log. */
  origin: string
  /** Entries of the log that were checked, and their root as the checkpoint has it, base64url. */
  size: number
  root: string
  /** Events that were checked; without those that an earlier audit had read, and those that were dropped. */
  events: number
  /** Events that retention policies have dropped: of these only the leaf hashes were checked, and that they could be dropped. */
  dropped: number
  /** The checks and their results, in the order of docs/ERRORS.md. */
  checks: AuditCheck[]
  /** The earliest fault that has a place in the log. */
  first: (FaultPlace & { message: string }) | null
  /** What was not pinned, so that somebody's word was taken. `auditInWords` of `@killick/sdk/words` makes phrases of it. */
  restsOn: AuditRestsOn[]
  /** Sources whose keys were taken on the log's word. */
  unpinned: string[]
  /** The logs that this one claims to succeed, latest statement first, without those that are refuted. */
  successions: Succeeded[]
  /** Pinned logs that were left for logs that are not pinned; the audit follows those on the publisher's word. */
  followed: PinnedLog[]
  /** When the audit began, ISO 8601: earlier than it was called, if it went on where it was interrupted. */
  begun: string
  /** The log's first entries, if they were left out because an earlier audit has read them. */
  earlier: EarlierEntries | null
  /** Why it began at the log's first entry, although something was kept. */
  restarted: AuditRestart | null
}

/** Checks of what was asked for before the log was read: an audit that goes on asks again. */
const ASKED_ANEW = ['checkpoint', 'anchors.log', 'anchors.chain']

const NOTHING_READ = { events: 0, dropped: 0, signatures: 0, streams: 0, isUnread: false }

const FOLLOWED = 'what is anchored since is followed on the publisher’s word'

/**
 * An audit in one word. `failed`: a check failed. `undecided`: nothing failed, but something could not be checked. `passed`:
 * neither. It is undecided if the chain was not asked, or did not answer, and if the log's root at an anchor could not be told. It is not
 * undecided because nothing is anchored yet, nor because of what the contract holds of a log that was left: for a verifier who pinned that log, `anchors.chain` is skipped.
 * @param waived ids of checks that were deliberately left out
 */
export function auditOutcome(
  { checks, successions }: Pick<AuditResult, 'checks' | 'successions'>,
  waived: readonly string[] = [],
): 'passed' | 'failed' | 'undecided' {
  if (checks.some(({ status }) => status === 'failed')) return 'failed'
  const isAnswered = successions.every(({ found }) => found !== 'unanswered')
  const closed = [LEFT, ...(isAnswered ? [SUCCESSION] : []), ...waived]
  const isNothingThere = ({ id, reason }: AuditCheck) => id === 'anchors.log' && reason === 'not_anchored'
  const isOpen = (check: AuditCheck) =>
    check.status === 'skipped' && !closed.includes(check.id) && !isNothingThere(check)
  return checks.some(isOpen) ? 'undecided' : 'passed'
}

/**
 * Reads everything the service stores and computes it all again: every event's digests, fields and signature, the keys as the
 * log registers them, the chain of every stream, the root and signature of every batch, the log's tree and each stored tile,
 * and every anchor against the contract. What it keeps in memory grows with streams and with events that lack fields or were dropped (of
 * the latter eight bytes each), not with the events themselves.
 * @param api from `openApi`, with a token that may read events
 * @throws KillickError `trust_invalid`, `vkey_invalid`, `key_invalid` if what was pinned is malformed; if the service cannot be reached or refuses; `audit_folder_failed`; `signal`'s reason if it was aborted
 * @example
 * const pins = { logKeys: [vkey], sourceKeys: [], logs: [], urls: ['https://rpc.example.com'] }
 * const result = await auditLedger(openApi('https://audit.example.com', token), pins)
 * if (auditOutcome(result) !== 'passed') console.error(result.first, result.checks)
 */
export async function auditLedger(api: Api, pins: AuditPins, options: AuditOptions = {}): Promise<AuditResult> {
  checkGiven(api, pins)
  const leave = options.folder === undefined ? null : await takeFolder(options.folder)
  return audit(api, pins, options).finally(leave)
}

const LISTS = ['logKeys', 'sourceKeys', 'logs', 'urls'] as const

/** A slip in what is pinned must not look like a fault of the ledger, nor be as good as no pin. */
function checkGiven(api: Api, pins: AuditPins): void {
  if (typeof (api as Partial<Api> | undefined)?.json !== 'function')
    throw new KillickError('option_invalid', 'What is audited is opened by openApi', { option: 'api' })
  requireTrust(pins)
  const lacking = LISTS.find((member) => !Array.isArray(pins[member]))
  if (lacking !== undefined) {
    const why = `What an audit trusts lacks the list ${lacking}; an empty one pins nothing`
    throw new KillickError('trust_invalid', why, { member: lacking, form: 'a list' })
  }
  // Of a log that a service publishes to, the chain may not be known yet, while no node has answered.
  const { urls: _, logs: __, ...trust } = pins
  checkTrust(trust)
}

async function audit(api: Api, pins: AuditPins, options: AuditOptions): Promise<AuditResult> {
  const begun = new Date().toISOString()
  const findings = new Findings()
  findings.expect('checkpoint', 'The log signed its checkpoint')
  findings.expect('batches', 'Every batch is whole, and signed by its source')
  findings.expect('events', 'Every event is whole, and signed by its source')
  findings.expect('fields', 'Every event holds every field that was accepted and not erased')
  findings.expect('registry', 'Every key was registered in the log before it was used')
  findings.expect('streams', 'Every stream is without gap, from its first event on')
  findings.expect('root', 'The batches hash to the root in the checkpoint')
  findings.expect('tiles', 'Every stored tile is what the batches hash to')
  findings.expect('anchors.log', 'The log has the roots that were anchored')
  findings.expect('anchors.chain', 'The contract on chain holds those roots')
  const claims = await readLog(api, findings)
  // Keys of unsupported types are no pins.
  const pinnedKeys = splitVkeys(pins.logKeys)
  const logKeys = pinnedKeys.supported.length > 0 ? pinnedKeys.supported : claims.vkey === null ? [] : [claims.vkey]
  const statements = openStatements(claims.successions, logKeys)
  const chosen = pins.logs.length > 0 ? pins.logs : claims.logs
  const logs = distinct([...chosen, ...successorsOf(statedIn(statements), chosen)])
  const left = leftBy(statements)
  // Read before the checkpoint; otherwise entries that arrive meanwhile would be anchored but not in it.
  const heads = await readHeads(distinct([...logs, ...left]), pins.urls)
  // What had happened by then must be listed, whatever arrives meanwhile. A service may have named an old size, but what is anchored was there.
  const sizeThen = await readSize(api, findings)
  const listing = await listAnchors(api, findings)
  const { anchors } = listing
  const listedAt = Math.max(sizeThen, anchors.at(-1)?.size ?? 0)
  const listed = await listSources(api)
  const { note, origin, size, root, isReadable } = await readCheckpoint(api, logKeys, findings)
  const roots = new Map<number, Hash | null>(
    [...[...anchors, ...heads.heads].map(({ size }) => size), ...sizesOf(statements)].map((at) => [at, null]),
  )
  const succession = checkSuccessions({
    ...{ api, statements, logKeys, origin, roots, findings },
    heads: pins.urls.length > 0 ? heads : null,
  })
  // For logs that were left, if a node for their chain was given; if none was, the check of the succession says so.
  const told = left.filter(({ chainId }) => heads.nodes.some((node) => node.chainId === chainId))
  const asked = anchors.filter((anchor) => [...logs, ...told].some((log) => isPlace(anchor, log)))
  const holds = checkHolds(api, listedAt)
  const held = heads.heads.filter(({ log, genuineCode }) => genuineCode && logs.some((one) => isPlace(log, one)))
  const clocks = {
    ...{ all: anchors, asked: pins.urls.length > 0 ? asked : anchors, listedAt },
    heads: held.map(({ log, size, time }) => ({ ...log, size, time })),
  }
  const leaves = new DroppedLeaves()
  const retention = checkRetention(api, clocks, holds, leaves)
  const erasures = checkErasures(api, retention, leaves, clocks.asked)
  const notes = checkNotes(api, origin, logKeys)
  const own = [
    notes,
    checkRecords(api),
    checkAnchorsTold(listing, listedAt, () => listAnchors(api, findings)),
    erasures,
    checkProposals(),
    holds,
    retention,
    checkPruning(claims.pruning, clocks),
    succession,
    ...(options.own ?? []),
  ]
  for (const { id, title } of own) findings.expect(id, title)
  const keys = new KeyRing({
    ...{ pinned: pins.sourceKeys, listed, listedAt, findings, erasures },
    anchors: pins.urls.length > 0 ? asked : anchors,
  })

  const readTile = tileReader(api)
  const tree = new LogTree(readTile, (reason, message, logIndex) =>
    findings.fail('tiles', reason, message, { logIndex }),
  )
  const { folder } = options
  const subject = { origin, own, anchors: clocks.asked, pins: [logKeys, pins.sourceKeys, pins.logs] }
  // What was kept waits for an audit that can read the log.
  const isKept = folder !== undefined && isReadable
  const keeping = isKept ? await openKeeping(folder, options.onlyNew ?? false, subject) : null
  const { start = null, earlier = null, passed = [] } = keeping ?? {}
  const unread = new Set<number>()
  let from: WalkStart | null = null
  if (earlier !== null || passed.length > 0)
    findings.expect('earlier', 'The log goes on from what an earlier audit has read')
  for (const { size } of passed) roots.set(size, null)
  if (start !== null && start.kept.size <= size) {
    const prefix = openPrefix(readTile, size, start.kept.size, parseHash(start.kept.root)!)
    tree.load(start.isSame ? start.kept.tree : { ...start.kept.tree, tiles: 0 })
    for (const at of [...roots.keys()].filter((at) => at <= prefix.size)) {
      roots.set(at, await prefix.rootAt(at))
      if (roots.get(at) === null) unread.add(at)
    }
    from = { ...start, prefix }
  } else if (start !== null)
    findings.fail(
      ...([earlier === null ? 'root' : 'earlier', 'removed'] as const),
      `Of ${start.kept.size} entries that were read before, the log has ${size} left`,
      { logIndex: size },
    )
  const pace = options.pace ?? 0
  const readers = openReaders(pace > 0 ? 1 : (options.threads ?? availableParallelism()), options.readers)
  const walk = async () => {
    // Nothing goes on from more than there is, and without a checkpoint nobody knows how far to read.
    if (!isReadable || (start !== null && from === null)) return NOTHING_READ
    return walkLedger({
      ...{ api, size, keys, tree, findings, signal: options.signal, pace, own, readers, from },
      keep: keeping && {
        isDue: keeping.isDue,
        write: (place) =>
          keeping.write({
            ...place,
            read: new Date().toISOString(),
            size: tree.size,
            root: printHash(tree.root),
            tree: tree.save(),
            keys: keys.save(),
            faults: findings.save().filter(({ check }) => !ASKED_ANEW.includes(check)),
            states: statesOf(own),
          }),
      },
      onBatch: (batches, events) => options.onProgress?.({ batches, size, events }),
      onSize: (at, rootNow) => {
        if (roots.has(at)) roots.set(at, rootNow())
      },
    })
  }
  const walked = await walk().finally(() => readers.close())
  // A ledger begins with an entry of its own.
  if (isReadable && size === 0) findings.fail('checkpoint', 'absent', 'It is of a log without entries')
  /** Whether it is all that earlier audits know of it. */
  let isPassed = false
  const isRead = isReadable && size > 0 && tree.size === size && (start === null || from !== null)
  if (isRead) {
    await tree.finish()
    const batches = size - (earlier?.size ?? 0)
    const since = earlier === null ? '' : ` from entry ${earlier.size.toLocaleString('en')} on`
    findings.pass('batches', `${batches}${since}, of ${count(walked.streams, 'stream')}`)
    const { dropped } = walked
    const signed = `${walked.signatures.toLocaleString('en')} signatures with those of the batches`
    const left = dropped === 0 ? '' : `; of ${dropped.toLocaleString('en')} more, which were dropped, only leaf hashes`
    findings.pass('events', `${walked.events.toLocaleString('en')}; ${signed}${left}`)
    keys.finish()
    concludeFields(await erasures.settle(size), keys.withDecoys, walked, findings)
    findings.pass('streams', count(walked.streams, 'stream'))
    findings.pass('tiles', count(tree.tiles, 'tile'))
  }
  for (const check of own.filter(({ isApart }) => isRead || isApart === true)) {
    const { faults, detail, skipped } = await check.finish()
    for (const { reason, message, place } of faults) findings.fail(check.id, reason, message, place)
    if (skipped) findings.skip(check.id, skipped.reason, skipped.detail)
    else findings.pass(check.id, detail)
  }
  if (isRead) {
    const said = concludePassed(passed, size, roots, findings)
    if (earlier !== null)
      said.push(await concludeEarlier(earlier, openPrefix(readTile, size, size, root), tree.root, findings))
    isPassed = said.every((what) => what !== null)
    if (said.length > 0 && isPassed) findings.pass('earlier', said.at(-1)!)
    if (equalBytes(tree.root, root)) findings.pass('root', printHash(root))
    else
      findings.fail(
        'root',
        'root_mismatch',
        `They hash to ${printHash(tree.root)}, the checkpoint says ${printHash(root)}`,
        null,
      )
  }
  const known = new Map([...roots].filter((entry): entry is [number, Hash] => entry[1] !== null))
  if (isRead) compareWithLog(anchors, size, known, findings, unread)
  const followed = leftUnpinned(succession.sound, pins.logs)
  if (pins.urls.length === 0) findings.skip('anchors.chain', 'not_asked', 'No node was asked')
  else if (isReadable) {
    // What was anchored in a log after it was left is no longer this log's; the check of the succession reports it.
    const own = heads.heads.filter(
      ({ log }) => logs.some((one) => isPlace(one, log)) && !succession.sound.some(({ from }) => isPlace(from, log)),
    )
    const left = followed.map(({ logId }) => `The pinned log ${logId} was left: ${FOLLOWED}`)
    await compareWithChain(asked, { ...heads, heads: own }, left, size, known, findings)
  }
  await keeping?.end(findings.failed || !isPassed ? null : note)
  const unpinned = [...keys.unpinned].sort()
  const restsOn: AuditRestsOn[] = []
  if (pinnedKeys.supported.length === 0) restsOn.push({ what: 'log_key' })
  if (pinnedKeys.unsupported.length > 0) restsOn.push({ what: 'unread_keys', keys: pinnedKeys.unsupported })
  if (unpinned.length > 0) restsOn.push({ what: 'source_keys', sources: unpinned })
  if (pins.logs.length === 0 && pins.urls.length > 0) restsOn.push({ what: 'contract' })
  if (followed.length > 0) restsOn.push({ what: 'succession' })
  if (succession.found.some(({ beyond }) => beyond !== null)) restsOn.push({ what: 'left_log' })
  return {
    origin,
    size,
    root: printHash(root),
    events: walked.events,
    dropped: walked.dropped,
    checks: findings.checks,
    first: findings.first,
    restsOn,
    unpinned,
    successions: [...succession.found],
    followed,
    begun: keeping?.begun ?? begun,
    ...{ earlier, restarted: keeping?.restarted ?? null },
  }
}

function tileReader(api: Api): ReadTile {
  // A service answers 500 if it finds its own tree broken, and 503 while its database is away.
  const orNull = (error: unknown) => {
    if (error instanceof KillickError && (error.details.status === 404 || error.details.status === 500)) return null
    // Longer than any tile.
    if (isUnreadable(error)) return null
    throw error
  }
  return (level, index, width) => api.bytes(tilePath(level, index, width)).catch(orNull)
}

/**
 * Says whether entries that were left out still are the log's first. @param log that the checkpoint names, by its tiles
 * @returns what holds; null if it does not
 */
async function concludeEarlier(
  earlier: EarlierEntries,
  log: Prefix,
  read: Hash,
  findings: Findings,
): Promise<string | null> {
  const { size, root, begun, ended } = earlier
  const isPrefix = equalBytes(read, log.root) || printHash((await log.rootAt(size)) ?? EMPTY_ROOT) === root
  if (isPrefix)
    return `${size.toLocaleString('en')} entries, read from ${begun} to ${ended}; of these the ledger’s own were taken into account again, as they were then`
  findings.fail(
    ...(['earlier', 'rewritten'] as const),
    `The log of ${log.size} entries does not go on from its first ${size}, as an earlier audit read them`,
  )
  return null
}

/**
 * Says whether the log still has the roots that are known of it from before, at other places than where this audit began.
 * @returns of each what holds; null if it does not, or cannot be told
 */
function concludePassed(
  passed: readonly PassedLog[],
  size: number,
  roots: ReadonlyMap<number, Hash | null>,
  findings: Findings,
): (string | null)[] {
  return passed.map((known) => {
    const root = roots.get(known.size) ?? null
    const entries = `${known.size.toLocaleString('en')} entries that were ${known.what}`
    if (known.size > size)
      findings.fail('earlier', 'removed', `Of ${entries}, the log has ${size} left`, { logIndex: size })
    else if (root === null) findings.skip('earlier', 'unreadable', untoldRoot(known.size))
    else if (printHash(root) === known.root) return `It begins with the ${entries}`
    else findings.fail('earlier', 'rewritten', `The log does not begin with the ${entries}`)
    return null
  })
}

/** Says which events are whole but for what was erased, and for what nobody can tell. */
function concludeFields(
  { faults, since, fields, events }: Awaited<ReturnType<ErasureCheck['settle']>>,
  withDecoys: number,
  { dropped, isUnread }: { dropped: number; isUnread: boolean },
  findings: Findings,
): void {
  for (const { reason, message, place } of faults) findings.fail('fields', reason, message, place)
  const but = [
    ...(events === 0 ? [] : [`${count(fields, 'field')} of ${count(events, 'event')}, erased by orders in the log`]),
    ...(withDecoys === 0
      ? []
      : [`${withDecoys.toLocaleString('en')} of sources that may hide fields, which cannot be told`]),
    ...(dropped === 0 ? [] : [`${dropped.toLocaleString('en')} that were dropped, of which none is left`]),
  ]
  const detail = but.length === 0 ? 'each' : `each but ${but.join('; ')}`
  if (isUnread) findings.skip('fields', 'unreadable', 'Not of every batch can events be read')
  else if (since === 0) findings.pass('fields', detail)
  else
    findings.skip(
      'fields',
      'changed_meanwhile',
      `${count(since, 'event')} lost fields by orders that came while the log was read`,
    )
}

const count = (n: number, noun: string): string => `${n.toLocaleString('en')} ${noun}${n === 1 ? '' : 's'}`
