// Recorders without a disk, in a process of its own that takes as little CPU as it can: each connection carries one stream, whose
// batches have one event, and sends the next one when it has the receipt of the one before.
//
//   node single-sender.ts <url> <streams> <batches of each> signed|unsigned
//
// Prints `ready` when all batches are made and all connections open, begins when the parent sends `go`, and then prints what
// became of it: `sent <JSON>`.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { BATCH_MEDIA_TYPE } from '@killick/sdk/core'
import { makeLoads } from './events.ts'
import { newSource, SIGNER } from './plan.ts'
import { quantile } from './stats.ts'

/** `ownUs`: CPU of this process for each batch. `refused`: answers other than 201, each sent again a little later. */
export type SingleFlow = { rate: number; p50: number; p99: number; ownUs: number; refused: number }

/** Within the time that a service asks those to wait whom it refuses for lack of room. */
const AGAIN_MS = 50
const HEAD_END = Buffer.from('\r\n\r\n')

const [url, streams, batches, kind] = process.argv.slice(2) as [string, string, string, 'signed' | 'unsigned']
const { hostname, port, host } = new URL(url)
const source = await newSource(url, kind === 'signed' ? 'required' : 'optional')
const size = { streams: Number(streams), batches: Number(batches), events: 1 }
const requests = (await makeLoads(source, SIGNER, size, kind === 'signed')).map((load) =>
  load.batches.map(({ body }) => Buffer.concat([Buffer.from(headFor(body)), body])),
)
const latencies: number[] = []
let refused = 0

function headFor(body: Buffer): string {
  const type = `content-type: ${BATCH_MEDIA_TYPE}\r\ncontent-encoding: zstd\r\ncontent-length: ${body.length}`
  return `POST /v1/batches HTTP/1.1\r\nhost: ${host}\r\naccept: application/json, application/problem+json\r\n${type}\r\n\r\n`
}

async function open(): Promise<Socket> {
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  await once(socket, 'connect')
  return socket
}

/** The status of the answer that begins a buffer, once it is whole. */
function statusOf(answer: Buffer): number | null {
  const end = answer.indexOf(HEAD_END)
  if (end < 0) return null
  const [, length] = /^content-length: *(\d+)/im.exec(answer.toString('latin1', 0, end))!
  return answer.length < end + HEAD_END.length + Number(length) ? null : Number(answer.toString('latin1', 9, 12))
}

/** Sends a stream's batches, one after another. */
function send(socket: Socket, bodies: readonly Buffer[]): Promise<void> {
  let next = 0
  let asked = 0
  let answer: Buffer = Buffer.alloc(0)
  return new Promise((resolve, reject) => {
    const ask = () => {
      asked = performance.now()
      socket.write(bodies[next]!)
    }
    socket.on('data', (part) => {
      answer = answer.length === 0 ? part : Buffer.concat([answer, part])
      const status = statusOf(answer)
      if (status === null) return
      if (status === 201) {
        latencies.push(performance.now() - asked)
        next++
      } else if (status === 503 || status === 429) {
        refused++
      } else {
        return reject(new Error(`a batch was answered with ${answer.toString('latin1')}`))
      }
      answer = Buffer.alloc(0)
      if (next === bodies.length) resolve()
      else if (status === 201) ask()
      else sleep(AGAIN_MS).then(ask)
    })
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('the service closed a connection')))
    ask()
  })
}

const sockets: Socket[] = []
for (let i = 0; i < requests.length; i++) sockets.push(await open())
process.stdout.write('ready\n')
await once(process, 'message')
const before = process.cpuUsage()
const start = performance.now()
await Promise.all(sockets.map((socket, i) => send(socket, requests[i]!)))
const took = performance.now() - start
const { user, system } = process.cpuUsage(before)
const sent: SingleFlow = {
  rate: (latencies.length * 1000) / took,
  p50: quantile(latencies, 0.5),
  p99: quantile(latencies, 0.99),
  ownUs: (user + system) / latencies.length,
  refused,
}
process.stdout.write(`sent ${JSON.stringify(sent)}\n`)
process.exit(0)
