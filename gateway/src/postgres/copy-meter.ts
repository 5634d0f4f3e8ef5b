import { createHash } from 'node:crypto'
import type { JsonObject } from '@killick/sdk/core'

/** Counts and hashes the data of one COPY as it passes, without type and length of the messages. */
export class CopyMeter {
  readonly #direction: 'in' | 'out' | 'both'
  readonly #hash = createHash('sha256')
  #bytes = 0
  /** The client has said that this was all. */
  isEnded = false
  /** Syncs that came before it had, where all of it came before the server asked for it. */
  syncs = 0
  /** The server has said that the COPY is complete: all of its data has passed. */
  isWhole = false

  /** @param direction seen from the server: `in` is COPY FROM */
  constructor(direction: 'in' | 'out' | 'both') {
    this.#direction = direction
  }

  take(data: Buffer): void {
    if (data.length === 0) return
    this.#bytes += data.length
    this.#hash.update(data)
  }

  get bytes(): number {
    return this.#bytes
  }

  shown(): JsonObject {
    const sha256 = this.#hash.copy().digest('hex')
    return { direction: this.#direction, bytes: this.#bytes, sha256, isWhole: this.isWhole }
  }
}
