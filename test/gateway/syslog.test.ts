import { createSocket } from 'node:dgram'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { get } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { connect } from 'node:tls'
import { parseEvent } from '@killick/sdk/core'
import { describe, expect, onTestFinished, test } from 'vitest'
import { readMessage } from '../../gateway/src/syslog/message.ts'
import { findTool } from '../../scripts/lib/tools.ts'
import { certifier, NOWHERE, serialIn, shownSerial, type TestCollector, testCollector, withLooks } from './support.ts'

const SSHD = '<86>1 2026-11-27T10:00:00.003Z web-1 sshd 4711 - [origin ip="192.0.2.1"] Accepted publickey for ada'

async function withSyslog(settings: Parameters<typeof testCollector>[1]): Promise<TestCollector> {
  const edge = await testCollector(NOWHERE, settings)
  onTestFinished(() => edge.stop())
  return edge
}

/** The fields of every event in the spool, oldest first. */
const inSpool = ({ folder }: TestCollector) =>
  readdirSync(join(folder, 'spool'))
    .filter((name) => name.endsWith('.log'))
    .flatMap((name) => readFileSync(join(folder, 'spool', name), 'latin1').split('\n'))
    .filter((line) => line.startsWith('E '))
    .map((line) => parseEvent(line.split(' ')[3]!).fields)

const refusals = async (edge: TestCollector) =>
  [
    ...(await (await fetch(`${edge.url}/metrics`)).text()).matchAll(
      /refusals_total\{code="(\w+)",emitter="(\w*)",via="syslog"\} (\d+)/g,
    ),
  ].map(([, code, emitter, count]) => [code, emitter, Number(count)])

describe('a message of RFC 5424', () => {
  const read = (text: string | Buffer) => readMessage(Buffer.from(text))
  // The examples of RFC 5424 §6.5.
  test.each<[string, object]>([
    [
      "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \ufeff'su root' failed for lonvick on /dev/pts/8",
      {
        ...{ facility: 'auth', severity: 'crit', timestamp: '2003-10-11T22:14:15.003Z', host: 'mymachine.example.com' },
        ...{ app: 'su', messageId: 'ID47', message: "'su root' failed for lonvick on /dev/pts/8" },
      },
    ],
    [
      '<165>1 2003-10-11T22:14:15.003Z m evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="A\\"p\\]\\\\" iut="4"][examplePriority@32473 class="high"] text',
      {
        ...{ facility: 'local4', severity: 'notice', message: 'text' },
        data: {
          'exampleSDID@32473': { iut: ['3', '4'], eventSource: 'A"p]\\' },
          'examplePriority@32473': { class: 'high' },
        },
      },
    ],
    ['<13>1 - h a - - - \ufeffa\ufeffb', { message: 'a\ufeffb' }],
    ['<13>1 - h a - - - a\ufeffb', { message: 'a\ufeffb' }],
    ['<0>1 - - - - - -', { facility: 'kern', severity: 'emerg' }],
  ])('%s', (text, expected) => {
    expect(read(text)).toMatchObject(expected)
  })

  test('keeps a text that is not UTF-8, and says so', () => {
    expect(read(Buffer.from('<13>1 - h a - - - Gr\xfc\xdfe', 'latin1'))).toMatchObject({
      message: 'Grüße',
      encoding: 'latin1',
    })
  })

  test('has the names that its sender gave, also those that every object has', () => {
    const { data } = read('<13>1 - h a - - [constructor toString="1" toString="2"][x __proto__="3"] t')
    expect(JSON.stringify(data)).toBe('{"constructor":{"toString":["1","2"]},"x":{"__proto__":"3"}}')
  })

  test.each([
    '',
    '<13>Oct 11 22:14:15 old style',
    '<192>1 - - - - - -',
    '<13>1 - h a - - [x y="z] t',
    '<13>1 - h a - - [x][x] t',
  ])('is not: %s', (text) => expect(() => read(text)).toThrow('no message of RFC 5424'))
})

