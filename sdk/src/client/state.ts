// The state of a stream as a pure function of the journal: the same code applies a line that has just become durable and one that
// is read back after a restart.
import { parseCheckpoint } from '../core/checkpoint.ts'
import { KillickError } from '../core/errors.ts'
import { printHash } from '../core/hash.ts'
import type { KeptReceipt } from '../core/receipt.ts'

/** Hashes are base64url text here, since the state is JSON on disk. Event counts and `seq` are integers from 0. */
export type State = {
  readonly source: string
  readonly stream: string
  /** `seq` of the next event, and leaf hash of the last one. */
  readonly seq: number
  readonly prev: string | null
  /** `seq` after the last batched event, and leaf hash of the last batch header. */
  readonly batched: number
  readonly batchPrev: string | null
  /** `seq` after the last event that the log has accepted, and the log index of its batch. */
  readonly accepted: number
  readonly logIndex: number | null
  /** The key for opening the log's checkpoints. */
  readonly log: LogPin | null
  /** The largest checkpoint seen, and its note. */
  readonly checkpoint: KnownCheckpoint | null
  /** The newest receipts of the stream, oldest first. */
  readonly receipts: readonly KeptReceipt[]
}

/** A C2SP verifier key, and its origin: given as `logKey`, or taken from the service with the first receipt. */
export type LogPin = { readonly key: string; readonly by: 'option' | 'first_use' }

export type KnownCheckpoint = {
  readonly origin: string
  readonly size: number
  readonly root: string
  /** C2SP signed note: the text of the checkpoint, and the signature by that key. */
  readonly note: string
}

/** How many receipts are kept. The newest checkpoint commits to all earlier ones. They must fit the reserve on a full disk. */
const KEPT_RECEIPTS = 8

/** What one line of the journal changed. `end` is the seq after the batch's last event. */
export type JournalChange =
  | { kind: 'E'; seq: number; leafHash: string; bytes: number }
  | { kind: 'B'; end: number; headerHash: string }
  | { kind: 'A'; receipt: KeptReceipt; log: LogPin }

export const freshState = (source: string, stream: string): State => ({
  source,
  stream,
  seq: 0,
  prev: null,
  batched: 0,
  batchPrev: null,
  accepted: 0,
  logIndex: null,
  log: null,
  checkpoint: null,
  receipts: [],
})

export function applyChange(state: State, change: JournalChange): State {
  switch (change.kind) {
    case 'E':
      return { ...state, seq: change.seq + 1, prev: change.leafHash }
    case 'B':
      return { ...state, batched: change.end, batchPrev: change.headerHash }
    case 'A': {
      const { receipt, log } = change
      const isNewer = state.checkpoint === null || receipt.size > state.checkpoint.size
      return {
        ...state,
        accepted: receipt.seq + receipt.n,
        logIndex: receipt.logIndex,
        log,
        checkpoint: isNewer ? checkpointOf(receipt) : state.checkpoint,
        receipts: [...state.receipts, receipt].slice(-KEPT_RECEIPTS),
      }
    }
  }
}

function checkpointOf({ checkpoint: note }: KeptReceipt): KnownCheckpoint {
  const { origin, size, root } = parseCheckpoint(note)
  return { origin, size: Number(size), root: printHash(root), note }
}

// Spool lines are ASCII; JSON can escape everything else.
const toAscii = (json: string): string =>
  json.replace(/[\u0080-\uffff]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)

/** A value as one line of ASCII JSON. */
export const printLine = (value: unknown): string => toAscii(JSON.stringify(value))

/** Version of the files; a spool of another version is refused rather than guessed at. */
const FORMAT = 'killick-spool/2'

export const printState = (state: State): string => printLine({ format: FORMAT, ...state })

export function parseState(text: string): State {
  const { format, ...state } = JSON.parse(text) as State & { format: string }
  if (format !== FORMAT)
    throw new KillickError('spool_corrupt', `The spool has the format ${format}, not ${FORMAT}`, { format })
  return state
}
