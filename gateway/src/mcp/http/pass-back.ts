// What a server answers: passed on as it came, and taken message by message.
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { readLine } from '../message.ts'
import type { McpSession } from '../session.ts'
import type { HttpParts } from './parts.ts'
import { readSse, SseTooLong } from './sse.ts'
import { unpacked } from './unpacked.ts'
import { answerOf } from './upstream.ts'

/**
 * `name`: of the exchange; undefined where messages come that belong to none. `id`: of the server's session. `resumable`: called when the client
 * can come back for what has not come.
 */
export type Way = { readonly name: string | undefined; readonly id: string | null; readonly resumable?: () => void }

/** What the server asks could not be recorded, so the client has seen nothing of the body that it stands in. */
export class NotPassed extends Error {}

/** Resolves when the answer has gone back whole. @throws NotPassed, else what broke it off */
export async function passBack(
  reply: IncomingMessage,
  res: ServerResponse,
  session: McpSession,
  parts: HttpParts,
  way: Way,
): Promise<void> {
  const { body, headers } = unpacked(reply)
  // Clients differ in how they read a type. Some look for it anywhere in all of the headers, and some that have asked for a stream not at all.
  const type = (reply.headersDistinct['content-type'] ?? []).join().toLowerCase()
  const isStream = type.includes('text/event-stream') || (way.name === undefined && reply.statusCode! < 300)
  const head = () => res.writeHead(reply.statusCode!, headers)
  if (isStream) {
    head()
    await passEvents(body, res, session, parts, way)
  } else await passWhole(body, res, head, session, parts, { ...way, isJson: type.includes('application/json') })
  res.end()
}

/** Each event goes on when it has been taken: what the server asks the client must be durable before the client sees it. */
async function passEvents(
  reply: AsyncIterable<Buffer>,
  res: ServerResponse,
  session: McpSession,
  parts: HttpParts,
  way: Way,
): Promise<void> {
  res.flushHeaders()
  try {
    for await (const { bytes, data, hasId } of readSse(reply, parts.config.limits.lineBytes)) {
      if (hasId) way.resumable?.()
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

/**
 * A body goes on when it has been taken: it may hold what the server asks the client. One that is too long to be looked into goes on all the
 * same: the client has asked for it, and the server has done it.
 */
async function passWhole(
  reply: AsyncIterable<Buffer>,
  res: ServerResponse,
  head: () => void,
  session: McpSession,
  parts: HttpParts,
  way: Way & { readonly isJson: boolean },
): Promise<void> {
  const { lineBytes } = parts.config.limits
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of reply) {
    length += chunk.length
    chunks.push(chunk)
    if (length <= lineBytes) continue
    if (!res.headersSent) head()
    for (const each of chunks.splice(0)) await write(res, each)
  }
  if (length > lineBytes) {
    if (way.isJson) session.tooLong('server-to-client')
    return
  }
  const body = Buffer.concat(chunks, length)
  // Of another type it is looked into if a client could take it for a message.
  if (length > 0 && (way.isJson || !('fault' in readLine(body, 'body')))) {
    const { isPassed, answer } = await session.take(body, 'server-to-client', exchangeOf(way))
    if (!isPassed) {
      answerServer(answer, parts, way)
      throw new NotPassed('What the server asks in its answer could not be recorded.')
    }
  }
  head()
  await write(res, body)
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
