import { type BatchHeader, parseBatchHeader } from '../core/batch.ts'
import { type Checkpoint, parseCheckpoint } from '../core/checkpoint.ts'
import { KillickError } from '../core/errors.ts'
import { type ParsedEvent, parseEvent } from '../core/event.ts'
import { printHash } from '../core/hash.ts'
import type { Anchor, Proof } from '../core/proof.ts'
import * as checks from './checks.ts'
import { type Finding, fail, pass, skip } from './finding.ts'
import { type Covering, type Ground, registered } from './registrations.ts'
import { succeeded } from './succession.ts'
import { type Bounds, claimedTime, timesOf } from './times.ts'
import { checkTrust, type Trust } from './trust.ts'
import type { Check, Level, Verdict } from './verdict.ts'

/** Parses a part of the proof; a refusal becomes a finding. Bugs of our own still throw. */
function attempt<T>(parse: () => T): { value: T | null; refusal: Finding } {
  try {
    return { value: parse(), refusal: skip('part_unreadable', '') }
  } catch (error) {
    if (error instanceof KillickError) return { value: null, refusal: fail('malformed', error.message) }
    throw error
  }
}

const UNREADABLE = skip('part_unreadable', 'A part that this rests on could not be read')
const UNFOUNDED = skip('part_unreadable', 'The event has not been shown to be in the log')

/**
 * Checks a proof against what the verifier trusts. Pure and synchronous: no network, no clock, no global; chain facts
 * come in through `trust`. A skipped check never hides a failed one, and what was not checked is never counted.
 * @throws KillickError `vkey_invalid`, `key_invalid`, `trust_invalid` where what was pinned is malformed; nothing in the proof
 * makes it throw
 * @example
 * const proof = parseProof(text)
 * const { outcome, missing } = verifyProof(proof, {
 *   sourceKeys: [{ source: 'billing-api', jwk: sourceKey }],
 *   logKeys: ['ledger.example.com+1f2e3d4c+AQ…'],
 *   logs: [{ chainId: 1, contract: '0x…', logId: '0x…' }],
 *   facts: await readAnchors(proof, ['https://rpc.example.com']),
 * })
 */
