// One session between a client and a server, whatever carries its messages: says of each line whether it is passed on, and records.
import { isObject, type JsonObject, type JsonValue } from '@killick/sdk/core'
import { shortened } from '../sessions/disclosed.ts'
import { codeOf, type Durable, type SessionRecording } from '../sessions/recording.ts'
import { deniedAnswer, errorAnswer, printAnswers, REVISION } from './answers.ts'
import type { ApprovalDesk } from './approval-desk.ts'
import type { McpConfig } from './config.ts'
import type { McpCode } from './errors.ts'
import { type Implementation, implementationOf, type McpEvents, type McpFacts } from './events.ts'
import { HeldCall } from './held-call.ts'
import { type Direction, type Framing, type Message, type MessageId, type Passage, readLine } from './message.ts'
import { actionOf, askedWith, endOf, hasIntent, resultShown, subjectOf } from './methods.ts'
import { type OpenRequest, OpenTable } from './open-table.ts'
import { approvalOf, type Denial, denialOf, isRestricting } from './policy.ts'
import { ToolLists } from './tool-lists.ts'
import type { ToolMemory } from './tool-memory.ts'

/** How a session ended. */
export type SessionEnd = {
  /**
   * `client`: its input ended. `server`: it ended by itself. `signal`: the recorder was told to stop. `line`: a line was too long. `idle`:
   * nothing was asked for a while.
   */
  readonly by: 'client' | 'server' | 'signal' | 'line' | 'idle'
  readonly code: number | null
  readonly signal: string | null
}

type Asking = Extract<Message, { kind: 'request' | 'notification' }>
type Answer = Extract<Message, { kind: 'answer' }>

const PASSED: Passage = { isPassed: true, answer: Buffer.alloc(0) }
const NOTHING: Passage = { isPassed: false, answer: Buffer.alloc(0) }
/** Lines that nobody can read, and answers that nobody asked for: so many have events of their own, the others are counted. */
const MAX_ODD = 100

const opposite = (direction: Direction): Direction =>
  direction === 'client-to-server' ? 'server-to-client' : 'client-to-server'

