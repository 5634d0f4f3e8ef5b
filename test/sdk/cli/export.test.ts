// `killick export` through connections that break, against a service that is killed, and killed itself.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { newSigner, Producer, post, sampleEvent } from '../../anchor-service/support/producer.ts'
import { ADMIN, READER, register } from '../../anchor-service/support/service.ts'
import { createDatabase } from '../../support/postgres.ts'
import { type ChildHandle, startChild } from '../../support/processes.ts'
import { killick } from './support.ts'

const SERVICE = fileURLToPath(new URL('../../../anchor-service/src/main.ts', import.meta.url))
const KILLICK = fileURLToPath(new URL('../../../sdk/src/cli/main.ts', import.meta.url))
const COUNT = 60
const PART = 20
/** So large that a part does not fit into what the system keeps for a connection. */
const BLOB = 180_000

let dir: string
let env: Record<string, string>
let service: { child: ChildHandle; url: string }
let way: Server
let url: string
let producer: Producer
/** What happens to an answer on its way; null: nothing. */
let meets: ((asked: URL, answer: IncomingMessage, response: ServerResponse) => void) | null = null
/** Which parts were asked for. */
const asked: URL[] = []

const file = (name: string) => join(dir, name)

async function start(): Promise<typeof service> {
  const child = await startChild(process.execPath, [SERVICE], { env })
  const [, at] = await child.printed(/listens on (\S+)/)
  return { child, url: at! }
}

async function record(n: number): Promise<void> {
  const blob = () => ({ ...sampleEvent(), metadata: { blob: randomBytes(0.75 * BLOB).toString('base64') } })
  const batch = await producer.batch(Array.from({ length: n }, blob))
  expect((await post(service.url, batch.body)).status).toBe(201)
  batch.advance()
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'killick-export-'))
  env = {
    ...{ PATH: process.env.PATH ?? '', PORT: '0', KILLICK_LOG_LEVEL: 'silent', KILLICK_DATA: file('data') },
    ...{ DATABASE_URL: await createDatabase(), KILLICK_ADMIN_TOKEN: ADMIN, KILLICK_READER_TOKEN: READER },
  }
  service = await start()
  producer = new Producer('crm', newSigner(), 's')
  await register(service.url, 'crm', [{ jwk: producer.signer.jwk }])
  for (let i = 0; i < COUNT / PART; i++) await record(PART)
  way = createServer((incoming, response) => {
    const to = new URL(incoming.url!, service.url)
    asked.push(to)
    const onward = request(to, { headers: { authorization: incoming.headers.authorization } }, (answer) => {
      answer.on('error', () => response.destroy())
      ;(meets ?? pass)(to, answer, response)
    })
    onward.on('error', () => response.destroy()).end()
  }).listen(0, '127.0.0.1')
  await once(way, 'listening')
  url = `http://127.0.0.1:${(way.address() as AddressInfo).port}`
}, 60_000)
afterAll(async () => {
  way?.closeAllConnections()
  way?.close()
  await service?.child.stop()
  rmSync(dir, { recursive: true, force: true })
})
beforeEach(() => {
  meets = null
  asked.length = 0
})

function pass(_: URL, answer: IncomingMessage, response: ServerResponse): void {
  answer.pipe(response.writeHead(answer.statusCode!, answer.headers))
}

const args = (...more: string[]) =>
  ['export', '--source', 'crm', '--part', `${PART}`, '--url', url, '--token', READER].concat(more)

/** Cuts the next answer to a later part once some of it has passed. */
function meetSecond(then: (answer: IncomingMessage, response: ServerResponse) => void): void {
  meets = (to, answer, response) => {
    if (!to.searchParams.has('cursor')) return pass(to, answer, response)
    meets = null
    response.writeHead(answer.statusCode!, answer.headers)
    let passed = 0
    answer.on('data', (chunk: Buffer) => {
      response.write(chunk)
      passed += chunk.length
      if (passed < 3 * BLOB) return
      answer.removeAllListeners('data').pause()
      then(answer, response)
    })
  }
}

const seqsOf = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).seq)
const down = (from: number) => Array.from({ length: from + 1 }, (_, i) => from - i)

test('a service that is killed within a part, and started again: everything once, without what came later', async () => {
  let restarted: Promise<void> | undefined
  meetSecond((answer, response) => {
    restarted = service.child.kill9().then(async () => {
      answer.pipe(response)
      service = await start()
      await record(1)
    })
  })
  const run = await killick(args('--out', file('all.ndjson')))
  await restarted
  expect(run).toMatchObject({ code: 0, out: '' })
  expect(run.err).toMatch(/^http\S+ cannot be reached: .+\. Asking again in 1 second$/m)
  expect(run.err).toMatch(/^60 events exported to .*all\.ndjson$/m)
  expect(seqsOf(readFileSync(file('all.ndjson'), 'utf8'))).toEqual(down(COUNT - 1))
  expect(readdirSync(dir).filter((name) => name.startsWith('all'))).toEqual(['all.ndjson'])
  const verified = await killick(['verify', file('all.ndjson'), '--json'])
  expect(JSON.parse(verified.out.trim().split('\n').at(-1)!)).toMatchObject({ events: COUNT, failed: 0, unreadable: 0 })
  // The log says which of its parts belong together.
  const [first, ...later] = asked
  expect(first!.searchParams.has('export')).toBe(false)
  expect(new Set(later.map(({ searchParams }) => searchParams.get('export'))).size).toBe(1)
}, 60_000)

