// What passes in one direction: counted, hashed where that is asked for, and JSON kept for its event within a bound.
import { isUtf8 } from 'node:buffer'
import { createHash, type Hash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { type JsonObject, type JsonValue, parseJson } from '@killick/sdk/core'
import { Gathered } from '../gathered.ts'
import type { HttpRoute } from './routes.ts'

/** Watches the bytes of one direction; keeps at most a bound of them. */
export class BodyMeter {
  bytes = 0
  readonly #hash: Hash | null
  readonly #maxKept: number
  #kept: Gathered | null

  /** @param maxKept bytes of JSON that are kept where `bodies` is `show` */
  constructor(bodies: HttpRoute['bodies'], maxKept: number) {
    this.#hash = bodies === 'none' ? null : createHash('sha256')
    this.#maxKept = maxKept
    this.#kept = bodies === 'show' ? new Gathered() : null
  }

  /** A listener of a stream's data. */
  readonly take = (chunk: Buffer): void => {
    this.bytes += chunk.length
    this.#hash?.update(chunk)
    if (this.#kept === null) return
    if (this.bytes > this.#maxKept) this.#kept = null
    else this.#kept.add(chunk)
  }

  /** Size, and the hash of what has passed. To be asked once, at the end. */
  facts(): JsonObject {
    return { bytes: this.bytes, ...(this.#hash && { sha256: this.#hash.digest('hex') }) }
  }

  /** The body, where it is to be shown and is JSON of its headers' word; null where it is not. To be asked once, at the end. */
  shown(headers: IncomingHttpHeaders): { value: JsonValue } | null {
    const type = headers['content-type'] ?? ''
    const isJson = /^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(type)
    if (this.#kept === null || this.bytes === 0 || !isJson || headers['content-encoding'] !== undefined) return null
    // What is read here in another way than by the server would be shown as something that nobody has sent.
    const charset = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(type)?.[1] ?? 'utf-8'
    const body = this.#kept.take()
    if (!/^(?:utf-?8|us-ascii)$/i.test(charset) || !isUtf8(body)) return null
    try {
      return { value: parseJson(body.toString()) }
    } catch {
      return null
    }
  }
}
