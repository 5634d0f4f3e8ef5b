// Requests that a client sends without waiting for the answers before them.
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

/** Requests at a time on one connection: streams of HTTP/2, and of HTTP/1.1 what is sent without waiting for answers. */
export const MAX_AT_A_TIME = 250
/** Requests at a time on one connection of HTTP/1.1, where `limits.openRequests` is reached: they cost memory until it is their turn to be refused. */
const MAX_WHILE_BUSY = 10

/**
 * What a client sends without waiting for answers goes on one after the other, each when the answer before it is out: on connections
 * of their own the upstream could take them in another order (RFC 9112, 9.3.2). Requests of HTTP/2 have no order.
 * @param cutOff told of a connection that is closed, since too much waits on it
 * @returns null where the connection is closed, so nothing is done
 */
export function takeTurns(
  cutOff: () => void,
): (req: IncomingMessage, isBusy: boolean, work: () => Promise<void>) => Promise<void> | null {
  const lines = new WeakMap<Socket, { last: Promise<void>; length: number }>()
  return ({ httpVersionMajor, socket }, isBusy, work) => {
    if (httpVersionMajor > 1) return work()
    // Node reads on to the end of what has arrived, so of a closed connection more may still come.
    if (socket.destroyed) return null
    const line = lines.get(socket)
    if (line !== undefined && line.length >= (isBusy ? MAX_WHILE_BUSY : MAX_AT_A_TIME)) {
      cutOff()
      socket.destroy()
      return null
    }
    // Whose client has left before its turn was never passed on, and never looked at.
    const turn = line?.last.then(() => (socket.destroyed ? undefined : work())) ?? work()
    const waiting = line ?? { last: turn, length: 0 }
    const over = () => {
      waiting.length -= 1
    }
    waiting.length += 1
    waiting.last = turn.then(over, over)
    lines.set(socket, waiting)
    return turn
  }
}
