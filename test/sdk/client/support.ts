// A log of its own in this process that can be told to misbehave: a fault injector for the client, real HTTP and all.

import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { onTestFinished } from 'vitest'
import { decodeBody, encodingOf } from '../../../anchor-service/src/intake/decode.ts'
import { generateKey, signerOf } from '../../../sdk/src/client/key.ts'
import { type BatchHeader, parseBatch } from '../../../sdk/src/core/batch.ts'
import { toBase64url } from '../../../sdk/src/core/bytes.ts'
import { printCheckpoint } from '../../../sdk/src/core/checkpoint.ts'
import type { ParsedEvent } from '../../../sdk/src/core/event.ts'
import { asHash } from '../../../sdk/src/core/hash.ts'
import { publicKeyBytes } from '../../../sdk/src/core/jwk.ts'
import { printVkey, signNote } from '../../../sdk/src/core/note.ts'
import { consistencyPath, inclusionPath, treeRoot } from '../../support/rfc9162.ts'

export const key = generateKey()

export const event = (n: number) => ({
  action: 'test.count',
  actor: { type: 'process', id: 'p-1' },
  targets: [{ type: 'number', id: String(n) }],
})

export function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'killick-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

export type Batch = { header: BatchHeader; events: ParsedEvent[] }
/** Answers a request itself and returns true, or leaves it to the log. `accept` is what the log would do. */
export type Fault = (request: IncomingMessage, response: ServerResponse, accept: () => object) => boolean

export type TestLog = {
  url: string
  vkey: string
  batches: Batch[]
  /** Requests that bring a batch. */
  requests: number
  /** Each batch that is brought uses up one. */
  faults: Fault[]
  /** What was asked beside, as path and query. */
  asked: string[]
  /** Answers what is asked beside, and returns true, or leaves it to the log. */
  onAsk: (path: string, response: ServerResponse) => boolean
  /** Header hashes of the log's entries; other sources' among them. */
  leaves: Uint8Array[]
  /** Signed note of the first `size` of `leaves`; the newest where no size is given. */
  note: (leaves?: readonly Uint8Array[]) => string
  close: () => void
  /** Ends every connection that is open. */
  dropConnections: () => void
}

const ORIGIN = 'log.test'

/** Takes batches in order, replays included. Each request uses up one of `faults`. */
export async function startLog(): Promise<TestLog> {
  const signer = signerOf(generateKey())
  const publicKey = publicKeyBytes(signer.jwk)
  const log: TestLog = {
    url: '',
    vkey: printVkey(ORIGIN, publicKey),
    batches: [],
    requests: 0,
    faults: [],
    asked: [],
    onAsk: () => false,
    leaves: [],
    note: (leaves = log.leaves) => {
      const body = printCheckpoint({ origin: ORIGIN, size: leaves.length, root: asHash(treeRoot(leaves)) })
      return signNote(body, ORIGIN, publicKey, (message) => signer.sign(message) as Uint8Array)
    },
    close: () => {},
    dropConnections: () => {},
  }
  const receipt = ({ header }: Batch) => {
    const index = log.leaves.indexOf(header.leafHash)
    const leaves = log.leaves.slice(0, index + 1)
    const { source, stream, seq, n } = header
    const path = inclusionPath(leaves, index).map(toBase64url)
    return { source, stream, seq, n, logIndex: index, size: index + 1, path, checkpoint: log.note(leaves) }
  }
  const take = (body: Buffer): object => {
    const batch = parseBatch(body)
    const { stream, seq, text } = batch.header
    const known = log.batches.find(({ header }) => header.stream === stream && header.seq === seq)
    if (known && known.header.text !== text) throw new Error('equivocation')
    if (known) return receipt(known)
    log.batches.push(batch)
    log.leaves.push(batch.header.leafHash)
    return receipt(batch)
  }
  const answer = (path: string): object | string | null => {
    const url = new URL(path, 'http://log')
    if (url.pathname === '/v1/log') return { origin: ORIGIN, vkey: log.vkey, targets: [] }
    if (url.pathname === '/checkpoint') return log.note()
    if (url.pathname !== '/v1/consistency') return null
    const [from, to] = ['from', 'to'].map((name) => Number(url.searchParams.get(name))) as [number, number]
    return { from, to, path: consistencyPath(log.leaves.slice(0, to), from).map(toBase64url) }
  }
  const server = createServer(async (request, response) => {
    if (request.method === 'GET') {
      log.asked.push(request.url!)
      if (log.onAsk(request.url!, response)) return
      const found = answer(request.url!)
      response.writeHead(found === null ? 404 : 200).end(typeof found === 'object' ? JSON.stringify(found) : found)
      return
    }
    log.requests += 1
    const raw = await buffer(request)
    const body = decodeBody(raw, encodingOf(request.headers['content-encoding'])).text
    if (log.faults.shift()?.(request, response, () => take(body))) return
    response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify(take(body)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  log.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  log.dropConnections = () => server.closeAllConnections()
  log.close = () => {
    server.closeAllConnections()
    server.close()
  }
  onTestFinished(log.close)
  return log
}

/** Ids of the events in the log, in order. */
export const idsIn = (log: TestLog): string[] => log.batches.flatMap(({ events }) => events.map(({ id }) => id))

export const problem =
  (status: number, code: string, headers: Record<string, string> = {}): Fault =>
  (_, response) => {
    const document = JSON.stringify({ type: 'about:blank', title: code, status, code, detail: `about ${code}` })
    response.writeHead(status, { 'content-type': 'application/problem+json', ...headers }).end(document)
    return true
  }
