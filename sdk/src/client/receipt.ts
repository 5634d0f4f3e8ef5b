// A receipt is a proof, and is checked as one: only then may the spool let go of the events.
import type { BatchHeader } from '../core/batch.ts'
import { parseCheckpoint } from '../core/checkpoint.ts'
import { KillickError } from '../core/errors.ts'
import { parseHash, printHash } from '../core/hash.ts'
import { parseJson } from '../core/json.ts'
import { verifyInclusion } from '../core/merkle.ts'
import { openNote } from '../core/note.ts'
import type { State } from './state.ts'

/** Proof that the log holds a batch: its header is entry `logIndex` under the signed checkpoint of `size` entries. */
export type Receipt = {
  source: string
  stream: string
  /** First event, and how many. */
  seq: number
  n: number
  logIndex: number
  size: number
  /** RFC 9162 inclusion path of the header, base64url. */
  path: string[]
  /** C2SP signed note. */
  checkpoint: string
}

export type KnownLog = {
  /** C2SP verifier key of the log; without it the checkpoint's signature is not checked. */
  logKey: string | undefined
  /** Where the stream's batch before this one stands. */
  logIndex: number | null
  /** The largest checkpoint seen so far. */
  checkpoint: State['checkpoint']
}

const invalid = (reason: string): never => {
  throw new KillickError('receipt_invalid', `The receipt proves nothing: ${reason}`, { reason })
}

/**
 * Checks that `body` proves that the log accepted `header`, as far as it can be checked without the whole log.
 * @throws KillickError `receipt_invalid`.
 */
export function checkReceipt(
  body: string,
  header: BatchHeader,
  known: KnownLog,
): { receipt: Receipt; checkpoint: NonNullable<State['checkpoint']> } {
  const receipt = parseReceipt(body)
  const { source, stream, seq, n } = receipt
  if (source !== header.source || stream !== header.stream || seq !== header.seq || n !== header.n)
    invalid('it is for another batch')
  const { origin, size, root } = readCheckpoint(receipt.checkpoint, known.logKey)
  if (size !== receipt.size) invalid('its checkpoint has another size')
  const path = receipt.path.map((text) => parseHash(text) ?? invalid('its path holds something that is not a hash'))
  if (!verifyInclusion({ leafHash: header.leafHash, index: receipt.logIndex, size, path, root }))
    invalid('the batch header is not included in its checkpoint')
  if (known.logIndex !== null && receipt.logIndex <= known.logIndex)
    invalid(`entry ${receipt.logIndex} is not after the stream's previous batch, entry ${known.logIndex}`)
  const checkpoint = { origin, size: receipt.size, root: printHash(root) }
  if (known.checkpoint && known.checkpoint.origin !== origin)
    invalid(`it is from the log ${origin}; this stream is in the log ${known.checkpoint.origin}`)
  if (known.checkpoint?.size === checkpoint.size && known.checkpoint.root !== checkpoint.root)
    invalid(`the log has signed two roots for size ${size}: it has forked`)
  return { receipt, checkpoint }
}

function readCheckpoint(note: string, logKey: string | undefined) {
  try {
    return parseCheckpoint(logKey === undefined ? note : openNote(note, [logKey]).text)
  } catch (error) {
    return invalid((error as Error).message)
  }
}

function parseReceipt(body: string): Receipt {
  let value: unknown
  try {
    value = parseJson(body)
  } catch (error) {
    invalid((error as Error).message)
  }
  const receipt = value as Receipt
  const isInteger = (n: unknown) => Number.isSafeInteger(n) && (n as number) >= 0
  const isWellFormed =
    typeof value === 'object' &&
    value !== null &&
    typeof receipt.checkpoint === 'string' &&
    [receipt.seq, receipt.n, receipt.logIndex, receipt.size].every(isInteger) &&
    Array.isArray(receipt.path) &&
    receipt.path.length <= 64
  return isWellFormed ? receipt : invalid('it is not a receipt')
}
