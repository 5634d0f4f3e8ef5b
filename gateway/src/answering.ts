import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Whether an answer is on its way on a connection, or is awaited, while what follows its request is at fault: what is said of that would be
 * read as a part of the answer, or in its place. Node goes by the same member where nobody listens for `clientError`.
 */
export function isAnswering(socket: Socket): boolean {
  const answer = (socket as { _httpMessage?: ServerResponse | null })._httpMessage
  return answer?.headersSent === true || answer?.req.complete === true
}
