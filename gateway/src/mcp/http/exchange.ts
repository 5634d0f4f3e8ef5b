// One POST: its message is taken as a line of stdio is, and goes on as it came; what comes back is taken message by message.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FairShare } from '../../fairness.ts'
import { Gathered } from '../../gathered.ts'
import { errorAnswer, printAnswers } from '../answers.ts'
import type { McpCode } from '../errors.ts'
import { type Message, type Passage, readLine } from '../message.ts'
import type { McpSession } from '../session.ts'
import { contradictionOf } from './mirrored.ts'
import type { HttpParts } from './parts.ts'
import { NotPassed, passBack } from './pass-back.ts'
import { type HttpSession, idIn } from './sessions.ts'
import { answerOf, movedTo, NotReached, passedHeaders } from './upstream.ts'

/** Takes a POST from its head to the end of its answer. */
export async function exchange(
  req: IncomingMessage,
  res: ServerResponse,
  parts: HttpParts,
  name: string,
): Promise<void> {
  const body = await readBody(req, parts.config.limits.lineBytes, parts.memory)
  if ('fault' in body) {
    dropRest(req)
    parts.often(`a body was refused: ${body.fault}`)
    return refuse(res, body.fault === 'mcp_busy' ? 503 : 413, body.fault)
  }
  try {
    await exchangeBody(req, res, parts, name, body.bytes)
  } finally {
    body.release()
  }
}

async function exchangeBody(
  req: IncomingMessage,
  res: ServerResponse,
  parts: HttpParts,
  name: string,
  body: Buffer,
): Promise<void> {
  const { sessions } = parts
  const read = readLine(body, 'body')
  const messages = 'fault' in read ? [] : read.messages
  let kept: HttpSession
  try {
    kept = await sessions.of(req, messages)
  } catch (error) {
    return refuse(res, 503, 'mcp_not_recorded', (error as Error).message, messages)
  }
  const { session } = kept
  sessions.enter(kept)
  try {
    const why = contradictionOf(req.headers, messages)
    if (why !== null) return answer(res, 400, session.contradicted(body, why))
    const taken = await session.take(body, 'client-to-server', name)
    const { isPassed, answer: own } = taken.held === undefined ? taken : await decided(taken.held, res, session, name)
    // A refused message is answered as one that cannot be read; a denied call, and one that was not recorded, as calls are.
    if (!isPassed) return answer(res, 'fault' in read || read.doubt !== null ? 400 : 200, own)
    const isBeginning =
      idIn(req) === null && messages.some((each) => each.kind === 'request' && each.method === 'initialize')
    await passOn(req, res, body, kept, { parts, name, isBeginning, messages })
  } finally {
    sessions.leave(kept)
  }
}

/** Waits with the client for what a person decides. One that leaves takes its call back: the server has not seen it. */
async function decided(
  held: Promise<Passage>,
  res: ServerResponse,
  session: McpSession,
  name: string,
): Promise<Passage> {
  const left = () => session.exchangeEnded(name, { state: 'cancelled' })
  if (res.destroyed) left()
  res.once('close', left)
  try {
    return await held
  } finally {
    res.off('close', left)
  }
}

type Passing = {
  readonly parts: HttpParts
  readonly name: string
  /** Whether the server may give the session an id with its answer. */
  readonly isBeginning: boolean
  readonly messages: readonly Message[]
}

