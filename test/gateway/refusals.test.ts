import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, request } from 'node:http'
import { request as requestTls } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { connect as connectTls } from 'node:tls'
import { inspect } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { checkCollectorConfig, GatewayStartError, makeEmitterKey } from '@killick/gateway'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { FairShare } from '../../gateway/src/fairness.ts'
import { readLines, readWhole } from '../../gateway/src/http/body.ts'
import { findTool } from '../../scripts/lib/tools.ts'
import { smallDisk } from '../support/small-disk.ts'
import { certifier, NOWHERE, sample, type TestCollector, testCollector } from './support.ts'

/** Its ledger is away all the time. */
let edge: TestCollector

beforeAll(async () => {
  edge = await testCollector(NOWHERE, {
    limits: {
      bodyBytes: 65_536,
      memoryBytes: 1 << 20,
      streamBytes: 1 << 20,
      bodyEvents: 100,
      requests: 16,
      requestMs: 1000,
    },
    fields: ['region'],
    listen: { port: 0, socket: 'collect.sock' },
    emitters: [
      { name: 'payroll', keys: [KEYS.payroll.entry], sources: ['payroll', 'hr-*'] },
      { name: 'billing', keys: [KEYS.billing.entry], actions: ['invoice.*'], tenants: ['acme'] },
      { name: 'local', socket: true },
    ],
  })
})
afterAll(() => edge.stop())

const KEYS = { payroll: makeEmitterKey(), billing: makeEmitterKey() }
const key = KEYS.payroll.key
const recorded = () => edge.collector.log.status.recorded
const send: TestCollector['send'] = (body, init) => edge.send(body, { key, ...init })

/** Sends what must be refused, and sees that nothing is recorded. */
async function refused(body: unknown, init: Parameters<TestCollector['send']>[1] = {}) {
  const before = recorded()
  const { status, json, headers } = await send(body, init)
  expect(headers.get('content-type')).toMatch(/^application\/problem\+json/)
  expect(json.type).toBe(`urn:killick:problem:${json.code}`)
  expect(recorded()).toBe(before)
  return { status, ...json }
}

test('a configuration with faults names all of them at once', () => {
  const bad = { url: 'ftp://x', source: 'Edge 1', spool: 1, spol: 's', listen: { port: 99_999 }, limits: { ids: 1 } }
  const emitters = [{ name: 'a b', keys: ['x'] }, { name: 'c' }, { name: 'd', certificates: ['dns:d'] }]
  try {
    checkCollectorConfig({ ...bad, emitters, fields: ['id'] })
    expect.unreachable()
  } catch (error) {
    expect(error).toBeInstanceOf(GatewayStartError)
    const { code, faults } = error as GatewayStartError
    expect(code).toBe('gateway_config_invalid')
    expect(faults).toContain('/spol is not a setting; did you mean spool?')
    const places = faults.map((fault) => fault.split(' ')[0])
    const wanted = ['/url', '/key', '/spool', '/spol', '/source', '/listen/port', '/limits/ids', '/fields']
    const ofEmitters = ['/emitters/0/name', '/emitters/0/keys', '/emitters/1', '/listen/tls/clientCa']
    expect(places).toEqual(expect.arrayContaining([...wanted, ...ofEmitters]))
  }
})

test('the configuration that the guide begins with is in order, once a key is in it', () => {
  const guide = readFileSync(new URL('../../docs/guides/collector.md', import.meta.url), 'utf8')
  const [, printed] = /`collector\.json`:\n\n```json\n([\s\S]*?)```/.exec(guide)!
  const config = JSON.parse(printed!.replace('<prefix>:<hash>', makeEmitterKey().entry))
  expect(checkCollectorConfig(config).emitters).toHaveLength(3)
})

