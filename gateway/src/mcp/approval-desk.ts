// Calls that wait for a person: each has a page of its own, behind a link that nobody can guess, and is decided there once, with a key.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { GatewayStartError } from '../errors.ts'
import { shortened } from '../sessions/disclosed.ts'
import { PAGE_HEADERS, type PageCall, pageOfCall, pageOfNotice, pageOfPart } from './approval-page.ts'

/** Who decides about calls that wait for a person, where, and how long they have. */
export type McpApprovals = {
  /** Who may decide: a name, and its key's entry as `killick-gateway key` prints it. At least one where the policy lets calls wait. */
  approvers: readonly McpApprover[]
  /** Where the pages are served. Default 127.0.0.1 and any free port: several recorders may share a configuration. */
  host: string
  port: number
  /** What links begin with, where people reach the pages through a proxy with TLS, e.g. `https://approve.example.com`. Default: host and port. */
  url: string | null
  /** How long a person has, ms; then the call is denied. 1 s to a day, default 4 minutes: many HTTP clients wait 5 for an answer. */
  timeoutMs: number
  /** Calls that may wait at a time; more are denied at once. 1 to 1,000, default 1,000. */
  waiting: number
}

/** A person who may decide. */
export type McpApprover = {
  /** As events show it. */
  readonly name: string
  /** The entry that `killick-gateway key` prints: the key's prefix, a colon, and its SHA-256 in hex. */
  readonly key: string
}

/** What has been decided. `by`: the person, with the prefix of the key; null if nobody decided in time. */
export type Decision = {
  readonly verdict: 'approved' | 'denied' | 'timed_out'
  readonly by: { readonly name: string; readonly credential: string } | null
}

/** What a person is asked about. */
export type WantedCall = Omit<PageCall, 'until' | 'whole'> & {
  /** All arguments as JSON, where `arguments` has only their hash; null: there is no more to see, or it cannot be shown exactly. */
  readonly whole: (() => string) | null
  /** What is kept in memory until it is decided, bytes. */
  readonly bytes: number
  /** Called once. @returns what the page tells of it */
  decide(decision: Decision): Promise<string>
}

/** A call that somebody is asked about. `link`: to its page. `until`: when it is denied unless somebody has decided, RFC 3339. */
export type AskedPerson = { readonly link: string; readonly until: string; takeBack(): void }

type Waiting = WantedCall & { readonly timer: NodeJS.Timeout; readonly until: Date }

/** Bytes of calls that may wait, whatever their number. */
const MAX_WAITING_BYTES = 64 << 20
const MAX_FORM_BYTES = 4_096
const PATH = /^\/approve\/([\w-]{43})(?:\/(\d{1,6}))?$/

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest()

/** Serves the pages of one recorder. Has a life. */
export class ApprovalDesk {
  readonly #settings: McpApprovals
  readonly #say: (text: string) => void
  readonly #server: Server
  /** By the hash of the link's token, so that comparing takes as long whatever was guessed. */
  readonly #waiting = new Map<string, Waiting>()
  #bytes = 0
  #base = ''

