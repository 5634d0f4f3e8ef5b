// Reads a journal back after a restart. Every line must follow from the ones before it: place, chain, batch, acceptance.
import { type BatchHeader, parseBatchHeader } from '../core/batch.ts'
import { parseCheckpoint } from '../core/checkpoint.ts'
import { KillickError } from '../core/errors.ts'
import { parseEvent } from '../core/event.ts'
import { printHash } from '../core/hash.ts'
import { type PublicJwk, thumbprint } from '../core/jwk.ts'
import { isIncluded, openCheckpoint, parseKeptReceipt, printReceipt } from '../core/receipt.ts'
import { verifyNatively } from '../node/signature.ts'
import { leafHashOf } from './capture.ts'
import { corrupt, type SpoolLine } from './segment.ts'
import { applyChange, freshState, type JournalChange, parseState, printState, type State } from './state.ts'

export class Replay {
  state: State
  #open: BatchHeader | null = null
  #started = false
  #last: { frame: SpoolLine; file: string } | null = null
  #noted: { frame: SpoolLine; file: string } | null = null
  readonly #source: string
  readonly #key: PublicJwk

  constructor(source: string, key: PublicJwk) {
    this.#source = source
    this.#key = key
    this.state = freshState(source, '')
  }

  /** Takes the next line and returns what it changed; nothing for the state at the start of a segment. */
  line(frame: SpoolLine, file: string, first: boolean): JournalChange | null {
    try {
      if ((frame.kind === 'S') !== first) throw new Error('the state belongs on the first line, and only there')
      if (first || frame.kind === 'A') this.#noted = { frame, file }
      if (first) {
        this.#begin(frame.text)
        return null
      }
      const change = this.#read(frame)
      if (frame.kind === 'E') this.#last = { frame, file }
      this.state = applyChange(this.state, change)
      return change
    } catch (error) {
      if (error instanceof KillickError && error.code === 'option_invalid') throw error
      throw corrupt(file, frame.start, (error as Error).message)
    }
  }

  /**
   * The batch that is open at the end. This checks the last event's signature, which through the chain covers all events before
   * it, and the signature of the log's newest checkpoint.
   */
  end(): BatchHeader | null {
    if (this.#last) {
      const { frame, file } = this.#last
      const { signature } = parseEvent(frame.text)
      if (signature?.kid === thumbprint(this.#key) && !verifyNatively(this.#key, signature.input, signature.bytes))
        throw corrupt(file, frame.start, 'the signature of the last event does not verify')
    }
    const { log, checkpoint } = this.state
    if (this.#noted && checkpoint) {
      const { frame, file } = this.#noted
      try {
        openCheckpoint(checkpoint.note, log?.key ?? '', verifyNatively)
      } catch (error) {
        throw corrupt(file, frame.start, (error as Error).message)
      }
    }
    if (this.state.batched > this.state.accepted && !this.#open)
      throw new KillickError('spool_corrupt', 'The spool is damaged: the header of the open batch is missing')
    return this.#open
  }

  #begin(text: string): void {
    const state = parseState(text)
    if (this.#started && text !== printState(this.state))
      throw new Error('this segment does not continue the one before it')
    if (state.source !== this.#source)
      throw new KillickError(
        'option_invalid',
        `This spool belongs to the source ${state.source}, not to ${this.#source}`,
        { option: 'spool' },
      )
    this.#started = true
    this.state = state
  }

  #read({ kind, text }: SpoolLine): JournalChange {
    const { state } = this
    if (kind === 'E') {
      const leaf = text.slice(0, text.indexOf('~'))
      const payload = leaf.includes('.') ? leaf.split('.')[1]! : leaf
      const { iss, stm, seq, prev = null } = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'))
      if (iss !== state.source || stm !== state.stream || seq !== state.seq || prev !== state.prev)
        throw new Error(`this event is not event ${state.seq} of the stream`)
      return { kind, seq, leafHash: leafHashOf(leaf), bytes: text.length }
    }
    if (kind === 'B') {
      const header = parseBatchHeader(text)
      const end = header.seq + header.n
      const prev = header.prev ? printHash(header.prev) : null
      if (
        state.batched !== state.accepted ||
        header.seq !== state.batched ||
        end > state.seq ||
        prev !== state.batchPrev
      )
        throw new Error('this batch header does not follow the one before it')
      this.#open = header
      return { kind, end, headerHash: printHash(header.leafHash) }
    }
    const { receipt, log } = JSON.parse(text) as Extract<JournalChange, { kind: 'A' }>
    const { header, seq, n } = parseKeptReceipt(printReceipt(receipt))
    // By its hash: the segment that held the header may already be gone.
    const isOpen = state.batched > state.accepted && printHash(parseBatchHeader(header).leafHash) === state.batchPrev
    if (!isOpen || seq !== state.accepted || seq + n !== state.batched)
      throw new Error('this acceptance is not for the open batch')
    if (!isIncluded(receipt, parseCheckpoint(receipt.checkpoint)))
      throw new Error('this receipt does not prove acceptance')
    this.#open = null
    return { kind: 'A', receipt, log }
  }
}
