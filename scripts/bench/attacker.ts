// A hostile peer, in a process of its own: many idle connections, many that trickle, garbage as fast as it goes, or many
// requests whose answers are not read.
//
//   node attacker.ts idle|trickle|garbage|unread <url> <connections> <source> <kid>
//
// Prints `attacking` when all of it is under way, and ends with its parent. `source` and `kid` are of a registered source.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setPriority } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { zstdCompressSync } from 'node:zlib'
import { generateKey, signerOf } from '@killick/sdk'
import { BATCH_MEDIA_TYPE } from '@killick/sdk/core'
import { makeLoads } from './events.ts'

const [kind, target, connections, source, kid] = process.argv.slice(2) as [string, string, string, string, string]
const { hostname, port } = new URL(target)
const count = Number(connections)

// Attackers bring machines of their own; this one shares the service's, and must not slow it down merely by running.
setPriority(19)

const head = (length: number, more = '') =>
  `POST /v1/batches HTTP/1.1\r\nHost: killick\r\nContent-Type: ${BATCH_MEDIA_TYPE}\r\nContent-Length: ${length}\r\n${more}\r\n`

/** On Linux, all of 127.0.0.0/8 is this machine: so it has another address than the honest. */
async function open(): Promise<Socket> {
  const localAddress = process.platform === 'linux' ? '127.0.0.2' : '127.0.0.1'
  const socket = connect({ host: hostname, port: Number(port), localAddress }).on('error', () => {})
  await Promise.race([once(socket, 'connect'), once(socket, 'close')]).catch(() => {})
  return socket
}

/** Keeps `count` connections, 100 of them opened at a time; those that are closed are opened again. */
async function keep(use: (socket: Socket, i: number) => void): Promise<void> {
  const sockets: Socket[] = []
  const fill = async () => {
    for (let i = 0; i < count; i += 100) {
      const part = Array.from({ length: Math.min(100, count - i) }, async (_, k) => {
        if (sockets[i + k]?.readyState === 'open') return
        sockets[i + k] = await open()
        use(sockets[i + k]!, i + k)
      })
      await Promise.all(part)
    }
  }
  await fill()
  process.stdout.write('attacking\n')
  for (;;) {
    await sleep(1000)
    await fill()
  }
}

function trickle(socket: Socket): void {
  socket.write(head(1_000_000))
  socket.resume()
  const timer = setInterval(() => socket.write('a'), 200)
  socket.once('close', () => clearInterval(timer))
}

/** What anybody may ask for, the largest first. */
const PUBLIC = ['/verify/page.js', '/openapi.json', '/tile/entries/000.p/1', '/checkpoint']
const PIPELINED = 1_375

/** Half a megabyte of requests over 8 connections is answered with 1.5 GB of script; none of it is read. */
function ask(socket: Socket, i: number): void {
  socket.pause()
  const path = PUBLIC[i < count / 2 ? 0 : i % PUBLIC.length]
  socket.write(`GET ${path} HTTP/1.1\r\nHost: killick\r\n\r\n`.repeat(PIPELINED))
}

/** Requests whole; each is one way to make the service work for nothing. */
async function garbage(): Promise<Buffer[]> {
  const size = { streams: 1, batches: 1, events: 500 }
  const own = signerOf(generateKey())
  const [forged] = await makeLoads(source, { ...own, kid }, size)
  const [unknown] = await makeLoads('nobody', own, size)
  const bomb = zstdCompressSync(Buffer.alloc(256 * 2 ** 20))
  const zstd = 'Content-Encoding: zstd\r\n'
  // One time in 256 the first line of random bytes is text, and the fault another one.
  const noText = Buffer.concat([Buffer.from([0xff]), randomBytes(65_535)])
  const request = (body: Buffer, more = '') => Buffer.concat([Buffer.from(head(body.length, more)), body])
  return [
    request(noText),
    request(forged!.batches[0]!.body, zstd),
    request(unknown!.batches[0]!.body, zstd),
    request(bomb, zstd),
  ]
}

async function flood(): Promise<void> {
  const requests = await garbage()
  process.stdout.write('attacking\n')
  const one = async (i: number) => {
    for (let n = i; ; ) {
      const socket = await open()
      while (socket.readyState === 'open') {
        socket.write(requests[n++ % requests.length]!)
        await Promise.race([once(socket, 'data'), once(socket, 'close')]).catch(() => {})
      }
      await sleep(10)
    }
  }
  await Promise.all(Array.from({ length: count }, (_, i) => one(i)))
}

if (kind === 'idle') await keep((socket) => socket.resume())
else if (kind === 'trickle') await keep(trickle)
else if (kind === 'unread') await keep(ask)
else await flood()