  private constructor(settings: McpApprovals, say: (text: string) => void) {
    this.#settings = settings
    this.#say = say
    this.#server = createServer(
      { requestTimeout: 10_000, headersTimeout: 10_000, maxHeaderSize: 8_192 },
      (req, res) => {
        res.on('error', () => {})
        this.#take(req, res).catch(() => res.destroy())
      },
    )
    this.#server.maxConnections = 100
  }

  /** @throws GatewayStartError `gateway_start_failed` if the address is taken */
  static async open(settings: McpApprovals, say: (text: string) => void): Promise<ApprovalDesk> {
    const desk = new ApprovalDesk(settings, say)
    const { host, port, url } = settings
    const server = desk.#server
    try {
      await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve))
    } catch (error) {
      throw new GatewayStartError('gateway_start_failed', `approvals, ${host}:${port}: ${(error as Error).message}`)
    }
    server.on('error', (error) => say(`approvals: a connection could not be taken: ${error.message}`))
    // A recorder on stdio must end when there is nothing left to relay.
    server.unref()
    const shown = host.includes(':') ? `[${host}]` : host
    desk.#base = url ?? `http://${shown}:${(server.address() as AddressInfo).port}`
    return desk
  }

  get timeoutMs(): number {
    return this.#settings.timeoutMs
  }

  /** Says the link to its page. @returns null if no more may wait */
  ask(call: WantedCall): AskedPerson | null {
    if (this.#waiting.size >= this.#settings.waiting || this.#bytes + call.bytes > MAX_WAITING_BYTES) return null
    const token = randomBytes(32).toString('base64url')
    const key = sha256(token).toString('hex')
    const until = new Date(Date.now() + this.timeoutMs)
    const timer = setTimeout(() => this.#timeOut(key), this.timeoutMs)
    this.#waiting.set(key, { ...call, timer, until })
    this.#bytes += call.bytes
    const link = `${this.#base}/approve/${token}`
    this.#say(
      `a call of ${JSON.stringify(shortened(call.tool, 100))} waits for a person until ${until.toISOString()}: ${link}`,
    )
    return { link, until: until.toISOString(), takeBack: () => void this.#forget(key) }
  }

  /** Serves no more; what still waits is left to whoever has asked. */
  close(): void {
    for (const key of [...this.#waiting.keys()]) this.#forget(key)
    this.#server.close()
    this.#server.closeAllConnections()
  }

  #timeOut(key: string): void {
    const call = this.#waiting.get(key)
    if (this.#forget(key)) call!.decide({ verdict: 'timed_out', by: null })
  }

  /** Whether it was waiting: who gets true decides, and nobody else will. */
  #forget(key: string): boolean {
    const call = this.#waiting.get(key)
    if (call === undefined) return false
    clearTimeout(call.timer)
    this.#bytes -= call.bytes
    return this.#waiting.delete(key)
  }

  async #take(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const answer = (status: number, page: string) => res.writeHead(status, PAGE_HEADERS).end(page)
    const [, token, part] = PATH.exec(req.url ?? '') ?? []
    const key = token === undefined ? '' : sha256(token).toString('hex')
    // While a machine sleeps, its timers do, and `until` is what people were told.
    if ((this.#waiting.get(key)?.until.getTime() ?? Infinity) <= Date.now()) this.#timeOut(key)
    const call = this.#waiting.get(key)
    const gone = () => answer(404, pageOfNotice('Nothing waits here. It is decided, taken back or too late.'))
    if (call === undefined) return void gone()
    const own = `/approve/${token}`
    if (part !== undefined) {
      const page = req.method === 'GET' && call.whole !== null ? pageOfPart(call.whole(), Number(part), own) : null
      return void answer(page === null ? 404 : 200, page ?? pageOfNotice('There is no such part.'))
    }
    if (req.method === 'GET') return void answer(200, pageOfCall(pageCall(call, own), null))
    if (req.method !== 'POST') return void answer(405, pageOfNotice('This page is read, or its form is sent.'))
    if (!this.#isOwnForm(req))
      return void answer(403, pageOfNotice('The form does not come from this page, so nothing was decided.'))
    const form = await readForm(req)
    const verdict = form?.get('verdict')
    if (form === null || (verdict !== 'approved' && verdict !== 'denied'))
      return void answer(400, pageOfNotice('The form cannot be read, so nothing was decided.'))
    const by = this.#approverOf(form.get('key') ?? '')
    if (by === null) return void answer(403, pageOfCall(pageCall(call, own), 'Nobody who may decide has this key.'))
    // While the form was read, another may have come first.
    if (!this.#forget(key)) return void gone()
    answer(200, pageOfNotice(await call.decide({ verdict, by })))
  }

  /** Browsers say where a form comes from. The key would be missing in a form of another site, too. */
  #isOwnForm({ headers }: IncomingMessage): boolean {
    const { origin } = headers
    const site = headers['sec-fetch-site']
    return (
      (origin === undefined || origin === new URL(this.#base).origin) &&
      (site === undefined || site === 'same-origin') &&
      (headers['content-type'] ?? '').split(';')[0]!.trim() === 'application/x-www-form-urlencoded'
    )
  }

  #approverOf(key: string): Decision['by'] {
    const hash = sha256(key.trim())
    let found: Decision['by'] = null
    // All are compared, so that time does not tell which one it was.
    for (const { name, key: entry } of this.#settings.approvers)
      if (timingSafeEqual(hash, Buffer.from(entry.slice(9), 'hex'))) found = { name, credential: entry.slice(0, 8) }
    return found
  }
}

/** @param own address of its page */
const pageCall = (
  { tool, arguments: args, rule, agent, server, session, until, whole }: Waiting,
  own: string,
): PageCall => ({
  ...{ tool, arguments: args, rule, agent, server, session },
  whole: whole === null ? null : `${own}/1`,
  until: until.toISOString(),
})

async function readForm(req: IncomingMessage): Promise<URLSearchParams | null> {
  let text = ''
  for await (const chunk of req as AsyncIterable<Buffer>) {
    text += chunk.toString('latin1')
    if (text.length > MAX_FORM_BYTES) return null
  }
  return new URLSearchParams(text)
}
