// However many threads read a log, the audit finds the same, in the same words.
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { registrationFields, SYSTEM } from '@killick/sdk/core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Api } from '../../../sdk/src/audit/api.ts'
import { Findings } from '../../../sdk/src/audit/findings.ts'
import { KeyRing } from '../../../sdk/src/audit/keys.ts'
import { walkLedger } from '../../../sdk/src/audit/ledger.ts'
import { openReaders, type Readers } from '../../../sdk/src/audit/readers.ts'
import { readStretches, type Stretch } from '../../../sdk/src/audit/stretches.ts'
import { LogTree } from '../../../sdk/src/audit/tree.ts'
import { newSigner, Producer, sampleEvent } from '../../anchor-service/support/producer.ts'

const system = newSigner()
const billing = newSigner()
const stranger = newSigner('P-256')
/** Batches in wire form. */
const honest: string[] = []
let forged: string
let threads: Readers

/** A service that has these batches, in answers of odd pieces. */
const serving = (batches: readonly string[]): Api => ({
  async *chunks(path) {
    const { from, limit } = Object.fromEntries(new URL(path, 'http://localhost').searchParams)
    const bytes = Buffer.from(batches.slice(Number(from), Number(from) + Number(limit)).join(''), 'latin1')
    for (let at = 0; at < bytes.length; at += 40_961) yield bytes.subarray(at, at + 40_961)
  },
  bytes: () => Promise.reject(new Error('not asked')),
  text: () => Promise.reject(new Error('not asked')),
  json: () => Promise.reject(new Error('not asked')),
  lines: () => {
    throw new Error('not asked')
  },
})

async function walk(readers: Readers, batches: readonly string[]) {
  const findings = new Findings()
  for (const id of ['batches', 'events', 'fields', 'registry', 'streams', 'tiles', 'own']) findings.expect(id, id)
  const lacking: string[] = []
  const seen: number[] = []
  const listed = { rows: new Map(), faults: [], isCut: false }
  const erasures = {
    lacks: (_event: unknown, certain: number, what: string) => void lacking.push(`${certain} ${what}`),
  }
  const keys = new KeyRing({ pinned: [], listed, listedAt: 0, anchors: [], findings, erasures })
  const tree = new LogTree(
    async () => null,
    () => {},
  )
  const walked = await walkLedger({
    ...{ api: serving(batches), size: batches.length, keys, tree, findings, signal: undefined, pace: 0, readers },
    own: [
      {
        ...{ id: 'own', title: 'own' },
        async batch({ events, logIndex, isWhole, event }) {
          if (isWhole) expect(event(0)).toBe(events![0])
          seen.push(logIndex)
          return []
        },
        finish: async () => ({ faults: [], detail: '' }),
      },
    ],
    onBatch: () => {},
    onSize: () => {},
  })
  return { ...walked, lacking, seen, root: tree.root, checks: findings.checks, first: findings.first }
}

async function* stretchesOf(batches: readonly string[]): AsyncGenerator<Stretch> {
  const size = batches.length
  const findings = new Findings()
  yield* readStretches({ api: serving(batches), from: 0, size, page: 8, findings, beforePage: async () => {} })
}

beforeAll(async () => {
  const ledger = new Producer(SYSTEM.source, system, SYSTEM.stream)
  const register = async (source: string, keys: (typeof billing)[], logIndex: number) => {
    const fields = registrationFields({
      ...{ source, previous: null, eventSignatures: 'required', decoys: false, maxAge: null, maxAhead: null },
      ...{ heartbeat: null, keys: keys.map(({ kid, jwk }) => ({ kid, jwk, notBefore: null, notAfter: null })) },
    })
    const batch = await ledger.batch([{ actor: { type: 'service', id: 'killick' }, ...fields }])
    batch.advance()
    honest[logIndex] = batch.body
  }
  await register(SYSTEM.source, [system], 0)
  await register('billing', [billing, stranger], 1)
  const producer = new Producer('billing', billing)
  for (let i = 0; i < 24; i++) {
    const inputs = Array.from({ length: 1 + 7 * (i % 4) }, (_, k) => ({
      ...sampleEvent(k),
      metadata: { text: 'é'.repeat(400) },
    }))
    const batch = await producer.batch(inputs, i % 3 === 0 ? { eventSigner: stranger } : {})
    batch.advance()
    honest.push(batch.body)
  }
  // Signed by another key than it names, and chained to honestly.
  const liar = { ...stranger, kid: billing.kid, alg: billing.alg }
  forged = (await producer.batch([sampleEvent(1), sampleEvent(2)], { eventSigner: liar })).body
  threads = openReaders(2)
  // Until a thread reads: what it is given is gone here.
  for (let isThere = false; !isThere; ) {
    const given: Stretch[] = []
    const noted = async function* () {
      for await (const stretch of stretchesOf(honest)) {
        given.push(stretch)
        yield stretch
      }
    }
    for await (const { bytes } of threads.readAll(noted(), () => [])) expect(bytes.length).toBeGreaterThan(0)
    isThere = given.every(({ bytes }) => bytes.length === 0)
  }
}, 60_000)
afterAll(() => threads.close())

