import { type BatchHeader, parseBatchHeader } from '../core/batch.ts'
import { type Checkpoint, parseCheckpoint } from '../core/checkpoint.ts'
import { KillickError } from '../core/errors.ts'
import { type ParsedEvent, parseEvent } from '../core/event.ts'
import { printHash } from '../core/hash.ts'
import { type Anchor, type Proof, requireParsed } from '../core/proof.ts'
import { printTime } from '../core/time.ts'
import * as checks from './checks.ts'
import { type Engine, PORTABLE_ENGINE } from './engine.ts'
import { type Erased, erased } from './erasures.ts'
import { type Finding, fail, pass, skip } from './finding.ts'
import { type Covering, type Ground, registered } from './registrations.ts'
import { succeeded } from './succession.ts'
import { type Bounds, boundsFrom, claimedTime, timesOf } from './times.ts'
import { checkTrust, type Trust } from './trust.ts'
import type { CheckName } from './values.ts'
import type { Check, Level, Missing, RestsOn, Verdict } from './verdict.ts'

/** Parses a part of the proof; a refusal becomes a finding. Any other error is a bug of ours and is thrown. */
function attempt<T>(parse: () => T) {
  try {
    return { value: parse(), refusal: null }
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    return { value: null, refusal: fail('malformed', { code: error.code, message: error.message }) }
  }
}

const UNREADABLE = skip('part_unreadable')

/**
 * Checks a proof against what the verifier trusts. Pure and synchronous: it uses no network, no clock and no global; facts about
 * the chain come in through `trust`. A skipped check never hides a failed one, and never counts as passed.
 * @param engine a platform's own ways to check and hash, with the same answers. Default: portable code
 * @throws KillickError `vkey_invalid`, `key_invalid`, `trust_invalid` if what was pinned is malformed; `proof_malformed` if
 * `parseProof` did not read the proof; nothing in the proof makes it throw
 * @example
 * const proof = parseProof(text)
 * const { outcome, missing } = verifyProof(proof, {
 *   sourceKeys: [{ source: 'billing-api', jwk: sourceKey }],
 *   logKeys: ['ledger.example.com+1f2e3d4c+AQ…'],
 *   logs: [{ chainId: 1, contract: '0x…', logId: '0x…' }],
 *   facts: await readAnchors(proof, ['https://rpc.example.com']),
 * })
 */
