/** What a recorder gets for a batch: proof that the log has it, under a checkpoint that the log signed. */
import { parseBatchHeader } from './batch.ts'
import { type Checkpoint, parseCheckpoint } from './checkpoint.ts'
import { KillickError } from './errors.ts'
import { type Hash, parseHash } from './hash.ts'
import { isObject, parseJson } from './json.ts'
import { leftOf, verifyInclusion } from './merkle.ts'
import { openNote, parseVkey, printNote } from './note.ts'
import { verifySignature } from './signature.ts'

/** Proof that the log holds a batch: its header is entry `logIndex` (from 0) under the signed checkpoint of `size` entries. */
export type Receipt = {
  /** Names of the source and of its stream. */
  source: string
  stream: string
  /** First event of the batch, and how many. */
  seq: number
  n: number
  logIndex: number
  size: number
  /** RFC 9162 inclusion path of the header, base64url. */
  path: string[]
  /** C2SP signed note. */
  checkpoint: string
}

/** A receipt with the header that it is for: everything needed to check it, except the log's key. */
export type KeptReceipt = Receipt & { header: string }

/** A checkpoint whose signature was verified. `note` holds only its text and that signature. */
export type SignedCheckpoint = {
  readonly origin: string
  readonly size: number
  readonly root: Hash
  readonly note: string
}

const RECEIPT_FORMAT = 'killick-receipt/1'

/** @throws KillickError `receipt_invalid` */
export function invalidReceipt(reason: string): never {
  throw new KillickError('receipt_invalid', `The receipt proves nothing: ${reason}`, { reason })
}

/** Runs `read`; reports any fault that it finds as a fault of the receipt. */
function orInvalid<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    return invalidReceipt((error as Error).message)
  }
}

/** Reads a receipt as a ledger gives it; checks only its form. @throws KillickError `receipt_invalid` */
export function parseReceipt(body: string): Receipt {
  const value = orInvalid(() => parseJson(body))
  const isCount = (n: unknown) => Number.isSafeInteger(n) && (n as number) >= 0
  const isReceipt =
    isObject(value) &&
    [value.source, value.stream, value.checkpoint].every((text) => typeof text === 'string') &&
    [value.seq, value.n, value.logIndex, value.size].every(isCount) &&
    Array.isArray(value.path) &&
    value.path.length <= 64
  if (!isReceipt) return invalidReceipt('it is not a receipt')
  const { source, stream, seq, n, logIndex, size, path, checkpoint } = value as unknown as Receipt
  for (const text of path) hashIn(text)
  return { source, stream, seq, n, logIndex, size, path, checkpoint }
}

const hashIn = (text: unknown): Hash => parseHash(text) ?? invalidReceipt('its path holds something that is not a hash')

/** One line of JSON. */
export const printReceipt = (receipt: KeptReceipt): string => JSON.stringify({ format: RECEIPT_FORMAT, ...receipt })

/** Reads what `printReceipt` wrote; checks that its header is for these events. @throws KillickError `receipt_invalid` */
export function parseKeptReceipt(line: string): KeptReceipt {
  const receipt = parseReceipt(line)
  const { format, header } = parseJson(line) as { format?: unknown; header?: unknown }
  if (format !== RECEIPT_FORMAT || typeof header !== 'string') return invalidReceipt(`it is not a ${RECEIPT_FORMAT}`)
  const { source, stream, seq, n } = orInvalid(() => parseBatchHeader(header))
  if (source !== receipt.source || stream !== receipt.stream || seq !== receipt.seq || n !== receipt.n)
    invalidReceipt('it is for another batch')
  return { ...receipt, header }
}

/**
 * Opens a checkpoint with the one key that its log signs with.
 * @param verify a platform's own, with the same answers
 * @throws KillickError `receipt_invalid` with what is wrong
 */
export function openCheckpoint(note: string, vkey: string, verify = verifySignature): SignedCheckpoint {
  return orInvalid(() => {
    const { text, signatures } = openNote(note, [vkey], verify)
    const { origin, size, root, extensions } = parseCheckpoint(text)
    if (origin !== parseVkey(vkey).name) invalidReceipt(`the key is not that of the log ${origin}`)
    if (typeof size !== 'number') return invalidReceipt(`no log has ${size} entries`)
    if (extensions.length > 0) invalidReceipt('its checkpoint has lines that Killick does not know')
    return { origin, size, root, note: printNote(text, signatures) }
  })
}

/** Whether the receipt's path leads from its header to the root of `checkpoint`. */
export function isIncluded(receipt: KeptReceipt, checkpoint: Pick<Checkpoint, 'size' | 'root'>): boolean {
  const { logIndex: index, size, path, header } = receipt
  const { leafHash } = parseBatchHeader(header)
  return (
    size === checkpoint.size &&
    verifyInclusion({ leafHash, index, size, path: path.map(hashIn), root: checkpoint.root })
  )
}

/**
 * Root of the log before the receipt's entry, as the receipt's path implies it: everything left of an entry is the log before
 * it. Believe it only after `isIncluded`.
 */
export const rootBefore = ({ logIndex, size, path }: Receipt): Hash | null => leftOf(logIndex, size, path.map(hashIn))