export function verifyProof(proof: Proof, trust: Trust): Verdict {
  checkTrust(trust)
  const event = attempt(() => parseEvent(proof.event))
  const header = attempt(() => parseBatchHeader(proof.batch.header))
  const checkpoint = attempt(() => parseCheckpoint(proof.checkpoint))
  const [e, h, c] = [event.value, header.value, checkpoint.value]

  const list: Check[] = []
  const add = (id: string, title: string, finding: Finding): boolean => {
    list.push({ id, title, ...finding })
    return finding.status === 'passed'
  }

  const inLogFinding = h && c ? checks.logInclusion(h, c, proof) : c ? UNREADABLE : checkpoint.refusal
  const anchors = proof.anchors.map((anchor) => judgeAnchor(anchor, h, c, proof, trust))
  const held = anchors.filter((anchor) => anchor.held)
  // Where one of them is pinned, only such are stood on: what a verifier did not ask for adds nothing to the level.
  const standing = anchors.some(({ pinned }) => pinned) ? held.filter(({ pinned }) => pinned) : held
  const isFounded = inLogFinding.status === 'passed'
  const bounds: Bounds = isFounded ? boundsOf(standing) : { after: null, by: null }

  const form = add(
    'event.form',
    'The event is whole, and each field shown is one that was recorded',
    e ? pass(`${e.disclosures.length} of ${e.fieldCount} fields shown`) : event.refusal,
  )
  add('event.fields', 'Everything that was recorded is shown', e ? checks.fieldsShown(e, proof) : UNREADABLE)
  add('event.signature', 'The source signed the event', e ? checks.eventSignature(e, proof) : UNREADABLE)
  const batchSigned = add(
    'batch.signature',
    'The source signed the batch',
    h ? checks.batchSignature(h, proof) : header.refusal,
  )
  const inBatch = add(
    'batch.inclusion',
    'The event stands at its place in the batch',
    e && h ? checks.batchInclusion(e, h, proof) : UNREADABLE,
  )
  const sourceKey = e && h ? checks.sourceKey(e, h, proof, trust, bounds) : UNREADABLE
  const sourcePinned = add('source.key', 'The source’s key is one that you trust', sourceKey)
  const isPinOpen = sourceKey.reason === 'pin_time_open'
  const logSigned = checks.logSignature(proof, trust)
  const registration =
    e && h && c && isFounded && inBatch
      ? registered(e, h, c, proof, groundOf(standing, logSigned.status === 'passed', proof), bounds)
      : { finding: UNFOUNDED, words: [] }
  add('source.registration', 'The log says whose key it is, from before it was used', registration.finding)
  const inLog = add('log.inclusion', 'The batch stands at its place in the log', inLogFinding)
  const logPinned = add('log.signature', 'The log signed its checkpoint, with a key that you trust', logSigned)
  for (const [i, anchor] of anchors.entries())
    for (const [name, title, finding] of anchor.findings) add(`anchor.${i}.${name}`, title, finding)
  if (anchors.length === 0) add('anchor', 'The log is anchored on a chain', skip('not_anchored', 'Not anchored yet'))
  const times = e && timesOf(e, bounds, trust)
  add('event.time', 'The times it claims fit the anchors around it', times ? claimedTime(times) : UNREADABLE)

  const failed = list.some(({ status }) => status === 'failed')
  // What failed on a rung breaks it, even where another check of the rung would hold it up.
  const isSound = (...rung: string[]) =>
    !list.some(({ id, status }) => status === 'failed' && rung.includes(id.split('.')[0]!))
  const signed = form && batchSigned && inBatch && isSound('event', 'batch', 'source')
  const contractPinned = standing.some(({ pinned }) => pinned)
  const level = ladder({
    signed,
    logged: inLog && logPinned,
    anchored: inLog && standing.length > 0 && isSound('log', 'anchor'),
    final: standing.some(({ final }) => final),
  })

  const missing = [
    ...(anchors.length === 0 ? ['an anchor: the event is not anchored yet'] : []),
    ...(anchors.length > 0 && held.length === 0 ? ['an answer from the chain about the anchor'] : []),
    ...(sourcePinned || isPinOpen ? [] : ['a pinned key of the source']),
    ...(isPinOpen ? ['anchors that tell whether the key was used within the time for which you pinned it'] : []),
    ...(logPinned ? [] : ['a pinned key of the log']),
    ...(anchors.length === 0 || contractPinned ? [] : ['a pinned contract and log id, confirmed by the chain']),
  ]
  const restsOn = [
    ...(sourcePinned || isPinOpen ? [] : ['the log operator’s word on which key is the source’s']),
    ...(isPinOpen ? ['the log operator’s word on when the key was used'] : []),
    ...(logPinned ? [] : ['the proof’s own word on which log this is']),
    ...(held.length === 0 ? ['the log operator’s word that the past was not rewritten'] : []),
    ...(held.length > 0 && !contractPinned
      ? [
          held.some(({ succeeded }) => succeeded)
            ? 'the publisher’s word that this log succeeds the one that you pinned'
            : 'the proof’s own word on which contract to ask',
        ]
      : []),
  ]
  return {
    outcome: failed ? 'failed' : missing.length === 0 ? 'verified' : 'undecided',
    level,
    checks: list,
    restsOn: failed ? [] : restsOn,
    missing: failed ? [] : missing,
    event: e && describe(e, proof),
    times: failed ? null : times,
    registrations: failed ? [] : registration.words,
    anchoredAt: !failed && signed ? (times?.by ?? null) : null,
  }
}

type Entry = readonly [name: string, title: string, finding: Finding]
const entry = (...parts: Entry): Entry => parts