export class McpSession {
  readonly #config: McpConfig
  readonly #events: McpEvents
  readonly #recording: SessionRecording<McpFacts>
  readonly #toolLists: ToolLists
  readonly #say: (text: string) => void
  readonly #open: Readonly<Record<Direction, OpenTable>> = {
    'client-to-server': new OpenTable(),
    'server-to-client': new OpenTable(),
  }
  readonly #counts = {
    lines: { 'client-to-server': 0, 'server-to-client': 0 },
    requests: 0,
    denied: 0,
    refused: 0,
    odd: 0,
  }
  /** Whether what cannot be read may hold what must not pass. */
  readonly #isGuarded: boolean
  readonly #framing: Framing
  readonly #desk: ApprovalDesk | null
  /** Calls that wait for a person. */
  readonly #held = new Map<OpenRequest, HeldCall>()
  #start: Promise<Durable | null> = Promise.resolve(null)

  constructor(parts: {
    config: McpConfig
    events: McpEvents
    recording: SessionRecording<McpFacts>
    memory: ToolMemory
    say: (text: string) => void
    /** Where people decide; null if no call waits for them. */
    desk: ApprovalDesk | null
    /** Default: lines. */
    framing?: Framing
  }) {
    this.#framing = parts.framing ?? 'line'
    this.#config = parts.config
    this.#events = parts.events
    this.#recording = parts.recording
    this.#toolLists = new ToolLists(parts)
    this.#say = parts.say
    this.#desk = parts.desk
    this.#isGuarded = parts.config.mode === 'strict' || isRestricting(parts.config.policy)
  }

  /**
   * Records that the session begins. @param told what is known of the server
   * @throws in strict mode, if that could not be recorded; the server must not be started then
   */
  async begin(told: JsonObject): Promise<void> {
    const start = this.#recording.begin({ action: 'session.start', direction: 'client-to-server', told })
    this.#start = start.catch(() => null)
    if (this.#config.mode === 'strict') await start
  }

  /**
   * Takes a line. Everything that order matters for happens before this returns; the promise resolves when it is decided whether the
   * line is passed on. It never rejects.
   * @param exchange where requests and their answers share one, as over HTTP, its name; an answer then belongs to no other
   */
  take(line: Buffer, direction: Direction, exchange?: string): Promise<Passage> {
    this.#counts.lines[direction] += 1
    // Such as values nested so deep that they cannot be compared.
    const failed = (error: unknown) => {
      this.#say(`a line could not be looked into: ${(error as Error).message}`)
      return this.#unreadable(line, direction, 'could not be looked into', [])
    }
    try {
      return this.#take(line, direction, exchange).catch(failed)
    } catch (error) {
      return failed(error)
    }
  }

  #take(line: Buffer, direction: Direction, exchange: string | undefined): Promise<Passage> {
    const read = readLine(line, this.#framing)
    if ('fault' in read)
      return read.isBlank ? Promise.resolve(PASSED) : this.#unreadable(line, direction, read.fault, [])
    const { messages, isBatch, doubt } = read
    const ids = messages.flatMap((each) => (each.kind === 'request' ? [each.id] : []))
    if (doubt !== null) {
      const passage = this.#unreadable(line, direction, doubt, ids)
      if (direction === 'client-to-server' && this.#isGuarded) return passage
    }
    const asking = messages.filter((each) => each.kind !== 'answer')
    const denials = asking.map((each) => this.#denial(each, direction, messages.length === 1))
    if (denials.some((each) => each !== null))
      return Promise.resolve(this.#deny(asking, denials, line, direction, isBatch))
    const isTooMany = ids.length > 0 && ids.length + this.#open[direction].size > this.#config.limits.openRequests
    const answered = (): void => {
      for (const each of messages) if (each.kind === 'answer') this.#answered(each, line, direction, exchange)
    }
    // Nothing of a line that is refused goes on: the server has not seen the client's answers. What it says itself has happened all the same.
    if (direction === 'server-to-client') answered()
    const passing = (): void => {
      if (direction === 'client-to-server') answered()
      for (const each of asking) if (each.method === 'notifications/cancelled') this.#cancelled(each, direction)
    }
    return this.#ask(asking, line, direction, { isBatch, isTooMany, exchange, passing })
  }

  /** Records a line that was longer than it may be, of which nobody has seen anything. @returns the answer to the client */
  tooLong(direction: Direction): Buffer {
    this.#odd('message.invalid', direction, undefined, {
      code: 'mcp_line_too_long',
      limit: this.#config.limits.lineBytes,
    })
    return printAnswers([errorAnswer(null, 'mcp_line_too_long', 'The session ends.')], false)
  }

  /** Refuses a message of the client that what carries it contradicts. @returns the answer to the client */
  contradicted(line: Buffer, why: string): Buffer {
    this.#counts.lines['client-to-server'] += 1
    this.#counts.refused += 1
    this.#odd('message.invalid', 'client-to-server', line, { isPassed: false, code: 'mcp_header_mismatch', why })
    const read = readLine(line, this.#framing)
    const messages = 'fault' in read ? [] : read.messages
    const ids = messages.flatMap((each) => (each.kind === 'request' ? [each.id] : []))
    return printAnswers(
      (ids.length > 0 ? ids : [null]).map((id) => errorAnswer(id, 'mcp_header_mismatch', why)),
      ids.length > 1,
    )
  }

  /** What the client calls itself; null: it has not said so. */
  get client(): Implementation | null {
    return this.#events.client
  }

  /** Whether the server has asked something by this id that has no answer yet. */
  isAskedByServer(id: MessageId | null): boolean {
    return id !== null && this.#open['server-to-client'].has(id)
  }

  /** Several clients ask in it, and nothing tells which: from now on none of them is named. */
  share(): void {
    this.#events.isShared = true
  }

  get isShared(): boolean {
    return this.#events.isShared
  }

  /** Ends the wait of every call that waits for a person: the server will not see it. */
  withdrawHeld(by: SessionEnd['by']): void {
    for (const request of [...this.#held.keys()]) {
      this.#open['client-to-server'].drop(request)
      const known = { state: 'refused', why: `session_ended_by_${by}` }
      this.#endOf(request, 'client-to-server', undefined, { outcome: 'failure', known })
    }
  }

  /** Records how requests ended whose exchange is over, without an answer to them in it. @param known `state`, and what there is to say */
  exchangeEnded(exchange: string, known: JsonObject, outcome?: 'failure'): void {
    for (const request of this.#open['client-to-server'].takeExchange(exchange))
      if (hasIntent('request', request.method))
        this.#endOf(request, 'client-to-server', undefined, { known, ...(outcome && { outcome }) })
  }

  /** Records what is open as unknown, and the end. Resolves when everything is durable, or lost and counted. */
  async end({ by, code, signal }: SessionEnd): Promise<{ unrecorded: number }> {
    this.withdrawHeld(by)
    for (const direction of ['client-to-server', 'server-to-client'] as const)
      for (const request of this.#open[direction].takeAll()) {
        if (hasIntent('request', request.method))
          this.#endOf(request, direction, undefined, { known: { state: 'unknown', why: `session_ended_by_${by}` } })
      }
    await this.#recording.settled()
    const { lines, ...counts } = this.#counts
    const known: JsonObject = {
      ...{ state: 'ended', by, exitCode: code, signal, ...counts, unrecorded: this.#recording.unrecorded },
      lines: { fromClient: lines['client-to-server'], fromServer: lines['server-to-client'] },
    }
    await this.#recording.end(this.#start, { action: 'session.end', direction: 'client-to-server', known })
    return { unrecorded: this.#recording.unrecorded }
  }

  #denial(message: Asking, direction: Direction, isAlone: boolean): Denial | null {
    if (message.method !== 'tools/call' || direction === 'server-to-client') return null
    const denial = denialOf(this.#config.policy, message.params.name, message.params.arguments)
    const rule = denial === null ? this.#approval(message, direction) : null
    if (rule === null || (isAlone && message.kind === 'request')) return denial
    return { rule, why: 'A call that a person is asked about must come alone, and as a request.' }
  }

  /** Why a call waits for a person; null: it does not. */
  #approval({ method, params }: Asking, direction: Direction): string | null {
    if (method !== 'tools/call' || direction === 'server-to-client') return null
    return approvalOf(this.#config.policy, params.name, params.arguments)
  }

  /** Nothing of a line with a denied call goes on: what stands beside it in the batch is denied with it. */
  #deny(
    asking: readonly Asking[],
    denials: readonly (Denial | null)[],
    line: Buffer,
    direction: Direction,
    isBatch: boolean,
  ): Passage {
    const answers: object[] = []
    for (const [i, message] of asking.entries()) {
      const denial = denials[i] ?? { rule: 'batch', why: 'Another call of its batch is denied.' }
      this.#counts.denied += 1
      const { method, params } = message
      const id = message.kind === 'request' ? { requestId: idShown(message.id) } : {}
      const known: JsonObject = { kind: 'denial', method: shortened(method), ...id, rule: denial.rule }
      this.#recording
        .record({
          ...this.#about(message, direction),
          outcome: 'denied',
          known,
          message: line,
          told: { why: denial.why },
        })
        .catch(() => {})
      if (message.kind !== 'request')
        this.#say(`denied (${denial.rule}) and not passed on: a notification ${shortened(method)}`)
      else if (denials[i] !== null) answers.push(deniedAnswer(message, denial))
      else answers.push(errorAnswer(message.id, 'mcp_denied', denial.why))
      this.#identify(params)
    }
    return { isPassed: false, answer: printAnswers(answers, isBatch) }
  }

  /**
   * Requests and notifications: their intents are recorded, and in strict mode waited for.
   * @param passing called when it is sure that the line goes on
   */
  async #ask(
    asking: readonly Asking[],
    line: Buffer,
    direction: Direction,
    {
      isBatch,
      isTooMany,
      exchange,
      passing,
    }: { isBatch: boolean; isTooMany: boolean; exchange: string | undefined; passing: () => void },
  ): Promise<Passage> {
    const isStrict = this.#config.mode === 'strict' && asking.some(({ kind, method }) => hasIntent(kind, method))
    if (!isTooMany && !isStrict) passing()
    const requests: OpenRequest[] = []
    const intents: Promise<Durable>[] = []
    const table = this.#open[direction]
    const [first] = asking
    const rule = first === undefined ? null : this.#approval(first, direction)
    for (const message of asking) {
      this.#identify(message.params)
      if (message.method === 'initialize')
        this.#events.client = implementationOf(message.params.clientInfo) ?? this.#events.client
      let intent: Promise<Durable | null> = Promise.resolve(null)
      if (hasIntent(message.kind, message.method)) {
        const recorded = this.#intent(message, line, direction, rule)
        intents.push(recorded)
        intent = recorded.catch(() => null)
      }
      if (message.kind !== 'request') continue
      const { id, method, params } = message
      this.#counts.requests += 1
      requests.push({ id, method, params: paramsKept(method, params), since: performance.now(), intent, exchange })
    }
    if (isTooMany) return this.#refuse(requests, [], direction, isBatch, 'mcp_too_many_open')
    for (const request of requests) table.add(request)
    const held = rule === null ? null : this.#hold(requests[0]!, first as Asking & { kind: 'request' }, rule, line)
    if (held !== null) {
      const passed = this.#config.mode === 'observe' ? held.begin() : Promise.all(intents).then(() => held.begin())
      const refused = (error: unknown) => {
        this.#held.delete(requests[0]!)
        return held.isGone ? NOTHING : this.#refuse(requests, requests, direction, isBatch, 'mcp_not_recorded', error)
      }
      return { ...NOTHING, held: passed.catch(refused) }
    }
    if (!isStrict) return PASSED
    const failed = (await Promise.allSettled(intents)).find(
      ({ status }) => status === 'rejected',
    ) as PromiseRejectedResult
    if (failed !== undefined)
      return this.#refuse(requests, requests, direction, isBatch, 'mcp_not_recorded', failed.reason)
    passing()
    return PASSED
  }

  #hold(request: OpenRequest, message: Asking & { kind: 'request' }, rule: string, line: Buffer): HeldCall {
    const direction = 'client-to-server'
    const { action: _, ...about } = this.#about(message, direction)
    const held = new HeldCall({
      ...{ desk: this.#desk!, config: this.#config, events: this.#events, rule, bytes: line.length },
      tool: String(message.params.name),
      arguments: about.arguments ?? {},
      record: async (facts) => {
        const { id = null } = (await request.intent) ?? {}
        const known: JsonObject = { kind: 'approval', rule, requestId: idShown(message.id), ...facts.known, intent: id }
        const { target, traceparent } = about
        await this.#recording.record({ action: 'approval', direction, target, traceparent, ...facts, known })
      },
      approved: () => {
        this.#held.delete(request)
        request.isHeld = false
        return PASSED
      },
      denied: (why, verdict) => {
        this.#held.delete(request)
        this.#open[direction].drop(request)
        this.#counts.denied += 1
        this.#endOf(request, direction, undefined, { outcome: 'denied', known: { state: 'refused', rule, verdict } })
        return { isPassed: false, answer: printAnswers([deniedAnswer(message, { rule, why })], false) }
      },
      session: this.#recording.session,
    })
    request.isHeld = true
    this.#held.set(request, held)
    return held
  }

  #refuse(
    requests: readonly OpenRequest[],
    added: readonly OpenRequest[],
    direction: Direction,
    isBatch: boolean,
    code: McpCode,
    error?: unknown,
  ): Passage {
    for (const request of added) this.#open[direction].drop(request)
    for (const request of requests) {
      this.#counts.refused += 1
      // Those that were recorded before another one failed have an intent that must not stay open.
      request.intent.then((intent) => {
        if (intent !== null)
          this.#endOf(request, direction, undefined, { outcome: 'failure', known: { state: 'refused', code } })
      })
    }
    const [why, reason] = error === undefined ? ['', undefined] : [(error as Error).message, codeOf(error)]
    if (requests.length === 0) this.#say(`not passed on (${code}): a notification. ${why}`)
    const answers = requests.map(({ id }) => errorAnswer(id, code, why, reason))
    return { isPassed: false, answer: printAnswers(answers, isBatch) }
  }

  #intent(message: Asking, line: Buffer, direction: Direction, rule: string | null): Promise<Durable> {
    const { kind, method } = message
    const known: JsonObject = {
      kind: 'intent',
      method: shortened(method),
      ...(rule !== null && { waitsFor: 'approval', rule }),
    }
    const facts = { ...this.#about(message, direction), message: line, known }
    if (kind === 'notification') {
      known.isNotification = true
      return this.#recording.record(facts)
    }
    known.requestId = idShown(message.id)
    if (this.#open[direction].has(message.id)) known.isDuplicateId = true
    return this.#recording.begin(facts)
  }

  #about({ method, params }: Asking, direction: Direction) {
    const asked = askedWith(method, params)
    return {
      action: actionOf(method),
      direction,
      target: subjectOf(method, params),
      ...(Object.keys(asked).length > 0 && { arguments: asked }),
      traceparent: isObject(params._meta) ? params._meta.traceparent : undefined,
    }
  }

  /** The stateless revision says in each request who asks, and by which revision. */
  #identify({ _meta: meta }: JsonObject): void {
    if (!isObject(meta)) return
    const client = implementationOf(meta['io.modelcontextprotocol/clientInfo'])
    if (client !== null) this.#events.client = client
    const revision = meta[REVISION]
    if (typeof revision === 'string') this.#events.revision = revision.slice(0, 64).toWellFormed()
  }

  #cancelled({ params }: Asking, direction: Direction): void {
    const { requestId, reason } = params
    if (typeof requestId !== 'string' && typeof requestId !== 'number') return
    const request = this.#open[direction].cancel(requestId)
    if (request === null || !hasIntent('request', request.method)) return
    const told = typeof reason === 'string' ? { reason } : undefined
    const known = { state: 'cancelled', ...(request.duplicate !== undefined && { isDuplicateId: true }) }
    this.#endOf(request, direction, undefined, { known, ...(told && { told }) })
  }

  /** An answer is passed on at once: its request is recorded, and what happened is recorded now. */
  #answered({ id, result, error }: Answer, line: Buffer, direction: Direction, exchange: string | undefined): void {
    const asked = opposite(direction)
    // What a client answers comes in an exchange of its own.
    const within = asked === 'client-to-server' ? exchange : undefined
    const found = id === null ? null : this.#open[asked].take(id, within)
    if (found === null) {
      const facts = { requestId: id === null ? null : idShown(id), isError: error !== undefined }
      this.#odd('answer.unmatched', direction, line, facts, error === undefined ? undefined : errorShown(error))
      return
    }
    const { request, isCancelled } = found
    const isSure = request.duplicate === undefined || (within !== undefined && request.duplicate === 'in-session')
    const late: JsonObject = { ...(isCancelled && { isLate: true }), ...(!isSure && { isDuplicateId: true }) }
    if (error !== undefined) {
      const known = { state: 'answered', ...late, ...codeShown(error) }
      this.#endOf(request, asked, line, { outcome: 'failure', known, told: { error: errorShown(error) } })
      return
    }
    this.#learn(request, result!, line, asked)
    if (!hasIntent('request', request.method)) return
    const { state, outcome } = endOf(request.method, result!)
    this.#endOf(request, asked, line, { outcome, known: { state, ...late }, result: resultShown(result!) })
  }

  #endOf(
    request: OpenRequest,
    direction: Direction,
    message: Buffer | undefined,
    more: {
      outcome?: 'success' | 'failure' | 'denied' | undefined
      known: JsonObject
      told?: JsonObject
      result?: JsonValue
    },
  ): void {
    const { id, method, params, since, intent } = request
    this.#held.get(request)?.withdraw()
    this.#held.delete(request)
    const known: JsonObject = {
      ...{
        kind: 'outcome',
        method: shortened(method),
        requestId: idShown(id),
        ms: Math.round((performance.now() - since) * 10) / 10,
      },
      ...more.known,
    }
    const action = `${actionOf(method)}.result`
    this.#recording.end(intent, { action, direction, target: subjectOf(method, params), message, ...more, known })
  }

  /** What results say of the server itself. */
  #learn({ method, params }: OpenRequest, result: JsonValue, line: Buffer, direction: Direction): void {
    if (!isObject(result)) return
    if (method === 'initialize' || method === 'server/discover') {
      const meta = isObject(result._meta) ? result._meta : {}
      this.#events.server = implementationOf(result.serverInfo ?? meta['io.modelcontextprotocol/serverInfo'])
      if (typeof result.protocolVersion === 'string')
        this.#events.revision = result.protocolVersion.slice(0, 64).toWellFormed()
      const { serverInfo: _, ...rest } = resultShown(result) as JsonObject
      const told: JsonObject = {
        ...(this.#events.client && { client: { ...this.#events.client } }),
        ...(this.#events.server && { server: { ...this.#events.server } }),
      }
      this.#recording.record({ action: actionOf(method), direction, told, result: rest, message: line }).catch(() => {})
    }
    if (method === 'tools/list') this.#toolLists.listed(params, result, line, direction)
  }

  /** A line that cannot be read, or in two ways. From the client it does not go on where calls are guarded. */
  #unreadable(line: Buffer, direction: Direction, fault: string, ids: readonly MessageId[]): Promise<Passage> {
    const isRefused = direction === 'client-to-server' && this.#isGuarded
    // Not its text: rules that go by names find nothing in what cannot be read.
    this.#odd('message.invalid', direction, line, { isPassed: !isRefused, why: `The line ${fault}.` })
    if (!isRefused) return Promise.resolve(PASSED)
    this.#counts.refused += 1
    const answers = (ids.length > 0 ? ids : [null]).map((id) => errorAnswer(id, 'mcp_message_invalid', `It ${fault}.`))
    return Promise.resolve({ isPassed: false, answer: printAnswers(answers, answers.length > 1) })
  }

  #odd(action: string, direction: Direction, message: Buffer | undefined, known: JsonObject, told?: JsonObject): void {
    this.#counts.odd += 1
    if (this.#counts.odd > MAX_ODD) return
    this.#recording.record({ action, direction, message, known, ...(told && { told }) }).catch(() => {})
  }
}

/** A long id would make an event of any size. */
function idShown(id: MessageId): string | number {
  if (typeof id === 'number') return id
  return (typeof id === 'string' ? id : id.rawJSON).slice(0, 200).toWellFormed()
}

/** What an outcome needs of params: what the request was about, and of a list where it begins. */
function paramsKept(method: string, { name, uri, cursor }: JsonObject): JsonObject {
  const kept = method === 'tools/list' ? { cursor } : subjectOf(method, {}) === undefined ? {} : { name, uri }
  return Object.fromEntries(Object.entries(kept).filter((each): each is [string, JsonValue] => each[1] !== undefined))
}

const errorShown = (error: JsonValue): JsonObject => {
  if (!isObject(error)) return { error }
  const { message } = error
  return { ...error, ...(typeof message === 'string' && { message: message.slice(0, 2_000) }) }
}

const codeShown = (error: JsonValue): JsonObject =>
  isObject(error) && Number.isSafeInteger(error.code) ? { errorCode: error.code! } : {}