test('where the guide has syslog listen, other machines can send to', () => {
  const guide = readFileSync(new URL('../../docs/guides/collector.md', import.meta.url), 'utf8')
  const [, printed] = /```json\n("syslog": .*)\n```/.exec(guide)!
  const { udpEmitter, ...syslog } = JSON.parse(`{${printed}}`).syslog
  const { entry } = makeEmitterKey()
  const config = checkCollectorConfig({
    ...{ url: 'http://127.0.0.1:1', source: 'edge-1', key: 'k', spool: 's', mappings: { sshd: { event: {} } } },
    listen: { port: 1, tls: { cert: 'c', key: 'k', clientCa: 'ca' } },
    emitters: [{ name: 'a', keys: [entry] }, { name: udpEmitter }],
    syslog: { udpEmitter, ...syslog },
  })
  expect(config.syslog?.host).toBe('0.0.0.0')
})

describe('who sends', () => {
  test('is asked for before anything is read', async () => {
    for (const shown of [null, 'nonsense', makeEmitterKey().key, `${key.slice(0, -1)}_`])
      expect(await refused(sample(1), { key: shown })).toMatchObject({ status: 401, code: 'emitter_unknown' })
    const basic = Buffer.from(`anyone:${key}`).toString('base64')
    expect(await send(sample(1), { key: null, headers: { authorization: `Basic ${basic}` } })).toMatchObject({
      status: 200,
    })
  })

  test('may record as its key says, and the tenant of a key that has one is written for it', async () => {
    const code = async (body: object, init = {}) => (await refused(body, init)).code
    expect(await code(sample(1, { source: 'billing' }))).toBe('emitter_source_refused')
    const billing = { key: KEYS.billing.key }
    expect(await code(sample(1), billing)).toBe('emitter_action_refused')
    const pay = { ...sample(1), action: 'invoice.pay' }
    expect(await code({ ...pay, context: { tenant: 'other' } }, billing)).toBe('emitter_tenant_refused')
    expect(await refused([pay, { ...pay, context: { tenant: 'other' } }], billing)).toMatchObject({ at: '/1' })
    expect(await send(pay, billing)).toMatchObject({ status: 200 })
  })

  test('on the unix socket is whom the configuration names, unless it shows a key', async () => {
    const ask = (headers: Record<string, string>) =>
      new Promise<{ status: number; body: string }>((resolve, reject) => {
        const path = { socketPath: join(edge.folder, 'collect.sock'), path: '/v1/events', method: 'POST' }
        const asking = request(
          { ...path, headers: { 'content-type': 'application/json', ...headers } },
          async (answer) => resolve({ status: answer.statusCode!, body: await text(answer) }),
        )
        asking.on('error', reject).end(JSON.stringify(sample(1, { source: 'local' })))
      })
    expect(await ask({})).toMatchObject({ status: 200 })
    expect(await ask({ authorization: `Bearer ${key}` })).toMatchObject({ status: 403 })
  })
})

// Node makes no certificates.
test.skipIf(findTool('openssl') === null)(
  'a client certificate is an identity if the CA that is named has signed it',
  async () => {
    const made = await withCertificates()
    const { ca, file, url, stop } = made
    try {
      const ask = (name: string | null) =>
        new Promise<number | string>((resolve) => {
          const files = name && {
            cert: readFileSync(file(`${name}.crt`)),
            key: readFileSync(file(`${name}.key`)),
          }
          const options = {
            method: 'POST',
            ca,
            ...files,
            headers: { 'content-type': 'application/json' },
            agent: false,
          }
          const asking = requestTls(`${url}/v1/events`, options as object, (answer: IncomingMessage) => {
            answer.resume()
            resolve(answer.statusCode!)
          })
          asking.on('error', (error) => resolve((error as NodeJS.ErrnoException).code ?? ''))
          asking.end(JSON.stringify(sample(1)))
        })
      expect(await ask('payroll')).toBe(200)
      // Signed by the CA, and nobody's; signed by itself, with the name of an emitter; none at all.
      expect([await ask('other'), await ask('forged'), await ask(null)]).toEqual([401, 401, 401])
      // By TLS 1.2 a client that begins with the one could go on with the other.
      const [cert, key] = ['crt', 'key'].map((kind) => readFileSync(file(`other.${kind}`)))
      const port = Number(new URL(url!).port)
      const changing = connectTls({ port, ca, servername: 'localhost', maxVersion: 'TLSv1.2', cert, key })
      await once(changing, 'secureConnect')
      const change = await new Promise((resolve) => {
        changing.once('error', resolve)
        changing.renegotiate({}, resolve)
      })
      changing.destroy()
      expect(change).toMatchObject({ code: 'ERR_SSL_NO_RENEGOTIATION' })
      // The image asks for its health with TLS and without.
      expect([await healthOf(url), await healthOf(edge.url)]).toEqual([0, 0])
      expect(await healthOf('http://127.0.0.1:1')).toBe(1)
      // The key of another certificate.
      const tls = { cert: file('server.crt'), key: file('other.key') }
      await expect(testCollector(NOWHERE, { listen: { port: 0, tls } })).rejects.toMatchObject({
        code: 'gateway_start_failed',
        message: expect.stringMatching(/^listen\.tls: .*other\.key is not the key of .*server\.crt/),
      })
      // By an empty file Node would let in whoever has a certificate of an authority that Node knows.
      writeFileSync(file('empty'), '')
      const noCa = { cert: file('server.crt'), key: file('server.key'), clientCa: file('empty') }
      await expect(testCollector(NOWHERE, { listen: { port: 0, tls: noCa } })).rejects.toMatchObject({
        message: expect.stringMatching(/^listen\.tls\.clientCa: .*empty: it holds no certificate$/),
      })
    } finally {
      await stop()
    }
  },
)

