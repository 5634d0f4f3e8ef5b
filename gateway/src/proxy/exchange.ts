// One request: which route, who asks, its intent on disk before the upstream sees it, and its outcome.
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { JsonObject } from '@killick/sdk/core'
import { codeOf, type Durable, SessionRecording } from '../sessions/recording.ts'
import { clientOf, peerOf } from './addresses.ts'
import { BodyMeter } from './bodies.ts'
import { HttpRefusal } from './errors.ts'
import { type AskedRequest, HttpEvents, type HttpFacts } from './events.ts'
import { forward, type PassedRequest } from './forward.ts'
import { checkHead, dashedName, hostOf, requestHeaders } from './headers.ts'
import type { ProxyParts } from './parts.ts'
import { sendProblem } from './problems.ts'

/** A request that has been looked at. */
export type Looked = {
  readonly asked: AskedRequest
  readonly peer: string
  /** Path and query as they go on. */
  readonly target: string
}

/** Headers by which some servers take another method than that of the request. */
const OVERRIDES = ['x-http-method-override', 'x-http-method', 'x-method-override']

/** Content of these means nothing in general (RFC 9110, 9.3), so there are servers that leave it unread. */
const WITHOUT_CONTENT = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE'])

/** Each is looked up with each reading of the path. */
const MAX_OVERRIDES = 8

/** @throws HttpRefusal for what is not passed on, whoever asks */
export async function look(req: IncomingMessage, parts: ProxyParts): Promise<Looked> {
  const { config, router, isTrusted, vouch } = parts
  if (parts.isDraining()) throw new HttpRefusal('http_draining')
  checkHead(req, config.limits, config.who.header?.name ?? null)
  const method = req.method!
  if (!parts.methods.has(method)) throw new HttpRefusal('http_method_unsupported')
  const target = targetOf(req)
  const overrides = overridesIn(req)
  const match = router(method, target, overrides)
  const override = overrides.length === 0 ? null : overrides.join(', ').slice(0, 40).toWellFormed()
  const peer = peerOf(req.socket)
  const { address, by } = clientOf(peer, req.headers['x-forwarded-for'] as string | undefined, isTrusted)
  return {
    ...{ peer, target },
    asked: {
      ...{ method, match, override, version: req.httpVersion, host: hostOf(req) },
      who: await vouch(req, peer),
      mode: match.route?.mode ?? config.mode,
      client: { address, ...(by === 'header' && { by: 'x-forwarded-for', proxy: peer }) },
      traceparent: req.headers.traceparent as string | undefined,
    },
  }
}

/** Each that any of the headers names: servers differ in which of them they look at, and in which spellings they know. */
function overridesIn({ rawHeaders }: IncomingMessage): string[] {
  const found = new Set<string>()
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (!OVERRIDES.includes(dashedName(rawHeaders[i]!))) continue
    for (const value of rawHeaders[i + 1]!.split(',')) if (value.trim() !== '') found.add(value.trim().toUpperCase())
  }
  if (found.size > MAX_OVERRIDES) throw new HttpRefusal('http_request_invalid', 'Headers name too many methods.')
  return [...found]
}