export function verifyProof(proof: Proof, trust: Trust, engine: Engine = PORTABLE_ENGINE): Verdict {
  const { verify, primitives } = engine
  requireParsed(proof, ['batch', 'log'])
  checkTrust(trust)
  const event = attempt(() => parseEvent(proof.event, primitives))
  const header = attempt(() => parseBatchHeader(proof.batch.header))
  const checkpoint = attempt(() => parseCheckpoint(proof.checkpoint))
  const [e, h, c] = [event.value, header.value, checkpoint.value]

  const list: Check[] = []
  const add = <N extends CheckName>(id: Check<N>['id'], finding: Finding<N>): boolean => {
    // TypeScript does not see that an id and a finding of the same check make a check.
    list.push({ id, ...finding } as Check)
    return finding.status === 'passed'
  }

  const inLogFinding = h && c ? checks.logInclusion(h, c, proof) : c ? UNREADABLE : checkpoint.refusal!
  const anchors = proof.anchors.map((anchor) => judgeAnchor(anchor, h, c, proof, trust))
  const held = anchors.filter((anchor) => anchor.held)
  // If one of them is pinned, only pinned ones count: an anchor that the verifier did not ask for adds nothing to the level.
  const standing = anchors.some(({ pinned }) => pinned) ? held.filter(({ pinned }) => pinned) : held
  const isFounded = inLogFinding.status === 'passed'
  const bounds: Bounds = isFounded ? boundsOf(standing) : { after: null, by: null }

  const form = add<'event.form'>(
    'event.form',
    e ? pass({ shown: e.disclosures.length, fields: e.fieldCount }) : event.refusal!,
  )
  const gone = e && proof.erasures ? erased(e, proof.erasures, proof, trust, engine) : null
  const isExpired = gone?.words.every(({ policy }) => policy) === true
  add<'event.fields'>('event.fields', e ? checks.fieldsShown(e, proof, gone?.digests.size ?? 0, isExpired) : UNREADABLE)
  if (proof.erasures) add<'event.erasure'>('event.erasure', gone?.finding ?? UNREADABLE)
  add<'event.signature'>('event.signature', e ? checks.eventSignature(e, proof, verify) : UNREADABLE)
  const batchSigned = add<'batch.signature'>(
    'batch.signature',
    h ? checks.batchSignature(h, proof, verify) : header.refusal!,
  )
  const inBatch = add<'batch.inclusion'>('batch.inclusion', e && h ? checks.batchInclusion(e, h, proof) : UNREADABLE)
  const sourceKey = e && h ? checks.sourceKey(e, h, proof, trust, bounds) : UNREADABLE
  const sourcePinned = add<'source.key'>('source.key', sourceKey)
  const isPinOpen = sourceKey.reason === 'pin_time_open'
  const logSigned = checks.logSignature(proof, trust, verify)
  // What the log says about a key counts only for an event that has been shown to be in the log.
  const registration =
    e && h && c && isFounded && inBatch
      ? registered(e, h, c, proof, groundOf(standing, logSigned.status === 'passed', proof), bounds, engine)
      : { finding: UNREADABLE, words: [] }
  add<'source.registration'>('source.registration', registration.finding)
  const inLog = add<'log.inclusion'>('log.inclusion', inLogFinding)
  const logPinned = add<'log.signature'>('log.signature', logSigned)
  for (const [i, { path, contract, block, final, log, before }] of anchors.entries()) {
    add<'anchor.path'>(`anchor.${i}.path`, path)
    add<'anchor.contract'>(`anchor.${i}.contract`, contract)
    add<'anchor.block'>(`anchor.${i}.block`, block)
    add<'anchor.final'>(`anchor.${i}.final`, final)
    add<'anchor.log'>(`anchor.${i}.log`, log)
    if (before) add<'anchor.before'>(`anchor.${i}.before`, before)
  }
  if (anchors.length === 0) add<'anchor'>('anchor', skip('not_anchored'))
  const times = e && timesOf(e, bounds, trust)
  add<'event.time'>('event.time', times ? claimedTime(times) : UNREADABLE)

  const failed = list.some(({ status }) => status === 'failed')
  // A failed check breaks its level, even if another check would be enough for it.
  const isSound = (...rung: string[]) =>
    !list.some(({ id, status }) => status === 'failed' && rung.includes(id.split('.')[0]!))
  const signed = form && batchSigned && inBatch && isSound('event', 'batch', 'source')
  const contractPinned = standing.some(({ pinned }) => pinned)
  const level = ladder({
    signed,
    logged: inLog && logPinned,
    anchored: inLog && standing.length > 0 && isSound('log', 'anchor'),
    final: standing.some(({ final }) => final.status === 'passed'),
  })

  const missing: Missing[] = [
    ...(anchors.length === 0 ? ['anchor' as const] : held.length === 0 ? ['chain' as const] : []),
    ...(sourcePinned || isPinOpen ? [] : ['source_key' as const]),
    ...(isPinOpen ? ['key_time' as const] : []),
    ...(logPinned ? [] : ['log_key' as const]),
    ...(anchors.length === 0 || contractPinned ? [] : ['contract' as const]),
  ]
  const restsOn: RestsOn[] = [
    ...(sourcePinned || isPinOpen ? [] : ['source_key' as const]),
    ...(isPinOpen ? ['key_time' as const] : []),
    ...(logPinned ? [] : ['log' as const]),
    ...(held.length === 0 ? ['history' as const] : []),
    ...(held.length > 0 && !contractPinned
      ? [held.some(({ succeeded }) => succeeded) ? ('succession' as const) : ('contract' as const)]
      : []),
  ]
  return {
    outcome: failed ? 'failed' : missing.length === 0 ? 'verified' : 'undecided',
    level,
    checks: list,
    restsOn: failed ? [] : restsOn,
    missing: failed ? [] : missing,
    event: e && describe(e, proof, failed ? null : gone),
    times: failed ? null : times,
    registrations: failed ? [] : registration.words,
    anchoredAt: !failed && signed ? (times?.by ?? null) : null,
  }
}