test('a token in the place of its file is shown nowhere', async () => {
  const readerToken = randomBytes(24).toString('base64url')
  const error = await testCollector(NOWHERE, { readerToken }).catch((failed: Error) => failed)
  expect(error).toMatchObject({
    code: 'gateway_start_failed',
    message: expect.stringMatching(/^readerToken: there is no file/),
  })
  expect(inspect(error)).not.toContain(readerToken)
})

/** How the health check of the gateway's image ends, where the port is that of a URL. */
async function healthOf(url: string | null): Promise<number> {
  const image = readFileSync(new URL('../../anchor-service/deploy/Containerfile', import.meta.url), 'utf8')
  const [, command] = /^FROM common AS gateway$[\s\S]*?^HEALTHCHECK .*\n +CMD (\[.*\])$/m.exec(image)!
  const [, ...args] = JSON.parse(command!) as string[]
  const asking = spawn(process.execPath, args, { env: { PORT: new URL(url!).port }, stdio: 'ignore' })
  const [code] = await once(asking, 'exit')
  return code
}

async function withCertificates() {
  const made = await testCollector(NOWHERE)
  const { issue, file } = certifier(made.folder)
  issue('server', 'DNS:localhost,IP:127.0.0.1')
  issue('payroll', 'DNS:payroll.internal')
  issue('other', 'DNS:other.internal')
  issue('forged', 'DNS:payroll.internal', false)
  const tls = { cert: file('server.crt'), key: file('server.key'), clientCa: file('ca.crt') }
  const secure = await testCollector(NOWHERE, {
    listen: { port: 0, tls },
    emitters: [{ name: 'payroll', certificates: ['dns:payroll.internal'] }],
  })
  const stop = async () => {
    await secure.stop()
    await made.stop()
  }
  return { file, url: secure.url, ca: readFileSync(tls.clientCa), stop }
}

