// Emitters of a collector, in a process of its own that takes as little CPU as it can: each connection sends a request when the one
// before is answered, at full pace or at a rate.
//
//   node collector-sender.ts <url> <authorization> <connections> <requests> <events in each> <requests per second; 0: full pace>
//
// Prints `sent <JSON>`.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { sampleEvent } from './events.ts'
import { quantile } from './stats.ts'

/** `rate`: events per second. `refused`: answers other than 200. Latencies in ms; at a rate, from when a request was due. */
export type CollectorFlow = { rate: number; p50: number; p99: number; refused: number }

const [url, authorization, ...numbers] = process.argv.slice(2) as [string, string, ...string[]]
const [connections, requests, batch, rate] = numbers.map(Number) as [number, number, number, number]
const { hostname, port, host } = new URL(url)
const HEAD_END = Buffer.from('\r\n\r\n')
const latencies: number[] = []
let next = 0
let refused = 0

/** Each event has an id of its own, as an emitter that may have to send again gives it. */
function requestOf(n: number): string {
  const events = Array.from({ length: batch }, (_, i) => ({
    id: `${process.pid}-${n}-${i}`,
    ...sampleEvent(n * batch + i),
  }))
  const body = JSON.stringify(batch === 1 ? events[0] : events)
  return `POST /v1/events HTTP/1.1\r\nhost: ${host}\r\nauthorization: ${authorization}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
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

async function emit(): Promise<void> {
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  await once(socket, 'connect')
  for (let n = next++; n < requests; n = next++) {
    const request = requestOf(n)
    let due = performance.now()
    if (rate > 0) {
      due = start + (n * 1000) / rate
      if (due > performance.now()) await sleep(due - performance.now())
    }
    socket.write(request)
    if ((await answer(socket)) !== 200) refused += 1
    latencies.push(performance.now() - due)
  }
  socket.destroy()
}

const start = performance.now()
await Promise.all(Array.from({ length: connections }, emit))
const flow: CollectorFlow = {
  rate: (requests * batch * 1000) / (performance.now() - start),
  p50: quantile(latencies, 0.5),
  p99: quantile(latencies, 0.99),
  refused,
}
process.stdout.write(`sent ${JSON.stringify(flow)}\n`)
