import { normalizeIP } from '@fastify/rate-limit'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Refusal } from '../errors.ts'

/** How many answers that go on for long may be open at a time. */
export type OpenLimits = {
  most: number
  /** Of one address (IPv6: /64). */
  ofAddress: number
  /** What is said to one more. */
  refusal: string
}

/**
 * Gives out the places of long answers. A place is taken before anything is awaited, and given back when the answer is over; the
 * signal then aborts. @throws Refusal overloaded
 */
export function openStreams({ most, ofAddress, refusal }: OpenLimits) {
  const addresses = new Map<string, number>()
  let open = 0

  function enter(address: string): () => void {
    const own = addresses.get(address) ?? 0
    if (open >= most || own >= ofAddress) throw new Refusal('overloaded', refusal)
    open++
    addresses.set(address, own + 1)
    return () => {
      open--
      const rest = addresses.get(address)! - 1
      if (rest > 0) addresses.set(address, rest)
      else addresses.delete(address)
    }
  }

  return (request: FastifyRequest, reply: FastifyReply): AbortSignal => {
    const { socket } = request.raw
    const leave = enter(normalizeIP(request.ip))
    const gone = new AbortController()
    const over = () => {
      if (gone.signal.aborted) return
      gone.abort()
      leave()
      socket.off('close', over)
    }
    // On the socket, because an answer that waits behind another is not told when the connection breaks.
    socket.once('close', over)
    reply.raw.once('finish', over)
    return gone.signal
  }
}