describe('what is sent', () => {
  const type = 'application/x-ndjson'

  test.each<[string, unknown, Parameters<TestCollector['send']>[1], object]>([
    ['text that is no JSON', '{', {}, { status: 400, code: 'json_invalid' }],
    ['a member twice', '{"action":"a","action":"b"}', {}, { status: 400, code: 'json_duplicate_member' }],
    ['a number that would be rounded', '{"n":9007199254740993}', {}, { status: 400, code: 'json_number_inexact' }],
    ['deep JSON', '['.repeat(20_000), {}, { status: 400, code: 'json_too_deep' }],
    ['a text', '"event"', {}, { status: 400, code: 'collect_input_invalid' }],
    ['broken UTF-8', Buffer.from([0x22, 0xff, 0x22]), {}, { status: 400, code: 'collect_encoding_invalid' }],
    ['no action', { actor: { type: 'a', id: 'b' } }, {}, { status: 400, code: 'field_invalid', field: '/action' }],
    ['an unknown field', sample(1, { regoin: 1 }), {}, { code: 'field_invalid', meant: 'region' }],
    ['the second of two', [sample(1), { action: 'a' }], {}, { code: 'field_invalid', at: '/1', field: '/actor' }],
    [
      'what only the collector says',
      sample(1, { collected: {} }),
      {},
      { code: 'collect_input_invalid', field: '/collected' },
    ],
    ['an id that is no text', sample(1, { id: 7 }), {}, { code: 'collect_input_invalid', at: '/id' }],
    ['another media type', 'a=b', { type: 'application/x-www-form-urlencoded' }, { status: 415 }],
    ['another encoding', '{}', { headers: { 'content-encoding': 'br' } }, { status: 415 }],
    ['no gzip', '{}', { headers: { 'content-encoding': 'gzip' } }, { status: 400, code: 'collect_encoding_invalid' }],
    [
      'half a gzip',
      gzipSync('{"a":"aaaa"}').subarray(0, 15),
      { headers: { 'content-encoding': 'gzip' } },
      { status: 400 },
    ],
    ...['application/json', type].map((type): [string, Buffer, object, object] => [
      `a second frame of ${type}`,
      Buffer.concat(Array(2).fill(zstdCompressSync(JSON.stringify(sample(1))))),
      { type, headers: { 'content-encoding': 'zstd' } },
      { status: 400, code: 'collect_encoding_invalid' },
    ]),
    ['a bomb', gzipSync(Buffer.alloc(50 << 20, 32)), { headers: { 'content-encoding': 'gzip' } }, { status: 413 }],
    [
      'a bomb of lines',
      gzipSync(Buffer.alloc(50 << 20, 10)),
      { type, headers: { 'content-encoding': 'gzip' } },
      { status: 413 },
    ],
    ['a long line', 'x'.repeat(70_000), { type }, { status: 413 }],
    ['too many events', Array.from({ length: 101 }, (_, i) => sample(i)), {}, { status: 413, maxEvents: 100 }],
    ['a goal that there is not', sample(1), { path: '/v1/events?wait=forever' }, { code: 'collect_request_invalid' }],
    ['another address', sample(1), { path: '/v1/event' }, { status: 404, code: 'collect_not_found' }],
  ])('%s is refused, with its place', async (_, body, init, expected) => {
    expect(await refused(body, init)).toMatchObject(expected)
  })

  test('a body without end is refused as soon as it is too long', async () => {
    const { port } = new URL(edge.url)
    const socket = connect(Number(port), '127.0.0.1')
    socket.write(
      `POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`,
    )
    const chunk = `8000\r\n${'x'.repeat(0x8000)}\r\n`
    let sent = 0
    socket.on('error', () => {})
    const closed = new Promise((resolve) => socket.once('close', resolve))
    const more = () => {
      while (!socket.destroyed && sent < 1 << 30 && socket.write(chunk)) sent += chunk.length
    }
    socket.on('drain', more)
    more()
    await closed
    expect(sent).toBeLessThan(64 << 20)
  })

  test('lines before one at fault are recorded, and the answer says how many', async () => {
    const before = recorded()
    const lines = [sample(1), sample(2), { action: 'x' }, sample(4)].map((each) => JSON.stringify(each))
    lines.splice(1, 0, '')
    // Each line on its own, as they may arrive.
    const body = zstdCompressSync(Buffer.from(lines.join('\n')))
    const { status, json } = await send(body, { type, headers: { 'content-encoding': 'zstd' } })
    expect(status).toBe(400)
    expect(json).toMatchObject({ code: 'field_invalid', at: 'line 4', recorded: 0 })
    expect(recorded()).toBe(before)
    const many = [...Array.from({ length: 250 }, (_, i) => sample(i)), { action: 'x' }]
    const answer = await send(many.map((each) => JSON.stringify(each)).join('\n'), { type })
    expect(answer.json).toMatchObject({ code: 'field_invalid', at: 'line 251', recorded: recorded() - before })
    expect(recorded() - before).toBeGreaterThanOrEqual(200)
  })
})

