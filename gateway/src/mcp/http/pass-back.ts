// What a server answers: passed on as it came, and taken message by message.
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { McpSession } from '../session.ts'
import type { HttpParts } from './parts.ts'
import { readSse, SseTooLong } from './sse.ts'
import { answerOf, passedHeaders } from './upstream.ts'

/** `name`: of the exchange; undefined where messages come that belong to none. `id`: of the server's session. */
export type Way = { readonly name: string | undefined; readonly id: string | null }

/** Resolves when the answer has gone back whole. @throws what broke it off */
export async function passBack(
  reply: IncomingMessage,
  res: ServerResponse,
  session: McpSession,
  parts: HttpParts,
  way: Way,
): Promise<void> {
  res.writeHead(reply.statusCode!, passedHeaders(reply))
  const type = (reply.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase()
  if (type === 'text/event-stream') await passEvents(reply, res, session, parts, way)
  else await passWhole(reply, res, session, parts, type === 'application/json' ? way : null)
  res.end()
}

/** Each event goes on when it has been taken: what the server asks the client must be durable before the client sees it. */
async function passEvents(
  reply: IncomingMessage,
  res: ServerResponse,
  session: McpSession,
  parts: HttpParts,
  way: Way,
): Promise<void> {
  res.flushHeaders()
  try {
    for await (const { bytes, data } of readSse(reply, parts.config.limits.lineBytes)) {
      const taken = data === null ? null : await session.take(data, 'server-to-client', exchangeOf(way))
      if (taken?.isPassed === false) answerServer(taken.answer, parts, way)
      else await write(res, bytes)
    }
  } catch (error) {
    if (!(error instanceof SseTooLong)) throw error
    session.tooLong('server-to-client')
    parts.say(`mcp_line_too_long: an event of the server was longer than ${parts.config.limits.lineBytes} bytes`)
    throw error
  }
}

/** A body that is too long to be looked into goes on all the same: the client has asked for it, and the server has done it. */
async function passWhole(
  reply: IncomingMessage,
  res: ServerResponse,
  session: McpSession,
  { config }: HttpParts,
  way: Way | null,
): Promise<void> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of reply as AsyncIterable<Buffer>) {
    length += chunk.length
    if (way !== null && length <= config.limits.lineBytes) chunks.push(chunk)
    await write(res, chunk)
  }
  if (way === null || length === 0) return
  if (length <= config.limits.lineBytes)
    await session.take(Buffer.concat(chunks, length), 'server-to-client', exchangeOf(way))
  else session.tooLong('server-to-client')
}

/** Answers that come by themselves may be those of any exchange. */
const exchangeOf = ({ name, id }: Way): string | undefined => (id === null ? name : undefined)

/** What the server asked did not reach the client. It is told in the client's place. */
function answerServer(answer: Buffer, { upstream, say }: HttpParts, { id }: Way): void {
  if (answer.length === 0) return
  const headers = {
    ...{ 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
    ...{ 'content-length': answer.length, ...(id !== null && { 'mcp-session-id': id }) },
  }
  answerOf(upstream.ask('POST', headers, answer)).then(
    (reply) => reply.resume(),
    (error: Error) => say(`the server could not be told that it was not passed on: ${error.message}`),
  )
}

/** Waits until the client takes more, or has left. */
export async function write(res: ServerResponse, bytes: Buffer): Promise<void> {
  if (res.write(bytes) || res.destroyed) return
  const gone = new AbortController()
  const left = () => gone.abort()
  res.once('close', left)
  await once(res, 'drain', { signal: gone.signal }).catch(() => {})
  res.off('close', left)
}
