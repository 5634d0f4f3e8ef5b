import { parseBatchHeader } from '../core/batch.ts'
import { parseCheckpoint } from '../core/checkpoint.ts'
import { KillickError } from '../core/errors.ts'
import { type ParsedEvent, parseEvent } from '../core/event.ts'
import { printHash } from '../core/hash.ts'
import type { Proof } from '../core/proof.ts'
import * as checks from './checks.ts'
import { type Finding, fail, pass, skip } from './checks.ts'
import { checkTrust, type Trust } from './trust.ts'
import type { Check, Level, Verdict } from './verdict.ts'

/** Parses a part of the proof; a refusal becomes a finding. Bugs of our own still throw. */
function attempt<T>(parse: () => T): { value: T | null; refusal: Finding } {
  try {
    return { value: parse(), refusal: skip('') }
  } catch (error) {
    if (error instanceof KillickError) return { value: null, refusal: fail(error.message) }
    throw error
  }
}

const UNREADABLE = skip('A part that this rests on could not be read')

/**
 * Checks a proof against what the verifier trusts. Pure and synchronous: no network, no clock, no global; chain facts
 * come in through `trust`. A skipped check never hides a failed one, and what was not checked is never counted.
 * @throws KillickError vkey_invalid | key_invalid | trust_invalid, when what was pinned is malformed; nothing in the proof
 * makes it throw
 */
export function verifyProof(proof: Proof, trust: Trust): Verdict {
  checkTrust(trust)
  const event = attempt(() => parseEvent(proof.event))
  const header = attempt(() => parseBatchHeader(proof.batch.header))
  const checkpoint = attempt(() => parseCheckpoint(proof.checkpoint))
  const [e, h, c] = [event.value, header.value, checkpoint.value]

  const list: Check[] = []
  const add = (id: string, title: string, { status, detail }: Finding): boolean => {
    list.push({ id, title, status, detail })
    return status === 'passed'
  }

  const form = add(
    'event.form',
    'The event is whole, and each field shown is one that was recorded',
    e ? pass(`${e.disclosures.length} of ${e.fieldCount} fields shown`) : event.refusal,
  )
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
  const sourcePinned = add(
    'source.key',
    'The source’s key is one that you trust',
    e && h ? checks.sourceKey(e, h, proof, trust) : UNREADABLE,
  )
  const inLog = add(
    'log.inclusion',
    'The batch stands at its place in the log',
    h && c ? checks.logInclusion(h, c, proof) : c ? UNREADABLE : checkpoint.refusal,
  )
  const logPinned = add(
    'log.signature',
    'The log signed its checkpoint, with a key that you trust',
    checks.logSignature(proof, trust),
  )

  const anchors = proof.anchors.map((anchor, i) => {
    const fact = checks.factAbout(anchor, trust)
    const path = add(
      `anchor.${i}.path`,
      'The anchored root covers the batch',
      h && c ? checks.anchorPath(h, c, anchor, proof) : UNREADABLE,
    )
    const held = add(`anchor.${i}.contract`, 'The contract on chain holds this root', checks.anchorContract(fact))
    add(`anchor.${i}.block`, 'The anchor is in the block that the proof names', checks.anchorBlock(fact))
    const final = add(
      `anchor.${i}.final`,
      'The block can no longer be reorganised away',
      checks.anchorFinal(fact, trust),
    )
    const pinned = add(
      `anchor.${i}.log`,
      'Contract and log are the ones that you trust',
      checks.anchorPinned(anchor, proof, trust),
    )
    return { time: anchor.time, held: path && held, final, pinned }
  })
  if (anchors.length === 0) add('anchor', 'The log is anchored on a chain', skip('Not anchored yet'))

  const failed = list.some(({ status }) => status === 'failed')
  // What failed on a rung breaks it, even where another check of the rung would hold it up.
  const isSound = (...rung: string[]) =>
    !list.some(({ id, status }) => status === 'failed' && rung.includes(id.split('.')[0]!))
  const signed = form && batchSigned && inBatch && isSound('event', 'batch', 'source')
  // A pinned anchor is the one to stand on; without any, the verdict says that the contract is unproven.
  const held = anchors.filter((anchor) => anchor.held)
  const standing = held.some(({ pinned }) => pinned) ? held.filter(({ pinned }) => pinned) : held
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
    ...(sourcePinned ? [] : ['a pinned key of the source']),
    ...(logPinned ? [] : ['a pinned key of the log']),
    ...(anchors.length === 0 || contractPinned ? [] : ['a pinned contract and log id, confirmed by the chain']),
  ]
  const restsOn = [
    ...(sourcePinned ? [] : ['the log operator’s word on which key is the source’s']),
    ...(logPinned ? [] : ['the proof’s own word on which log this is']),
    ...(held.length === 0 ? ['the log operator’s word that the past was not rewritten'] : []),
    ...(held.length > 0 && !contractPinned ? ['the proof’s own word on which contract to ask'] : []),
  ]
  return {
    outcome: failed ? 'failed' : missing.length === 0 ? 'verified' : 'undecided',
    level,
    checks: list,
    restsOn: failed ? [] : restsOn,
    missing: failed ? [] : missing,
    event: e && describe(e),
    anchoredAt:
      !failed && signed && standing.length > 0
        ? new Date(Math.min(...standing.map(({ time }) => time)) * 1000).toISOString()
        : null,
  }
}

/** The highest rung with none missing below it. A log root on chain needs no signature of the log's. */
function ladder(rungs: { signed: boolean; logged: boolean; anchored: boolean; final: boolean }): Level {
  if (!rungs.signed) return 'none'
  if (rungs.anchored) return rungs.final ? 'final' : 'anchored'
  return rungs.logged ? 'logged' : 'signed'
}

function describe(event: ParsedEvent): NonNullable<Verdict['event']> {
  return {
    id: event.id,
    leafHash: printHash(event.leafHash),
    source: event.source,
    stream: event.stream,
    seq: event.seq,
    recordedAt: new Date(event.time).toISOString(),
    fields: event.fields,
    hiddenFields: event.fieldCount - event.disclosures.length,
  }
}