type Judged = {
  readonly findings: readonly Entry[]
  /** Which log it is of: chain, contract and log id. */
  readonly log: string
  readonly size: number
  /** Block time, ms. */
  readonly time: number
  /** The chain holds it, and it covers the batch. */
  readonly held: boolean
  readonly final: boolean
  readonly pinned: boolean
  /** In a log that succeeds a pinned one. */
  readonly succeeded: boolean
  /** The anchor before it, where the chain holds that too. */
  readonly before: Covering | null
}

function judgeAnchor(anchor: Anchor, h: BatchHeader | null, c: Checkpoint | null, proof: Proof, trust: Trust): Judged {
  const fact = checks.factAbout(anchor, trust)
  const path = h && c ? checks.anchorPath(h, c, anchor, proof) : UNREADABLE
  const contract = checks.anchorContract(fact)
  const final = checks.anchorFinal(fact, trust)
  const pinned = anchorLog(anchor, proof, trust)
  const before = anchor.before && checks.anchorBefore(anchor, anchor.before, proof, trust)
  const passed = (...findings: Finding[]) => findings.every(({ status }) => status === 'passed')
  return {
    findings: [
      ['path', 'The anchored root covers the batch', path],
      ['contract', 'The contract on chain holds this root', contract],
      ['block', 'The anchor is in the block that the proof names', checks.anchorBlock(fact)],
      ['final', 'The block can no longer be reorganised away', final],
      ['log', 'Contract and log are the ones that you trust', pinned],
      ...(before ? [entry('before', 'The anchor before does not cover the batch yet', before)] : []),
    ],
    log: [anchor.chainId, anchor.contract, anchor.logId].join(),
    size: anchor.size,
    time: 1000 * anchor.time,
    held: passed(path, contract),
    final: passed(final),
    pinned: passed(pinned),
    succeeded: pinned.reason === 'succeeded',
    before: before && passed(before) ? { size: anchor.before!.size, time: 1000 * anchor.before!.time } : null,
  }
}

function anchorLog(anchor: Anchor, proof: Proof, trust: Trust): Finding {
  const pinned = checks.anchorPinned(anchor, proof, trust)
  const isOther = pinned.reason === 'pin_mismatch' || pinned.reason === 'other_pinned'
  return (isOther && anchor.succeeds && succeeded(anchor, anchor.succeeds, proof, trust)) || pinned
}

function boundsOf(standing: readonly Judged[]): Bounds {
  const befores = standing.flatMap(({ before }) => (before ? [before.time] : []))
  return {
    after: befores.length === 0 ? null : Math.max(...befores),
    by: standing.length === 0 ? null : Math.min(...standing.map(({ time }) => time)),
  }
}

/**
 * What speaks for the tree of the checkpoint. An anchor of another size was shown to hold the batch, and nothing else of that
 * tree; it speaks for the rest only beside one of the tree itself in the same log, of which the contract has seen that both
 * agree.
 */
function groundOf(standing: readonly Judged[], isSigned: boolean, proof: Proof): Ground {
  const own = standing.filter(({ size }) => size === proof.log.size)
  const related = standing.filter(({ log }) => own.some((anchor) => anchor.log === log))
  return {
    isVouched: isSigned || own.some(({ pinned }) => pinned),
    anchors: related.flatMap(({ size, time, before }) => [{ size, time }, ...(before ? [before] : [])]),
  }
}

/** The highest rung with none missing below it. A log root on chain needs no signature of the log's. */
function ladder(rungs: { signed: boolean; logged: boolean; anchored: boolean; final: boolean }): Level {
  if (!rungs.signed) return 'none'
  if (rungs.anchored) return rungs.final ? 'final' : 'anchored'
  return rungs.logged ? 'logged' : 'signed'
}

function describe(event: ParsedEvent, proof: Proof): NonNullable<Verdict['event']> {
  return {
    id: event.id,
    leafHash: printHash(event.leafHash),
    source: event.source,
    stream: event.stream,
    seq: event.seq,
    recordedAt: new Date(event.time).toISOString(),
    fields: event.fields,
    hiddenFields: event.fieldCount - event.disclosures.length,
    missingFields: proof.missing ?? 0,
  }
}