/** Origin form, or `*`. An absolute form names the host twice, and counts as its path where both agree. */
function targetOf(req: IncomingMessage): string {
  const url = req.url!
  if (url.startsWith('/') || (url === '*' && req.method === 'OPTIONS')) return url
  const [, host, rest] = /^https?:\/\/([^/?#]*)(.*)$/is.exec(url) ?? []
  if (host === undefined || host.toLowerCase() !== hostOf(req).toLowerCase())
    throw new HttpRefusal(
      'http_request_invalid',
      'The target of the request is no path, and no address of the Host header.',
    )
  return rest!.startsWith('/') ? rest! : `/${rest}`
}

/** What was begun, and its intent: null where that was not recorded. */
export type BegunExchange = { readonly recording: HttpRecording; readonly intent: Promise<Durable | null> }

/** The recording of one request or websocket. */
export type HttpRecording = SessionRecording<HttpFacts>

/** @returns null where nothing of it is recorded */
export function recordingOf(asked: AskedRequest, { config, recorder, say }: ProxyParts): HttpRecording | null {
  if (!asked.match.isRecorded) return null
  const session = randomUUID()
  const events = new HttpEvents(config, asked)
  const make = (facts: HttpFacts) => events.facts(facts)
  return new SessionRecording({ kind: 'http', make, session, say, sink: recorder })
}

/** Refuses what the configuration wants refused, and records that as denied. @throws HttpRefusal */
export function deny({ asked }: Looked, recording: HttpRecording | null, { config }: ProxyParts): void {
  const isOdd = config.oddPaths === 'refuse' && asked.match.odd.length > 0
  const code = isOdd
    ? 'http_path_odd'
    : config.who.required && asked.who.by === 'nothing'
      ? 'http_unauthenticated'
      : null
  if (code === null) return
  recording?.record({ action: '', outcome: 'denied', known: { kind: 'denial', code } }).catch(() => {})
  throw new HttpRefusal(code)
}

/** Records a beginning. In strict mode it is durable when this resolves. @throws HttpRefusal if it is not */
export async function begin(
  recording: HttpRecording,
  { mode }: AskedRequest,
  facts: HttpFacts,
): Promise<BegunExchange> {
  const recorded = recording.begin(facts)
  const intent = recorded.catch(() => null)
  if (mode === 'strict')
    await recorded.catch((error) => {
      throw new HttpRefusal('http_not_recorded', undefined, { reason: codeOf(error) })
    })
  return { recording, intent }
}

/** Records the end of what was begun, and counts what was lost of it. */
export function finish({ recording, intent }: BegunExchange, facts: HttpFacts, { metrics, track }: ProxyParts): void {
  const ended = recording.end(intent, facts).then(() => {
    if (recording.unrecorded > 0) metrics.unrecorded.inc(recording.unrecorded)
  })
  track(ended)
}

/** Takes one request from its head to its end. Never rejects. */
export async function exchange(
  req: IncomingMessage,
  res: ServerResponse,
  parts: ProxyParts,
  isBusy: boolean,
): Promise<void> {
  const { metrics } = parts
  const start = performance.now()
  try {
    if (isBusy) throw new HttpRefusal('http_busy')
    const looked = await look(req, parts)
    const recording = recordingOf(looked.asked, parts)
    deny(looked, recording, parts)
    const begun = recording && (await begin(recording, looked.asked, { action: '', known: { kind: 'intent' } }))
    if (begun !== null) metrics.intent.observe((performance.now() - start) / 1000)
    const meters = begun && metersOf(looked.asked, parts)
    const passed = await passOn(req, res, looked, meters, parts)
    if (begun !== null) finish(begun, outcomeOf(req, passed, meters!, start), parts)
    metrics.requests.inc({ recorded: `${begun !== null}`, result: `${passed.status ?? passed.state}` })
    if (passed.code !== undefined) throw new HttpRefusal(passed.code)
  } catch (error) {
    const refusal = error instanceof HttpRefusal ? error : parts.internal(error)
    metrics.refusals.inc({ code: refusal.code })
    sendProblem(req, res, refusal)
  }
}

type Meters = { readonly request: BodyMeter; readonly response: BodyMeter }

/** Watches both directions as far as the route asks for it. */
export function metersOf({ match }: AskedRequest, { config }: ProxyParts): Meters {
  const bodies = match.route?.bodies ?? 'none'
  const { discloseBytes } = config.limits
  return { request: new BodyMeter(bodies, discloseBytes), response: new BodyMeter(bodies, discloseBytes) }
}

function passOn(
  req: IncomingMessage,
  res: ServerResponse,
  { asked, peer, target }: Looked,
  meters: Meters | null,
  { config, upstream, isTrusted, isBelieved, stop }: ProxyParts,
): Promise<PassedRequest> {
  const { name } = config.who.header ?? {}
  const identity = name === undefined ? null : { name, isBelieved: isBelieved(peer) }
  const headers = requestHeaders(req, { peer, isTls: isTls(req), isTrusted, host: upstream.host, identity })
  const hasBody = carriesBody(req)
  // Said always: Node leaves a body of GET without it, and it would be taken for the next request.
  if (hasBody && headers['content-length'] === undefined) headers['transfer-encoding'] = 'chunked'
  else delete headers.trailer
  const { method } = asked
  // And take it for the next request, as Python's http.server does, unless there can be none.
  if (hasBody && WITHOUT_CONTENT.has(method)) headers.connection = 'close'
  const what = { req, res, method, path: target, headers, hasBody, identity: name ?? null, meters, stop }
  return forward(what, upstream, config.limits)
}

/** Whether the client's connection to the proxy is encrypted. */
export const isTls = (req: IncomingMessage): boolean => (req.socket as { encrypted?: boolean }).encrypted === true

function carriesBody(req: IncomingMessage): boolean {
  if (req.httpVersionMajor > 1)
    return !(req as unknown as { stream: { endAfterHeaders: boolean } }).stream.endAfterHeaders
  const length = req.headers['content-length']
  return req.headers['transfer-encoding'] !== undefined || (length !== undefined && Number(length) > 0)
}

function outcomeOf(
  req: IncomingMessage,
  passed: PassedRequest,
  { request, response }: Meters,
  start: number,
): HttpFacts {
  const { state, status, by, code, answer, headMs, isPartial } = passed
  const asked = request.shown(req.headers)
  const told = answer && response.shown(answer.headers)
  const known: JsonObject = {
    ...{ kind: 'outcome', state, status, ...(by && { by }), ...(code && { code }) },
    ...{ ms: Math.round((performance.now() - start) * 10) / 10, headMs },
    request: { ...request.facts(), ...(isPartial && { isComplete: false }) },
    response: { ...response.facts(), ...(state === 'cut' && { isComplete: false }) },
  }
  return {
    ...{ action: '.result', outcome: meaningOf(state, status, by), known },
    bodies: { ...(asked && { requestBody: asked.value }), ...(told && { responseBody: told.value }) },
  }
}

/** What came of a request; nothing where that is not known. */
export function meaningOf(
  state: PassedRequest['state'],
  status: number | null,
  by?: PassedRequest['by'],
): HttpFacts['outcome'] {
  if (state === 'refused') return 'failure'
  if (status === null) return undefined
  if (status === 401 || status === 403) return 'denied'
  if (status >= 400) return 'failure'
  return state === 'cut' && by !== 'client' ? undefined : 'success'
}
