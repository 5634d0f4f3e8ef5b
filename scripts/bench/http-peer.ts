// What stands on both sides of the proxy that is measured, each in a process of its own.
//
//   node http-peer.ts server                                a server that reads a request and answers it with 200 bytes of JSON
//   node http-peer.ts httpxy <origin>                       a proxy of the library httpxy, which records nothing
//   node http-peer.ts sender <origin> <connections> <requests>   sends at full pace; prints `sent <JSON>`
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { createProxyServer } from 'httpxy'
import { quantile } from './stats.ts'

/** Requests per second, latencies in ms, and answers other than 200. */
export type HttpFlow = { rate: number; p50: number; p99: number; refused: number }

const [role, origin, ...numbers] = process.argv.slice(2)
const BODY = JSON.stringify({ name: 'Ada Lovelace', note: 'x'.repeat(240) })
const ANSWER = JSON.stringify({ ok: true, note: 'y'.repeat(180) })
const HEAD_END = Buffer.from('\r\n\r\n')

async function listen(server: ReturnType<typeof createServer>): Promise<void> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  process.stdout.write(`listens on http://127.0.0.1:${(server.address() as AddressInfo).port}\n`)
}

/** The status of the next answer, read to its end. */
async function answer(socket: Socket): Promise<number> {
  let data: Buffer = Buffer.alloc(0)
  for (;;) {
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    data = data.length === 0 ? chunk : Buffer.concat([data, chunk])
    const head = data.indexOf(HEAD_END)
    if (head < 0) continue
    const length = Number(/content-length: (\d+)/i.exec(data.toString('latin1', 0, head))![1])
    if (data.length >= head + 4 + length) return Number(data.toString('latin1', 9, 12))
  }
}

async function send(connections: number, requests: number): Promise<HttpFlow> {
  const { hostname, port, host } = new URL(origin!)
  const latencies: number[] = []
  let [next, refused] = [0, 0]
  const one = async () => {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true })
    await once(socket, 'connect')
    for (let n = next++; n < requests; n = next++) {
      const since = performance.now()
      socket.write(
        `POST /users/${n} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`,
      )
      if ((await answer(socket)) !== 200) refused += 1
      latencies.push(performance.now() - since)
    }
    socket.destroy()
  }
  const start = performance.now()
  await Promise.all(Array.from({ length: connections }, one))
  const rate = (requests * 1000) / (performance.now() - start)
  return { rate, p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99), refused }
}

if (role === 'server')
  await listen(
    createServer((req, res) => {
      req.resume()
      req.once('end', () => {
        res.writeHead(200, { 'content-type': 'application/json', 'content-length': ANSWER.length })
        res.end(ANSWER)
      })
    }),
  )
else if (role === 'httpxy') {
  const proxy = createProxyServer({ target: origin!, xfwd: true })
  await listen(createServer((req, res) => void proxy.web(req, res)))
} else if (role === 'sender')
  process.stdout.write(`sent ${JSON.stringify(await send(Number(numbers[0]), Number(numbers[1])))}\n`)