test('killed within a part, the same command goes on after those that are whole, and only the same', async () => {
  const out = file('all.csv')
  const csv = args('--format', 'csv', '--out', out)
  const { promise: isWithin, resolve } = Promise.withResolvers<void>()
  meetSecond(() => resolve())
  const child = await startChild(process.execPath, [KILLICK, ...csv], { env: { PATH: env.PATH! } })
  await isWithin
  // What is being written is not begun a second time.
  expect((await killick(csv)).err).toContain(`is being written by process ${child.pid}`)
  await child.kill9()
  expect(existsSync(out)).toBe(false)
  const other = await killick(args('--format', 'csv', '--actor', 'u-1', '--out', out))
  expect(other).toMatchObject({ code: 2, err: expect.stringContaining('is from another export') })
  const note = readFileSync(`${out}.part.json`, 'utf8')
  for (const bad of ['', '{}', note.replace(/"bytes": \d+/, '"bytes": -1'), note.replace(/"bytes": /, '"bytes": 9')]) {
    writeFileSync(`${out}.part.json`, bad)
    expect(await killick(csv), bad).toMatchObject({ code: 2, err: expect.stringContaining('begin again') })
  }
  writeFileSync(`${out}.part.json`, note)
  asked.length = 0
  const run = await killick(csv)
  expect(run).toMatchObject({ code: 0, err: expect.stringContaining(`Going on after the ${PART} events`) })
  expect(asked[0]!.searchParams.get('cursor')).not.toBe(null)
  const text = readFileSync(out, 'utf8')
  expect(text.match(/^id,/gm)).toHaveLength(1)
  const seqs = [...text.matchAll(/^"[\w-]{36}","[^"]+","crm","s","(\d+)"/gm)].map(([, seq]) => Number(seq))
  expect(seqs).toEqual(down(producer.seq - 1))
}, 60_000)

test('what no export left is neither cut off nor removed', async () => {
  for (const [name, foreign] of [
    ['mine', 'mine.part'],
    ['yours', 'yours.part.json'],
  ] as const) {
    writeFileSync(file(foreign), 'precious')
    const run = await killick(args('--out', file(name)))
    expect(run).toMatchObject({ code: 2, err: expect.stringMatching(/is not what an export left/) })
    expect(readFileSync(file(foreign), 'utf8')).toBe('precious')
    expect(readdirSync(dir).filter((each) => each.startsWith(name))).toEqual([foreign])
  }
})

test('stdout gets no part twice, nor a piece of one', async () => {
  meetSecond((answer, response) => {
    answer.destroy()
    response.destroy()
    // A connection that ends as if all were well, as some proxies end one, gives an answer that is cut within a line.
    meetSecond((_, again) => again.end())
  })
  const run = await killick(args())
  expect(run.code).toBe(0)
  expect(run.err).toMatch(
    /reached: .+\. Asking again in 1 second\n.+ broke off within an event\. Asking again in 2 seconds\n/,
  )
  expect(seqsOf(run.out)).toEqual(down(producer.seq - 1))
}, 60_000)

test('what is refused later leaves what is whole; what never began leaves nothing', async () => {
  const left = (name: string) => readdirSync(dir).filter((each) => each.startsWith(name))
  meets = (to, answer, response) => {
    if (!to.searchParams.has('cursor')) return pass(to, answer, response)
    answer.resume()
    response.writeHead(401).end()
  }
  const refused = await killick(args('--out', file('refused')))
  expect(refused).toMatchObject({ code: 2, err: expect.stringMatching(/refused\.part has 20 events: .*\n.*401/) })
  expect(left('refused')).toEqual(['refused.part', 'refused.part.json'])
  expect(seqsOf(readFileSync(file('refused.part'), 'utf8'))).toHaveLength(PART)

  const gone = await killick(args('--out', file('gone')).with(args().indexOf('--url') + 1, 'http://127.0.0.1:1'))
  expect(gone).toMatchObject({ code: 3, err: expect.not.stringContaining('Asking again') })
  expect(left('gone')).toEqual([])
  // A service that does not know of parts would leave out the rest without a word.
  meets = (_, answer, response) => {
    const { 'killick-next': __, ...headers } = answer.headers
    answer.pipe(response.writeHead(200, headers))
  }
  expect(await killick(args('--out', file('old')))).toMatchObject({
    code: 2,
    err: expect.stringContaining('does not say what follows'),
  })
  const lies: [string, string, RegExp][] = [
    ['1.1', '{}\n', /does not come to an end/],
    ['end', '{}\n'.repeat(PART + 2), /more than it was asked for/],
    ['end', 'x'.repeat(5 << 20), /a line without end/],
  ]
  for (const [next, body, why] of lies) {
    meets = (_, answer, response) => {
      answer.resume()
      response.writeHead(200, { 'killick-next': next, 'killick-export': answer.headers['killick-export'] }).end(body)
    }
    expect(await killick(args())).toMatchObject({ code: 2, err: expect.stringMatching(why) })
  }
  const none = args().with(args().indexOf('--part') + 1, '0')
  expect(await killick(none)).toMatchObject({ code: 2, err: expect.stringContaining('1 to 100000') })
})