test('over UDP a message becomes an event that says it is unsigned; others are counted', async () => {
  const edge = await withSyslog({ syslog: { udpPort: 0, udpEmitter: 'payroll' } })
  const socket = createSocket('udp4')
  onTestFinished(() => void socket.close())
  const send = (text: string) => socket.send(text, edge.collector.syslog.udpPort!, '127.0.0.1')
  send(SSHD)
  send('nonsense')
  await expect.poll(() => edge.collector.log.status.recorded).toBe(1)
  expect(inSpool(edge)).toEqual([
    {
      ...{ action: 'syslog.sshd', actor: { type: 'host', id: 'web-1' }, targets: [{ type: 'process', id: 'sshd' }] },
      occurredAt: '2026-11-27T10:00:00.003Z',
      metadata: {
        upstream: 'unsigned',
        syslog: expect.objectContaining({ message: 'Accepted publickey for ada', process: '4711' }),
      },
      collected: { by: 'edge-1', emitter: 'payroll', auth: 'none', source: 'payroll', via: 'syslog' },
    },
  ])
  await expect.poll(() => refusals(edge)).toEqual([['collect_input_invalid', 'payroll', 1]])
})

// Node makes no certificates.
test.skipIf(findTool('openssl') === null)(
  'over TLS frames are read however they are cut, from known certificates only',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'killick-syslog-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    const { issue, file } = certifier(folder)
    for (const name of ['localhost', 'web', 'stranger']) issue(name, `DNS:${name}`)
    const start = () =>
      withSyslog({
        listen: { port: 0, tls: { cert: file('localhost.crt'), key: file('localhost.key'), clientCa: file('ca.crt') } },
        emitters: [{ name: 'web', certificates: ['dns:web'] }],
        syslog: { tlsPort: 0 },
      })
    await withLooks(async (look) => {
      const renewed = await start()
      issue('localhost', 'DNS:localhost')
      look()
      const ports = [renewed.collector.syslog.tlsPort!, Number(new URL(renewed.url).port)]
      const own = { cert: readFileSync(file('web.crt')), key: readFileSync(file('web.key')) }
      const shown = await Promise.all(ports.map((port) => shownSerial(port, own)))
      expect(shown).toEqual(ports.map(() => serialIn(file('localhost.crt'))))
    })
    const edge = await start()
    const open = (name: string | null) => {
      const own = name && { cert: readFileSync(file(`${name}.crt`)), key: readFileSync(file(`${name}.key`)) }
      const options = {
        port: edge.collector.syslog.tlsPort!,
        host: '127.0.0.1',
        servername: 'localhost',
        ca: readFileSync(file('ca.crt')),
      }
      const socket = connect({ ...options, ...own })
      onTestFinished(() => void socket.destroy())
      socket.on('error', () => {})
      return socket
    }
    const frame = (text: string) => `${Buffer.byteLength(text)} ${text}`
    const socket = open('web')
    const all = frame(SSHD) + frame('<13>1 - h ü - - - Größe') + frame('nonsense') + frame(SSHD)
    for (let at = 0; at < all.length; at += 7) {
      socket.write(all.slice(at, at + 7))
      if (at % 35 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await expect.poll(() => edge.collector.log.status.recorded).toBe(3)
    expect(inSpool(edge)[1]).toMatchObject({ action: 'syslog.ü', collected: { emitter: 'web', auth: 'certificate' } })
    // A peer that is gone without a word is asked for; one that is there may be silent for as long as it likes.
    const local = `:${edge.collector.syslog.tlsPort!.toString(16).toUpperCase().padStart(4, '0')}`
    const connections = readFileSync('/proc/net/tcp', 'latin1')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
    const timers = connections.filter(([, address, , state]) => address?.endsWith(local) && state === '01')
    expect(timers.map(([, , , , , timer]) => timer?.slice(0, 2))).toEqual(['02'])
    const ended = (other: ReturnType<typeof open>) => new Promise((resolve) => other.resume().once('close', resolve))
    socket.write('x'.repeat(10))
    await ended(socket)
    await Promise.all([open('stranger'), open(null)].map(ended))
    const cut = open('web')
    cut.end(frame(SSHD).slice(0, -1))
    await ended(cut)
    expect(edge.collector.log.status.recorded).toBe(3)
    // Of the two frames that were none.
    const metrics = await new Promise<IncomingMessage>((resolve) =>
      get(`${edge.url}/metrics`, { ca: readFileSync(file('ca.crt')), servername: 'localhost' }, resolve),
    )
    expect(await text(metrics)).toMatch(/refusals_total\{code="collect_input_invalid",emitter="",via="syslog"\} 2\n/)
  },
)