async function passOn(
  req: IncomingMessage,
  res: ServerResponse,
  body: Buffer,
  kept: HttpSession,
  { parts, name, isBeginning, messages }: Passing,
): Promise<void> {
  const { session } = kept
  // Nobody hears any more that the client has left, nor is there anybody to whom an answer could go.
  if (res.destroyed && messages.some(({ kind }) => kind === 'request'))
    return session.exchangeEnded(name, { state: 'cancelled' })
  const headers = { ...passedHeaders(req), host: parts.upstream.url.host, 'content-length': body.length }
  const asked = parts.upstream.ask('POST', { ...headers, 'accept-encoding': 'identity' }, body)
  // The stateless revision takes that for a cancellation; before it, the client may come back for the answer.
  const left = () => asked.destroy(new ClientLeft())
  res.once('close', left)
  // What asks nothing goes on from whoever has left before that, and nothing is waited for.
  if (res.destroyed) asked.once('finish', left)
  let isResumable = false
  const resumable = () => {
    isResumable = true
  }
  try {
    const reply = await answerOf(asked)
    const status = reply.statusCode ?? 0
    const moved = movedTo(reply)
    if (moved !== null) {
      reply.destroy()
      session.exchangeEnded(name, { state: 'answered', httpStatus: status }, 'failure')
      return refuse(res, 502, 'mcp_upstream_unreachable', moved, messages)
    }
    if (isBeginning) parts.sessions.bind(req, kept, headerOf(reply, 'mcp-session-id'))
    else if (status < 300) parts.sessions.vouched(req, kept, reply)
    await passBack(reply, res, session, parts, { name, id: idIn(req), resumable })
    if (status >= 400) session.exchangeEnded(name, { state: 'answered', httpStatus: status }, 'failure')
    else if (!kept.isKept) session.exchangeEnded(name, { state: 'unknown', why: 'no_answer' })
    parts.sessions.refused(req, kept, status)
  } catch (error) {
    if (error instanceof NotReached) {
      session.exchangeEnded(name, { state: 'refused', code: 'mcp_upstream_unreachable' }, 'failure')
      refuse(res, 502, 'mcp_upstream_unreachable', error.message, messages)
    } else if (error instanceof NotPassed) {
      session.exchangeEnded(name, { state: 'unknown', why: 'no_answer' })
      refuse(res, 502, 'mcp_not_recorded', error.message, messages)
    } else {
      const isLeft = error instanceof ClientLeft
      if (!kept.isKept || !(isLeft || isResumable))
        session.exchangeEnded(name, isLeft ? { state: 'cancelled' } : { state: 'unknown', why: 'connection_lost' })
      if (res.headersSent) res.destroy()
      else refuse(res, 502, 'mcp_upstream_unreachable', 'It broke the connection off.', messages)
    }
  } finally {
    res.off('close', left)
  }
}

/** The client has closed its end before the answer was whole. */
class ClientLeft extends Error {}

const headerOf = ({ headers }: IncomingMessage, name: string): string | null => {
  const value = headers[name]
  return typeof value === 'string' ? value : null
}

/** The body, and what gives its memory back; or why it was not read to its end. */
async function readBody(
  req: IncomingMessage,
  maxBytes: number,
  memory: FairShare,
): Promise<{ bytes: Buffer; release(): void } | { fault: 'mcp_line_too_long' | 'mcp_busy' }> {
  const from = req.socket.remoteAddress ?? ''
  const body = new Gathered()
  let length = 0
  const release = () => {
    if (length > 0) memory.give(from, length)
    length = 0
  }
  try {
    // A request whose reading is given up would be destroyed, and what is left of it neither read nor dropped.
    for await (const chunk of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      const isTooLong = length + chunk.length > maxBytes
      if (isTooLong || !memory.take(from, chunk.length)) {
        release()
        return { fault: isTooLong ? 'mcp_line_too_long' : 'mcp_busy' }
      }
      length += chunk.length
      body.add(chunk)
    }
  } catch (error) {
    release()
    throw error
  }
  return { bytes: body.take(), release }
}

/** Bodies that are refused so are read on, and dropped, for as long as this, ms. */
const DROPPED: ReadonlySet<McpCode> = new Set(['mcp_busy', 'mcp_line_too_long'])
const LINGER_MS = 1_000

/** Most clients look for an answer when they have sent everything: one whose connection is closed before sees that, and not why. */
function dropRest(req: IncomingMessage): void {
  const { socket } = req
  req.resume()
  setTimeout(() => {
    if (!req.complete) socket.destroy()
  }, LINGER_MS).unref()
}

/** Answers in the server's place. @param messages of the request, whose ids the answer has */
export function refuse(
  res: ServerResponse,
  status: number,
  code: McpCode,
  why = '',
  messages: readonly Message[] = [],
): void {
  // Of what was not read to its end nothing more is.
  if (!res.req.complete && !DROPPED.has(code)) res.setHeader('connection', 'close')
  if (code === 'mcp_busy') res.setHeader('retry-after', '1')
  const ids = messages.flatMap((each) => (each.kind === 'request' ? [each.id] : []))
  const answers = (ids.length > 0 ? ids : [null]).map((id) => errorAnswer(id, code, why))
  answer(res, status, printAnswers(answers, answers.length > 1))
}

function answer(res: ServerResponse, status: number, body: Buffer): void {
  if (res.destroyed) return
  if (body.length === 0) res.writeHead(status === 200 ? 202 : status).end()
  else res.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length }).end(body)
}