type Judged = {
  readonly path: Finding<'anchor.path'>
  readonly contract: Finding<'anchor.contract'>
  readonly block: Finding<'anchor.block'>
  readonly final: Finding<'anchor.final'>
  readonly log: Finding<'anchor.log'>
  readonly before: Finding<'anchor.before'> | null
  /** Which log it is of: chain, contract and log id. */
  readonly place: string
  readonly size: number
  /** Block time, ms. */
  readonly time: number
  /** The chain holds it, and it covers the batch. */
  readonly held: boolean
  readonly pinned: boolean
  /** In a log that succeeds a pinned one. */
  readonly succeeded: boolean
  /** The anchor before it, if the chain holds that too. */
  readonly earlier: Covering | null
}

function judgeAnchor(anchor: Anchor, h: BatchHeader | null, c: Checkpoint | null, proof: Proof, trust: Trust): Judged {
  const fact = checks.factAbout(anchor, trust)
  const path = h && c ? checks.anchorPath(h, c, anchor, proof) : UNREADABLE
  const contract = checks.anchorContract(fact)
  const log = anchorLog(anchor, proof, trust)
  const before = anchor.before ? checks.anchorBefore(anchor, anchor.before, proof, trust) : null
  return {
    ...{ path, contract, block: checks.anchorBlock(fact), final: checks.anchorFinal(fact, trust), log, before },
    place: [anchor.chainId, anchor.contract, anchor.logId].join(),
    size: anchor.size,
    time: 1000 * anchor.time,
    held: path.status === 'passed' && contract.status === 'passed',
    pinned: log.status === 'passed',
    succeeded: log.reason === 'succeeded',
    earlier: before?.status === 'passed' ? { size: anchor.before!.size, time: 1000 * anchor.before!.time } : null,
  }
}

function anchorLog(anchor: Anchor, proof: Proof, trust: Trust): Finding<'anchor.log'> {
  const pinned = checks.anchorPinned(anchor, proof, trust)
  const isOther = pinned.reason === 'pin_mismatch' || pinned.reason === 'other_pinned'
  return (isOther && anchor.succeeds && succeeded(anchor, anchor.succeeds, proof, trust)) || pinned
}

function boundsOf(standing: readonly Judged[]): Bounds {
  const befores = standing.flatMap(({ earlier }) => (earlier ? [earlier.time] : []))
  return boundsFrom(
    befores,
    standing.map(({ time }) => time),
  )
}

/**
 * What vouches for the tree of the checkpoint. An anchor of another size was shown to hold the batch, and nothing else of that
 * tree. It vouches for the rest only together with an anchor of the tree itself in the same log, because the contract has checked
 * that the two agree.
 */
function groundOf(standing: readonly Judged[], isSigned: boolean, proof: Proof): Ground {
  const own = standing.filter(({ size }) => size === proof.log.size)
  const related = standing.filter(({ place }) => own.some((anchor) => anchor.place === place))
  return {
    isVouched: isSigned || own.some(({ pinned }) => pinned),
    anchors: related.flatMap(({ size, time, earlier }) => [{ size, time }, ...(earlier ? [earlier] : [])]),
  }
}

/** The highest level with none missing below it. A root that is on chain needs no signature by the log. */
function ladder(rungs: { signed: boolean; logged: boolean; anchored: boolean; final: boolean }): Level {
  if (!rungs.signed) return 'none'
  if (rungs.anchored) return rungs.final ? 'final' : 'anchored'
  return rungs.logged ? 'logged' : 'signed'
}

function describe(event: ParsedEvent, proof: Proof, gone: Erased | null): NonNullable<Verdict['event']> {
  return {
    id: event.id,
    leafHash: printHash(event.leafHash),
    source: event.source,
    stream: event.stream,
    seq: event.seq,
    recordedAt: printTime(event.time),
    fields: event.fields,
    hiddenFields: event.fieldCount - event.disclosures.length,
    missingFields: proof.missing ?? 0,
    erasedFields: gone?.digests.size ?? 0,
    erasures: gone?.words ?? [],
  }
}