/** Changes a line of a batch, from 0: its header, then its events. */
const changed = (at: number, line: number, change: (text: string) => string): string[] =>
  honest.map((body, i) => {
    const lines = body.split('\n')
    if (i === at) lines[line] = change(lines[line]!)
    return lines.join('\n')
  })
/** Another character in a signature, which remains base64url. */
const unsign = (text: string) =>
  text.replace(/^([\w-]+\.[\w-]+\.)(.)/, (_, before, one) => before + (one === 'A' ? 'B' : 'A'))

const DAMAGES: [what: string, batches: () => readonly string[], failed: readonly string[]][] = [
  ['nothing', () => honest, []],
  ['the signatures of events, before they were chained', () => [...honest, forged], ['events']],
  ['the signature of an event', () => changed(11, 3, unsign), ['events', 'streams']],
  ['the signature of a header', () => changed(12, 0, unsign), ['batches', 'streams']],
  ['a field of an event', () => changed(13, 2, (text) => text.replace(/~[^~]+~$/, '~')), []],
  ['an event', () => changed(14, 1, (text) => `${text}\xe9`), ['events', 'streams']],
  [
    'an event of many, which is gone',
    () => changed(15, 1, () => '').map((body) => body.replace('\n\n', '\n')),
    ['batches', 'events'],
  ],
  ['a header', () => changed(16, 0, (text) => text.slice(1)), ['batches']],
  ['the order of batches', () => honest.toSpliced(17, 2, honest[18]!, honest[17]!), ['streams']],
  ['the registration', () => honest.toSpliced(1, 1), ['batches', 'events', 'registry']],
  ['the end', () => honest.slice(0, 20).concat(honest[20]!.slice(0, 2000)), ['batches']],
  ['too many', () => honest.with(9, honest[9]! + honest.join('')), ['batches', 'registry', 'streams']],
]

test.each(DAMAGES)('damaged: %s; found alike by one thread and by several', async (_, batches, failed) => {
  const alone = await walk(openReaders(1), batches())
  expect(await walk(threads, batches())).toEqual(alone)
  const found = alone.checks.filter(({ status }) => status === 'failed').map(({ id }) => id)
  expect(found.toSorted()).toEqual(failed.toSorted())
})

test('an undamaged log is read to its end; what lacks a field is named', async () => {
  const { events, signatures, seen, lacking } = await walk(threads, honest)
  expect([events, signatures, seen.length]).toEqual([278, 278 + 26, 26])
  expect(lacking).toEqual([])
  const less = await walk(threads, DAMAGES[4]![1]())
  expect(less.lacking).toEqual([expect.stringMatching(/^1 Event [0-9a-f-]{36} \(billing\/.* \d+\)$/)])
})

test('where a process may have no threads, it reads all the same', () => {
  const sdk = fileURLToPath(new URL('../../../sdk', import.meta.url))
  const code = `
    import { openReaders } from '${new URL('../../../sdk/src/audit/readers.ts', import.meta.url)}'
    const stretch = () => ({ first: 0, headers: [], counts: [1], ends: [600_000], bytes: new Uint8Array(600_000).fill(97) })
    const readers = openReaders(2)
    const found = []
    for await (const { readings } of readers.readAll((async function* () { for (let i = 0; i < 4; i++) yield stretch() })(), () => []))
      found.push(readings[0].fault.line)
    await readers.close()
    console.log(found.join())`
  const root = fileURLToPath(new URL('../../..', import.meta.url))
  const args = ['--permission', `--allow-fs-read=${root}`, '--no-warnings', '--input-type=module', '-e', code]
  expect(execFileSync(process.execPath, args, { cwd: sdk, encoding: 'utf8' }).trim()).toBe('1,1,1,1')
})