describe('an id', () => {
  test('that was sent gets the same answer, over restarts; with other content it is refused', async () => {
    const event = sample(1, { id: 'once', metadata: { a: 1, b: { c: 2, d: [3] } } })
    const sorted = sample(1, { metadata: { b: { d: [3], c: 2 }, a: 1 }, id: 'once' })
    const first = await send(event)
    const before = recorded()
    expect((await send(sorted)).json).toEqual(first.json)
    const others = [await send([event, event]), await send(sample(2), { headers: { 'idempotency-key': 'k' } })]
    expect(others[0]!.json.events).toEqual([first.json, first.json].map(({ id, seq, time }) => ({ id, seq, time })))
    expect(recorded()).toBe(before + 1)
    // As other sources, it is another id.
    expect((await send(sample(1, { id: 'once', source: 'hr-a' }))).json.id).not.toBe(first.json.id)

    await edge.restart()
    const now = recorded()
    expect((await send(event)).json.id).toBe(first.json.id)
    expect((await send(sample(2), { headers: { 'idempotency-key': 'k' } })).json.id).toBe(others[1]!.json.id)
    expect(await refused(sample(9, { id: 'once' }))).toMatchObject({ status: 409, event: first.json.id })
    expect(await refused([sample(5), sample(9, { id: 'once' })])).toMatchObject({ code: 'sender_id_reused', at: '/1' })
    expect(await refused([sample(6, { id: 'twice' }), sample(7, { id: 'twice' })])).toMatchObject({ status: 409 })
    expect(recorded()).toBe(now)
  })

  test('is recorded once, however many send it at the same time', async () => {
    const before = recorded()
    const answers = await Promise.all(Array.from({ length: 6 }, () => send(sample(1, { id: 'storm' }))))
    expect(new Set(answers.map(({ json }) => json.id)).size).toBe(1)
    expect(recorded()).toBe(before + 1)
  })

  test('that is found in the spool alone is remembered', async () => {
    const { json } = await send(sample(3, { id: 'spooled' }))
    await edge.collector.close()
    // What a power cut may leave of a file that was not synced.
    writeFileSync(join(edge.folder, 'spool/ids/0000000001.ids'), '')
    await edge.restart()
    expect((await send(sample(3, { id: 'spooled' }))).json.id).toBe(json.id)
  })
})

describe('load', () => {
  /** Requests that have begun and do not go on. */
  async function stall(count: number): Promise<Socket[]> {
    const { port } = new URL(edge.url)
    const sockets = Array.from({ length: count }, () => connect(Number(port), '127.0.0.1'))
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy()
    })
    const head = `POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{`
    await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.write(head, resolve))))
    return sockets
  }

  test('of one emitter leaves room for the next, and what trickles in is cut off in time', async () => {
    let sockets: Socket[] = []
    let ends: Promise<string>[] = []
    const answer = async () => {
      // Where the machine stands still for a moment, all of them are cut off before anybody else has asked.
      if (sockets.every(({ readableEnded }) => readableEnded)) {
        sockets = await stall(12)
        ends = sockets.map((socket) => text(socket))
      }
      const { status, headers } = await send(sample(1))
      return [status, headers.get('retry-after')]
    }
    await expect.poll(answer).toEqual([429, '1'])
    const pay = { ...sample(1), action: 'invoice.pay' }
    expect(await send(pay, { key: KEYS.billing.key })).toMatchObject({ status: 200 })
    const answers = (await Promise.all(ends)).map((answer) => answer.split(' ')[1])
    expect(answers.filter((status) => status === '408').length).toBeGreaterThanOrEqual(8)
    expect(answers.every((status) => status === '408' || status === '429')).toBe(true)
    expect(await send(sample(1))).toMatchObject({ status: 200 })
  })

  test('is counted', async () => {
    const page = await (await fetch(`${edge.url}/metrics`)).text()
    expect(page).toMatch(/killick_collector_events_total\{emitter="payroll",via="json"\} \d+/)
    expect(page).toMatch(/killick_collector_repeated_events_total\{emitter="payroll",via="json"\} [1-9]/)
    expect(page).toMatch(/killick_collector_refusals_total\{code="emitter_busy",emitter="payroll",via="json"\} [1-9]/)
    // Now and then it tries the ledger, which is nowhere, and says that it sends.
    const ready = async () => (await fetch(`${edge.url}/readyz`)).json()
    await expect.poll(ready).toMatchObject({ status: 'ready', ledger: 'waiting' })
    expect(await (await fetch(`${edge.url}/healthz`)).json()).toEqual({ status: 'ok' })
  })
})

