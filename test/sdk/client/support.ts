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
import { inclusionPath, treeRoot } from '../../support/rfc9162.ts'

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
  requests: number
  faults: Fault[]
  close: () => void
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
    close: () => {},
  }
  const receipt = (index: number, { header }: Batch) => {
    const leaves = log.batches.slice(0, index + 1).map((batch) => batch.header.leafHash)
    const body = printCheckpoint({ origin: ORIGIN, size: index + 1, root: asHash(treeRoot(leaves)) })
    const { source, stream, seq, n } = header
    const path = inclusionPath(leaves, index).map(toBase64url)
    const checkpoint = signNote(body, ORIGIN, publicKey, (message) => signer.sign(message) as Uint8Array)
    return { source, stream, seq, n, logIndex: index, size: index + 1, path, checkpoint }
  }
  const take = (body: Buffer): object => {
    const batch = parseBatch(body)
    const { stream, seq, text } = batch.header
    const known = log.batches.findIndex(({ header }) => header.stream === stream && header.seq === seq)
    if (known >= 0 && log.batches[known]!.header.text !== text) throw new Error('equivocation')
    if (known < 0) log.batches.push(batch)
    const index = known < 0 ? log.batches.length - 1 : known
    return receipt(index, log.batches[index]!)
  }
  const server = createServer(async (request, response) => {
    log.requests += 1
    const raw = await buffer(request)
    const body = decodeBody(raw, encodingOf(request.headers['content-encoding'])).text
    if (log.faults.shift()?.(request, response, () => take(body))) return
    response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify(take(body)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  log.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
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
