/**
 * Evidence that a log has two histories, `killick-fork/1`: what one party was shown and kept, and what it was shown later.
 * Anyone who has the log's key can check whether the two notes contradict each other.
 */
import { parseBatchHeader } from './batch.ts'
import { equalBytes } from './bytes.ts'
import { KillickError } from './errors.ts'
import { type Hash, parseHash } from './hash.ts'
import { isObject, parseJson } from './json.ts'
import { leftOf, verifyConsistency } from './merkle.ts'
import {
  isIncluded,
  type KeptReceipt,
  openCheckpoint,
  parseKeptReceipt,
  printReceipt,
  rootBefore,
  type SignedCheckpoint,
} from './receipt.ts'

const FORK_FORMAT = 'killick-fork/1'

/** A checkpoint as it was signed, and a receipt under it if there is one. */
export type Shown = { readonly note: string; readonly receipt: KeptReceipt | null }

/**
 * How it was found: the two notes contradict each other (`roots`); the service's proof does not lead from one to the other
 * (`consistency`); the service does not know of events that it has given a receipt for (`lost`).
 */
export type ForkReason = 'roots' | 'consistency' | 'lost'

export type Fork = {
  readonly reason: ForkReason
  /** When it was found, by the finder's clock: `Date.toISOString`. */
  readonly found: string
  /** Base URL of the service. */
  readonly url: string
  /** C2SP verifier key of the log, as the finder had pinned it: for a reader, a claim. */
  readonly logKey: string
  readonly known: Shown
  /** Null: the service showed no note. */
  readonly other: Shown | null
  /** What the service was asked, and what it answered; null if nothing had to be asked. */
  readonly asked: string | null
  readonly answer: string | null
}

/** Prints an indented JSON document. */
export function printFork(fork: Fork): string {
  const shown = (side: Shown | null) =>
    side && { note: side.note, receipt: side.receipt && JSON.parse(printReceipt(side.receipt)) }
  const document = { format: FORK_FORMAT, ...fork, known: shown(fork.known), other: shown(fork.other) }
  return `${JSON.stringify(document, null, 2)}\n`
}

/** Whether a document claims to be evidence of a fork. */
export const isFork = (value: unknown): boolean => isObject(value) && value.format === FORK_FORMAT

/** @throws KillickError `fork_malformed` */
export function parseFork(text: string): Fork {
  const malformed = (why: string): never => {
    throw new KillickError('fork_malformed', `Not a ${FORK_FORMAT}: ${why}`)
  }
  let value: unknown
  try {
    value = parseJson(text)
  } catch (error) {
    return malformed((error as Error).message)
  }
  if (!isFork(value)) return malformed('it has another format')
  const fork = value as Record<string, unknown>
  const textIn = (name: string): string =>
    typeof fork[name] === 'string' ? (fork[name] as string) : malformed(`${name} is not a text`)
  const textOrNull = (name: string): string | null => (fork[name] === null ? null : textIn(name))
  const shown = (name: string): Shown => {
    const side = fork[name]
    if (!isObject(side) || typeof side.note !== 'string') return malformed(`${name} has no note`)
    if (side.receipt === null) return { note: side.note, receipt: null }
    try {
      return { note: side.note, receipt: parseKeptReceipt(JSON.stringify(side.receipt)) }
    } catch (error) {
      return malformed((error as Error).message)
    }
  }
  const reason = textIn('reason') as ForkReason
  if (!['roots', 'consistency', 'lost'].includes(reason)) malformed('its reason is unknown')
  return {
    reason,
    found: textIn('found'),
    url: textIn('url'),
    logKey: textIn('logKey'),
    known: shown('known'),
    other: fork.other === null ? null : shown('other'),
    asked: textOrNull('asked'),
    answer: textOrNull('answer'),
  }
}

/** An opened checkpoint, and the roots that it and a receipt under it show, by size. */
export type LogView = { readonly checkpoint: SignedCheckpoint; readonly roots: ReadonlyMap<number, Hash> }

/** Opens a note and its receipt. @throws KillickError `receipt_invalid` */
export const openShown = ({ note, receipt }: Shown, vkey: string): LogView =>
  viewOf(openCheckpoint(note, vkey), receipt)