test('a full spool and a full disk refuse, and nothing that was answered is lost', async () => {
  // What fills a spool with its first events is told how many these are.
  const pads = Array.from({ length: 9 }, (_, n) => sample(n, { metadata: { pad: 'x'.repeat(100_000) } }))
  for (const [body, type] of [
    [pads, 'application/json'],
    [pads.map((each) => JSON.stringify(each)).join('\n'), 'application/x-ndjson'],
  ] as const) {
    const part = await testCollector(NOWHERE, { limits: { spoolBytes: 1 << 20 } })
    const { json } = await part.send(body, { type })
    const { recorded } = part.collector.log.status
    await part.stop()
    expect(recorded).toBeGreaterThan(0)
    expect(json).toMatchObject({ code: 'spool_full', recorded })
  }
  const disk = smallDisk(4)
  try {
    const full = await testCollector(NOWHERE, { spool: join(disk.folder, 'spool'), limits: { spoolBytes: 1 << 20 } })
    const pad = (n: number) => sample(n, { id: `pad-${n}`, metadata: { pad: 'x'.repeat(50_000) } })
    const fill = async (from: number) => {
      for (let n = from; ; n++) {
        const { status, json, headers } = await full.send(pad(n))
        if (status !== 200) return { n, status, code: json.code, after: headers.get('retry-after') }
      }
    }
    const first = await fill(0)
    expect(first).toMatchObject({ status: 503, code: 'spool_full', after: '5' })
    disk.fill()
    expect((await full.send(pad(0))).status).toBe(200)
    disk.free()
    await full.restart()
    expect(full.collector.log.status.recorded).toBe(first.n)
    for (const n of [0, first.n - 1]) expect(await full.send(pad(n))).toMatchObject({ status: 200 })
    expect(full.collector.log.status.recorded).toBe(first.n)
    await full.stop()
  } finally {
    disk.remove()
  }
})

test('a body in pieces of one byte takes as much memory as it has bytes, and a line as much time', async () => {
  setFlagsFromString('--expose-gc')
  const heap = () => {
    runInNewContext('gc')()
    return process.memoryUsage().heapUsed
  }
  const memory = new FairShare(1 << 20)
  const server = createServer(async (req, res) => {
    const { bytes } = await readWhole(req, { maxBytes: 100_000, memory, emitter: 'a' })
    res.end(`${bytes.length} ${bytes.every((each) => each === 0x78)}`)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void server.close())
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.write('POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n')
  const pieces = Buffer.from('1\r\nx\r\n'.repeat(50_000))
  const before = heap()
  socket.write(pieces)
  await vi.waitUntil(() => memory.total === 50_000, 20_000)
  expect(heap() - before).toBeLessThan(4e6)
  socket.end('0\r\n\r\n')
  expect(await text(socket)).toMatch(/50000 true/)

  const small = Array.from({ length: 200 }, () => Buffer.from('x'))
  const body = Object.assign(Readable.from([Buffer.alloc(8 << 20, 'x'), ...small, Buffer.from('\ny')]), { headers: {} })
  const start = process.cpuUsage()
  const limits = { maxBytes: 16 << 20, memory: new FairShare(1 << 26), emitter: 'a' }
  const lines: number[] = []
  for await (const each of readLines(body as unknown as IncomingMessage, limits, 1 << 26))
    lines.push(...each.lines.map(({ text }) => text.length))
  expect(lines).toEqual([(8 << 20) + 200, 1])
  const { user, system } = process.cpuUsage(start)
  expect((user + system) / 1000).toBeLessThan(500)
})
