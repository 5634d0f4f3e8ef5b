import { createServer, type ServerResponse } from 'node:http'
import { type Harm, harm } from '../../scripts/lib/hostile-server.ts'

/** What a node, or the way to it, does to one call. */
export type RpcFault =
  /** Answers late. */
  | { fault: 'delay'; ms: number }
  /** Hands the call on, and loses the answer: the caller cannot know. */
  | { fault: 'lose' }
  /** Never hands the call on. */
  | { fault: 'swallow' }
  /** Hands the call on twice, as a proxy that retries does. */
  | { fault: 'duplicate' }
  /** Answers with what it answered to the same call before. */
  | { fault: 'stale' }
  /** Takes the call and never answers, with the connection open. */
  | { fault: 'halfOpen' }
  /** Answers with this HTTP status. */
  | { fault: 'status'; status: number }
  /** Answers with this instead of the result. */
  | { fault: 'lie'; result: unknown }
  /** Hands the call on and changes the result. */
  | { fault: 'alter'; change: (result: never) => unknown }
  /** Answers with a JSON-RPC error. */
  | { fault: 'error'; message: string; data?: string }
  /** Answers with bytes that are not JSON. */
  | { fault: 'garbage' }
  /** Harms the reader of the answer. */
  | { fault: 'harm'; how: Harm }

export type Call = { method: string; params: unknown[] }

export type FaultyRpc = {
  readonly url: string
  /** Decides about each call; null: it goes through. */
  rule: (call: Call) => RpcFault | null
  /** Calls that came, oldest first. */
  readonly calls: Call[]
  /** Bytes that were sent in floods. */
  sent: number
  stop(): Promise<void>
}

/** A JSON-RPC proxy before a real node that breaks what it is told to break. */
export async function startFaultyRpc(upstream: string): Promise<FaultyRpc> {
  const before = new Map<string, string>()
  const forward = async (body: string): Promise<string> => {
    const headers = { 'content-type': 'application/json' }
    return (await fetch(upstream, { method: 'POST', headers, body })).text()
  }

  async function handle(body: string, response: ServerResponse): Promise<void> {
    const { id, method, params } = JSON.parse(body)
    proxy.calls.push({ method, params })
    const name = JSON.stringify([method, params])
    const fault = proxy.rule({ method, params })
    const answer = (text: string) => response.setHeader('content-type', 'application/json').end(text)
    const say = (members: object) => answer(JSON.stringify({ jsonrpc: '2.0', id, ...members }))
    const pass = async () => {
      const text = await forward(body)
      before.set(name, text)
      answer(text)
    }
    switch (fault?.fault) {
      case 'delay':
        return void setTimeout(() => pass().catch(() => response.destroy()), fault.ms)
      case 'lose':
        await forward(body)
        return void response.destroy()
      case 'swallow':
        return void response.destroy()
      case 'duplicate':
        await forward(body)
        return pass()
      case 'stale':
        return before.has(name) ? void answer(before.get(name)!) : pass()
      case 'halfOpen':
        return
      case 'status':
        return void response.writeHead(fault.status).end()
      case 'lie':
        return void say({ result: fault.result })
      case 'alter':
        return void say({ result: fault.change((JSON.parse(await forward(body)) as { result: never }).result) })
      case 'error':
        return void say({ error: { code: -32000, message: fault.message, data: fault.data } })
      case 'garbage':
        return void answer('<html>')
      case 'harm':
        return harm(fault.how, response, (bytes) => {
          proxy.sent += bytes
        })
      default:
        return pass()
    }
  }

  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk
    })
    if (request.url === '/elsewhere') proxy.calls.push({ method: 'elsewhere', params: [] })
    request.on('end', () => handle(body, response).catch(() => response.destroy()))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const proxy: FaultyRpc = {
    url: `http://127.0.0.1:${port}`,
    rule: () => null,
    calls: [],
    sent: 0,
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return proxy
}
