// Requests of one direction that have no answer yet, by their ids.
import type { JsonObject } from '@killick/sdk/core'
import type { Durable } from '../sessions/recording.ts'
import type { MessageId } from './message.ts'

/** A request on its way. */
export type OpenRequest = {
  readonly id: MessageId
  readonly method: string
  readonly params: JsonObject
  /** When it was passed on, ms of `performance.now()`. */
  readonly since: number
  /** The event of its intent; null if it has none, or could not be recorded. */
  readonly intent: Promise<Durable | null>
  /** The exchange that it came in, where answers come back in the same; undefined: they come by their ids alone. */
  readonly exchange?: string | undefined
  /** Whether it waits for a person: nobody can have answered what the server has not seen. */
  isHeld?: boolean
  /** Whether another one with its id was open at the same time: in its exchange, or in any. Which of them an answer belongs to is not sure then. */
  duplicate?: 'in-exchange' | 'in-session'
}

/** Requests whose cancellation was seen, and whose answer may still come. */
const MAX_CANCELLED = 1_000

// Whoever has rounded it may answer with another number than it was asked by.
const keyOf = (id: MessageId): string => JSON.stringify(typeof id === 'object' ? Number(id.rawJSON) : id)

/** Ids must not be used twice; where they are, answers are taken for those of the requests in their order. */
export class OpenTable {
  readonly #open = new Map<string, OpenRequest[]>()
  readonly #cancelled = new Map<string, OpenRequest>()
  size = 0

  has(id: MessageId): boolean {
    return this.#open.has(keyOf(id))
  }

  add(request: OpenRequest): void {
    const key = keyOf(request.id)
    const others = this.#open.get(key) ?? []
    // One that was cancelled may be answered all the same.
    const late = this.#cancelled.get(key)
    for (const other of late === undefined ? others : [...others, late]) {
      const duplicate = other.exchange === request.exchange ? 'in-exchange' : 'in-session'
      for (const each of [other, request]) if (each.duplicate !== 'in-exchange') each.duplicate = duplicate
    }
    this.#open.set(key, [...others, request])
    this.size += 1
  }

  /**
   * Removes the oldest request of this id. `isCancelled`: its cancellation was seen before.
   * @param exchange the one in which the answer came; undefined: it may be that of any
   */
  take(id: MessageId, exchange?: string): { request: OpenRequest; isCancelled: boolean } | null {
    const key = keyOf(id)
    const request = this.#open
      .get(key)
      ?.find((each) => !each.isHeld && (exchange === undefined || each.exchange === exchange))
    if (request !== undefined) {
      this.drop(request)
      return { request, isCancelled: false }
    }
    const cancelled = this.#cancelled.get(key)
    if (cancelled === undefined) return null
    this.#cancelled.delete(key)
    return { request: cancelled, isCancelled: true }
  }

  /** Removes a request, such as one that was not passed on. */
  drop(request: OpenRequest): void {
    const key = keyOf(request.id)
    const left = (this.#open.get(key) ?? []).filter((each) => each !== request)
    if (left.length > 0) this.#open.set(key, left)
    else this.#open.delete(key)
    this.size -= 1
  }

  /** @returns the request that is cancelled; null if it is not open */
  cancel(id: MessageId): OpenRequest | null {
    const [request] = this.#open.get(keyOf(id)) ?? []
    if (request === undefined) return null
    this.drop(request)
    this.#cancelled.set(keyOf(id), request)
    if (this.#cancelled.size > MAX_CANCELLED) this.#cancelled.delete(this.#cancelled.keys().next().value!)
    return request
  }

  /** Removes and returns those of an exchange. */
  takeExchange(exchange: string): OpenRequest[] {
    const found = [...this.#open.values()].flat().filter((each) => each.exchange === exchange)
    for (const request of found) this.drop(request)
    return found
  }

  /** Removes and returns all that are open. */
  takeAll(): OpenRequest[] {
    const all = [...this.#open.values()].flat()
    this.#open.clear()
    this.size = 0
    return all
  }
}
