// Finds notes and receipts: in a recorder's spool, in files, or at a service.
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { findEvidence, KEY_FILE, NOTE_FILE, RECEIPTS_FILE } from '../client/shown-files.ts'
import { getPublic } from '../client/transport.ts'
import { KillickError } from '../core/errors.ts'
import { parseFork, type Shown } from '../core/fork.ts'
import { reading } from '../core/problem.ts'
import { parseKeptReceipt } from '../core/receipt.ts'
import { UsageError } from './command.ts'
import { inputError, isSystemError } from './input.ts'

export type Found = {
  /** What the place is called in messages. */
  readonly place: string
  /** Oldest first; at least one. */
  readonly shown: readonly Shown[]
  /** Of these, what a recorder did not take: nobody has held it against the others. */
  readonly refused?: Shown
  /** The log's key as the recorder has it, if the place is a spool. */
  readonly logKey: string | null
  /** Base URL, if the place is a service. */
  readonly service: string | null
}

const TIMEOUT_MS = 30_000
// A spool has 8 receipts of some kilobytes each.
const MAX_FILE_BYTES = 16 << 20

/** An answer of a service: its body. @throws KillickError `unreachable`, or the service's refusal */
export async function ask(service: string, path: string): Promise<string> {
  const transport = { url: service, compression: 'none', timeoutMs: TIMEOUT_MS, fetch } as const
  const outcome = await getPublic(path, transport, new AbortController().signal)
  if (outcome.kind === 'accepted') return outcome.body
  throw outcome.error
}

/**
 * What is found at a place: a spool's folder, a file with a note or with receipts, or a service's URL (with or without
 * /checkpoint).
 * @throws UsageError if a file cannot be read. @throws KillickError as `ask`, `receipt_invalid`
 */
export async function findShown(place: string): Promise<Found> {
  if (/^https?:\/\//.test(place)) {
    const service = place.replace(/\/+$/, '').replace(/\/checkpoint$/, '')
    return { place, shown: [{ note: await ask(service, '/checkpoint'), receipt: null }], logKey: null, service }
  }
  if (isFolder(place)) {
    const newest = readText(join(place, NOTE_FILE))
    const shown = receiptsIn(readText(join(place, RECEIPTS_FILE)))
    // The newest receipt's note is the spool's newest note, and is listed once.
    if (shown.at(-1)?.note !== newest) shown.push({ note: newest, receipt: null })
    // What the recorder did not take: the log has signed it too.
    const evidence = findEvidence(place)
    const slip = evidence === null ? null : otherIn(evidence)
    if (slip !== null) shown.push(slip)
    const logKey = readText(join(place, KEY_FILE)).trim()
    return { place, shown, ...(slip !== null && { refused: slip }), logKey, service: null }
  }
  const text = readText(place)
  const isReceipts = text.trimStart().startsWith('{')
  const shown = isReceipts ? reading(place, () => receiptsIn(text)) : [{ note: text, receipt: null }]
  if (shown.length === 0) throw new UsageError(`${place} holds no receipt`)
  return { place, shown, logKey: null, service: null }
}

const receiptsIn = (text: string): Shown[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map(parseKeptReceipt)
    .map((receipt) => ({ note: receipt.checkpoint, receipt }))

function otherIn(evidence: string): Shown | null {
  try {
    return parseFork(readText(evidence)).other
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    throw new UsageError(`${evidence}: ${error.message}`)
  }
}

const isFolder = (place: string): boolean => statSync(place, { throwIfNoEntry: false })?.isDirectory() ?? false

function readText(file: string): string {
  try {
    if (statSync(file).size > MAX_FILE_BYTES) throw new UsageError(`${file} is larger than ${MAX_FILE_BYTES} bytes`)
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw isSystemError(error) ? inputError(error, file) : error
  }
}