/**
 * The root of every size that a checkpoint and a receipt under it imply: its own, and those just before and just after the
 * receipt's entry.
 */
export function viewOf(checkpoint: SignedCheckpoint, receipt: KeptReceipt | null): LogView {
  const roots = new Map([[checkpoint.size, checkpoint.root]])
  if (receipt && isIncluded(receipt, checkpoint)) {
    const before = rootBefore(receipt)
    if (before) roots.set(receipt.logIndex, before)
    const after = rootAfter(receipt)
    if (after) roots.set(receipt.logIndex + 1, after)
  }
  return { checkpoint, roots }
}

/** Root of the log up to and including the receipt's entry: the entry is the last leaf of that tree. */
function rootAfter({ logIndex, size, path, header }: KeptReceipt): Hash | null {
  const hashes = path.map((text) => parseHash(text)!)
  return leftOf(logIndex, size, hashes, parseBatchHeader(header).leafHash)
}

/** A size for which two views of a log show different roots; null if there is none. */
export function contradiction(a: LogView, b: LogView): number | null {
  for (const [size, root] of a.roots) {
    const other = b.roots.get(size)
    if (other && !equalBytes(root, other)) return size
  }
  return null
}

/** Whether `path` (base64url) proves that the larger of two views extends the smaller; null if it is not a path. */
export function extendsBy(a: LogView, b: LogView, path: unknown): boolean | null {
  const hashes = Array.isArray(path) && path.length <= 65 ? path.map((text) => parseHash(text)) : [null]
  if (hashes.includes(null)) return null
  const [older, newer] = [a.checkpoint, b.checkpoint].sort((x, y) => x.size - y.size) as [
    SignedCheckpoint,
    SignedCheckpoint,
  ]
  return verifyConsistency({
    oldSize: older.size,
    newSize: newer.size,
    oldRoot: older.root,
    newRoot: newer.root,
    path: hashes as Hash[],
  })
}

export type ForkVerdict = {
  /** `forked`: two statements under one key contradict each other. `consistent`: they do not. `undecided`: neither is shown. */
  readonly outcome: 'forked' | 'consistent' | 'undecided'
  /** Sentences: what is shown, and what is only claimed. */
  readonly shown: readonly string[]
  readonly told: readonly string[]
}

/**
 * Judges evidence only by what it shows and by the log's key.
 * @param vkey the verifier key to open both notes with
 */
export function judgeFork(fork: Fork, vkey: string): ForkVerdict {
  const told = [
    `${fork.url} was asked by a recorder at ${fork.found} (by its own clock)`,
    ...(fork.asked ? [`asked: ${fork.asked}`, `answered: ${fork.answer ?? 'nothing that could be read'}`] : []),
  ]
  const undecided = (...shown: string[]): ForkVerdict => ({ outcome: 'undecided', shown, told })
  let known: LogView
  let other: LogView | null
  try {
    known = openShown(fork.known, vkey)
    other = fork.other && openShown(fork.other, vkey)
  } catch (error) {
    return undecided(`A note is not signed by this key: ${(error as Error).message}`)
  }
  const { origin, size } = known.checkpoint
  const signed = `The key signed a checkpoint of ${origin} with ${size} entries`
  if (other === null) return undecided(signed, 'There is no second note that could contradict it')
  const both = `${signed}, and one with ${other.checkpoint.size}`
  const at = contradiction(known, other)
  if (at !== null)
    return {
      outcome: 'forked',
      shown: [both, `The two show different roots for the log of ${at} entries: they contradict each other`],
      told,
    }
  if (size === other.checkpoint.size)
    return { outcome: 'consistent', shown: [both, 'Both have the same root: there is no contradiction'], told }
  if (extendsBy(known, other, pathIn(fork.answer)) === true)
    return {
      outcome: 'consistent',
      shown: [both, 'The answer proves that one extends the other: there is no contradiction'],
      told,
    }
  return undecided(
    both,
    `Two sizes alone contradict nothing: only the service can prove that one extends the other, and that proof is missing here`,
  )
}

/** The path in an answer of `/v1/consistency`, if it is one. */
export function pathIn(answer: string | null): unknown {
  try {
    const value = parseJson(answer ?? '')
    return isObject(value) ? value.path : null
  } catch {
    return null
  }
}
