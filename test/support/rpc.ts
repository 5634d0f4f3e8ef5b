import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

type Call = { id: number; method: string; params: unknown[] }

/** What a node says to a call: a result, an error, raw text, or nothing at all. */
export type Reply = { result: unknown } | { error: unknown } | { raw: string; status?: number } | 'hang' | 'drop'

/** A JSON-RPC node on a free loopback port that answers as it is told. Close it when done. */
export async function openNode(reply: (call: Call) => Reply) {
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text
    })
    request.on('end', () => {
      const call = JSON.parse(body) as Call
      const answer = reply(call)
      if (answer === 'hang') return
      if (answer === 'drop') return request.socket.destroy()
      if ('raw' in answer) return response.writeHead(answer.status ?? 200).end(answer.raw)
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ jsonrpc: '2.0', id: call.id, ...answer }))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/secret-key`,
    close: () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}
