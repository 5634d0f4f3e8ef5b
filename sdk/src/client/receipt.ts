// Checks a receipt as a proof, and checks that the log that gave it is still the same log. Only then may the spool forget the
// events.
import type { BatchHeader } from '../core/batch.ts'
import { parseCheckpoint } from '../core/checkpoint.ts'
import { KillickError } from '../core/errors.ts'
import { contradiction, extendsBy, type Fork, type ForkReason, type Shown, viewOf } from '../core/fork.ts'
import { parseHash } from '../core/hash.ts'
import { isObject, parseJson } from '../core/json.ts'
import { parseVkey } from '../core/note.ts'
import {
  invalidReceipt,
  isIncluded,
  type KeptReceipt,
  openCheckpoint,
  parseReceipt,
  type SignedCheckpoint,
} from '../core/receipt.ts'
import { verifyNatively } from '../node/signature.ts'
import type { KnownCheckpoint, LogPin, State } from './state.ts'
import { type Delivery, getPublic, type TransportOptions } from './transport.ts'

/** What is known of the log, and how to ask its service. */
export type Door = {
  state: Pick<State, 'log' | 'logIndex' | 'checkpoint' | 'receipts'>
  /** C2SP verifier key that the application gave; undefined: use the spool's key, or else the one that the service names. */
  logKey: string | undefined
  transport: TransportOptions
  signal: AbortSignal
}

/**
 * `accepted`: the receipt proves acceptance, by a log that extends all it has shown before. `later`: the service did not answer
 * a necessary question. `refused`: the receipt proves nothing. `forked`: the log contradicts itself.
 */
export type Admission =
  | { kind: 'accepted'; receipt: KeptReceipt; log: LogPin }
  | Exclude<Delivery, { kind: 'accepted' | 'refused' }>
  | { kind: 'refused'; error: KillickError }
  | { kind: 'forked'; fork: Fork }

/** Thrown within this file when the service's answer decides the outcome. */
class Ended extends Error {
  readonly admission: Admission

  constructor(admission: Admission) {
    super()
    this.admission = admission
  }
}

/** Checks that `body` proves acceptance of the batch under `header`, by the same log as before. */
export async function admitReceipt(body: string, header: BatchHeader, door: Door): Promise<Admission> {
  try {
    return await admit(body, header, door)
  } catch (error) {
    if (error instanceof Ended) return error.admission
    if (error instanceof KillickError && error.code === 'receipt_invalid') return { kind: 'refused', error }
    throw error
  }
}

async function admit(body: string, header: BatchHeader, door: Door): Promise<Admission> {
  const { logIndex, checkpoint: known } = door.state
  const given = { ...parseReceipt(body), header: header.text }
  const { source, stream, seq, n } = given
  if (source !== header.source || stream !== header.stream || seq !== header.seq || n !== header.n)
    invalidReceipt('it is for another batch')
  const origin = originOf(given.checkpoint)
  if (known && known.origin !== origin)
    invalidReceipt(`it is from the log ${origin}; this stream is in the log ${known.origin}`)
  const log = await pinOf(given.checkpoint, door)
  const checkpoint = openWith(given.checkpoint, log)
  const receipt = { ...given, checkpoint: checkpoint.note }
  if (receipt.size !== checkpoint.size) invalidReceipt('its checkpoint has another size')
  if (!isIncluded(receipt, checkpoint)) invalidReceipt('the batch header is not included in its checkpoint')
  if (known) await demandConsistency(known, receipt, checkpoint, log, door)
  if (logIndex !== null && given.logIndex <= logIndex)
    invalidReceipt(`entry ${given.logIndex} is not after the stream's previous batch, entry ${logIndex}`)
  return { kind: 'accepted', receipt, log }
}

function originOf(note: string): string {
  try {
    return parseCheckpoint(note).origin
  } catch (error) {
    return invalidReceipt((error as Error).message)
  }
}

