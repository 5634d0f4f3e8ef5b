import { setTimeout as sleep } from 'node:timers/promises'
import { KillickError } from '@killick/sdk/core'
import { isMisfit, Refusal, type ServiceCode } from '../../errors.ts'

type TurnLimits = {
  /** Batches of one address that are under way at a time, until they are committed. Default 256. */
  width: number
  /**
   * Bodies of one address that may wait for their turn, unread, one on each of its connections. Default 2,048: a thousand recorders
   * may share an address.
   */
  waiting: number
  /** How long an address waits after its first worthless body; doubled by each further one, ms. Default 50. */
  pauseMs: number
  /** The longest wait. Default 2,000. */
  maxPauseMs: number
}

const TURN_LIMITS: TurnLimits = { width: 256, waiting: 2048, pauseMs: 50, maxPauseMs: 2_000 }

type Address = { running: number; waiting: (() => void)[]; pauseMs: number; until: number }

/** How many addresses are remembered; beyond that number, those with the shortest pauses are forgotten. */
const MAX_ADDRESSES = 10_000
/** How long an address is remembered after its last body, ms. */
const MEMORY_MS = 60_000

/**
 * Takes turns by address, so that an address that floods, trickles or sends garbage delays only itself.
 * An address whose bodies turn out to be worthless gets one turn at a time, after pauses that grow; each good one halves
 * them. A body that waits is not read: it costs what its connection's buffers hold.
 */
export function takeTurns(limits: TurnLimits = TURN_LIMITS) {
  const addresses = new Map<string, Address>()
  const closing = new AbortController()

  function arrive(name: string): Address {
    const now = performance.now()
    const known = addresses.get(name)
    // Inserted again, so that the map's order is least recently changed first.
    addresses.delete(name)
    const address = known ?? { running: 0, waiting: [], pauseMs: 0, until: 0 }
    if (address.running === 0 && now - address.until > MEMORY_MS) address.pauseMs = 0
    addresses.set(name, address)
    if (addresses.size > MAX_ADDRESSES) forgetOne(name)
    return address
  }

  /**
   * Forgets one with nothing under way that has the least to wait for, so that pauses cannot be washed away by many new
   * addresses.
   */
  function forgetOne(newest: string): void {
    let least: string | undefined
    let pause = Number.POSITIVE_INFINITY
    for (const [name, { running, pauseMs }] of addresses) {
      if (name === newest || running > 0 || pauseMs >= pause) continue
      least = name
      pause = pauseMs
      if (pause === 0) break
    }
    if (least !== undefined) addresses.delete(least)
  }

  const width = ({ pauseMs }: Address) => (pauseMs > 0 ? 1 : limits.width)

  /**
   * @param gone aborted when the sender no longer listens: then it waits no more
   * @throws Refusal overloaded | request_invalid, or what `task` throws
   */
  async function inTurn<T>(name: string, gone: AbortSignal, task: () => Promise<T>): Promise<T> {
    const address = arrive(name)
    if (address.running >= width(address)) {
      if (address.waiting.length >= limits.waiting) {
        throw new Refusal('overloaded', 'Too many requests of this address wait for their turn.')
      }
      await new Promise<void>((resolve) => address.waiting.push(resolve))
    } else {
      address.running++
    }
    try {
      const pause = address.until - performance.now()
      if (address.pauseMs > 0 && pause > 0) {
        await sleep(pause, undefined, { signal: AbortSignal.any([gone, closing.signal]) }).catch(() => {})
      }
      if (gone.aborted) throw new Refusal('request_invalid', 'The connection broke before its turn had come.')
      const result = await task()
      address.pauseMs = address.pauseMs > limits.pauseMs ? address.pauseMs / 2 : 0
      return result
    } catch (error) {
      if (isWorthless(error)) {
        address.pauseMs = Math.min(limits.maxPauseMs, Math.max(limits.pauseMs, 2 * address.pauseMs))
      }
      throw error
    } finally {
      address.until = performance.now() + address.pauseMs
      address.running--
      while (address.waiting.length > 0 && address.running < width(address)) {
        address.running++
        address.waiting.shift()!()
      }
    }
  }

  return {
    inTurn,
    /** Ends all pauses: the service is about to stop, and answers the requests that it has. */
    close: () => closing.abort(),
  }
}

const WORTHLESS: readonly ServiceCode[] = ['encoding_invalid', 'body_too_large']

/**
 * Bodies that no recorder of a registered source sends: malformed ones, and ones that no registered source has signed. What does not
 * fit its catalogue, a registered source has signed.
 */
function isWorthless(error: unknown): boolean {
  return (
    (error instanceof KillickError && !isMisfit(error)) || (error instanceof Refusal && WORTHLESS.includes(error.code))
  )
}