/** The key for opening checkpoints: the application's, else the one used before, else, for the first receipt, the service's. */
async function pinOf(note: string, door: Door): Promise<LogPin> {
  if (door.logKey !== undefined) return { key: door.logKey, by: 'option' }
  if (door.state.log) return door.state.log
  const answer = await askFor('/v1/log', door)
  let vkey = ''
  try {
    const value = parseJson(answer)
    if (isObject(value) && typeof value.vkey === 'string') vkey = value.vkey
    parseVkey(vkey)
  } catch {
    return invalidReceipt('the service does not say which key its log signs with, and no logKey was given')
  }
  openCheckpoint(note, vkey, verifyNatively)
  return { key: vkey, by: 'first_use' }
}

function openWith(note: string, { key, by }: LogPin): SignedCheckpoint {
  try {
    return openCheckpoint(note, key, verifyNatively)
  } catch (error) {
    if (by === 'option') throw error
    const { reason } = (error as KillickError).details
    return invalidReceipt(
      `its checkpoint is not signed by the key that was pinned on first use, ${key} (${reason}). If the log has a new key, give it as logKey`,
    )
  }
}

/** Returns when it is proven that the log has only grown. */
async function demandConsistency(
  known: KnownCheckpoint,
  receipt: KeptReceipt,
  checkpoint: SignedCheckpoint,
  log: LogPin,
  door: Door,
): Promise<void> {
  const fork = (reason: ForkReason, asked: string | null, answer: string | null): never => {
    const other = { note: checkpoint.note, receipt }
    throw new Ended({ kind: 'forked', fork: evidence(reason, { other, asked, answer }, log.key, door) })
  }
  const older = viewOf({ ...known, root: parseHash(known.root)! }, receiptUnder(known.note, door.state.receipts))
  const newer = viewOf(checkpoint, receipt)
  if (contradiction(older, newer) !== null) fork('roots', null, null)
  // Both show the same root for the smaller size. This is the case when no other batch came between the last one and this one.
  if (newer.roots.has(known.size) || older.roots.has(checkpoint.size)) return
  const [from, to] = [known.size, checkpoint.size].sort((a, b) => a - b) as [number, number]
  const asked = `/v1/consistency?from=${from}&to=${to}`
  const answer = await askFor(asked, door)
  const holds = extendsBy(older, newer, readPath(answer, from, to))
  if (holds === null) invalidReceipt(`the service was asked ${asked} and answered with something else`)
  if (!holds) fork('consistency', asked, answer)
}

const receiptUnder = (note: string, receipts: readonly KeptReceipt[]): KeptReceipt | null =>
  receipts.findLast(({ checkpoint }) => checkpoint === note) ?? null

function readPath(answer: string, from: number, to: number): unknown {
  try {
    const value = parseJson(answer)
    return isObject(value) && value.from === from && value.to === to ? value.path : null
  } catch {
    return null
  }
}

/** The body of an answer. Without an answer nothing can be decided now. */
async function askFor(path: string, { transport, signal }: Door): Promise<string> {
  const outcome = await getPublic(path, transport, signal)
  if (outcome.kind === 'accepted') return outcome.body
  if (outcome.kind === 'later') throw new Ended(outcome)
  return invalidReceipt(`the service was asked ${path}: ${outcome.error.message}`)
}

function evidence(
  reason: ForkReason,
  found: Pick<Fork, 'other' | 'asked' | 'answer'>,
  logKey: string,
  { state, transport }: Door,
): Fork {
  const { note } = state.checkpoint!
  return {
    reason,
    found: new Date().toISOString(),
    url: transport.url,
    logKey,
    known: { note, receipt: receiptUnder(note, state.receipts) },
    ...found,
  }
}

/**
 * If a service expects events again for which it gave a receipt, it has lost them. Null if it turns out to be the service of
 * another log, which never had them, and if the recorder was closed before that was known.
 */
export async function forkOfGap(error: KillickError, door: Door): Promise<Fork | null> {
  const { log, checkpoint } = door.state
  const outcome = await getPublic('/checkpoint', door.transport, door.signal)
  if (door.signal.aborted) return null
  let other: Shown | null = null
  if (outcome.kind === 'accepted') {
    try {
      if (originOf(outcome.body) !== checkpoint!.origin) return null
      other = { note: openCheckpoint(outcome.body, log!.key, verifyNatively).note, receipt: null }
    } catch {
      // No note of this log: the service's answer is the only evidence.
    }
  }
  const answer = JSON.stringify(error.details)
  return evidence('lost', { other, asked: 'POST /v1/batches', answer }, log!.key, door)
}
