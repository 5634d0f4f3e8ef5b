// However bundles are read, line by line or in stretches by any number of threads, they get the same verdict, word for word.
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type BundleTrust, type BundleVerdict, type CheckSignature, verifyBundle } from '@killick/sdk/bundle'
import {
  type Hash,
  leafHash,
  printCheckpoint,
  printHash,
  printVkey,
  publicKeyBytes,
  registrationFields,
  SYSTEM,
  signNote,
  treeRoot,
  utf8,
} from '@killick/sdk/core'
import { type AnchorFact, parseHash } from '@killick/sdk/verify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { archive } from '../../../scripts/lib/vectors/bundle-world.ts'
import { printManifest } from '../../../sdk/src/bundle/manifest.ts'
import { openBundleThreads, verifyBundleOn } from '../../../sdk/src/node/bundle/verify-bundle.ts'
import { openReadingThreads, type ReadingThreads } from '../../../sdk/src/node/in-threads.ts'
import { nodePrimitives } from '../../../sdk/src/node/primitives.ts'
import { verifyNatively } from '../../../sdk/src/node/signature.ts'
import { newSigner, Producer, sampleEvent } from '../../anchor-service/support/producer.ts'
import { vectors } from '../../support/vectors.ts'

const ORIGIN = 'threads.example/log'
const [system, billing, stranger, log] = [newSigner(), newSigner(), newSigner('P-256'), newSigner()]
const trust: BundleTrust = { logKeys: [printVkey(ORIGIN, publicKeyBytes(log.jwk))] }
/** One that reads all itself, and threads that all tests share. */
const several = [0, 1, 2, 4].map((most) => openBundleThreads(most))

/** Lines of `log.txt`, and the log's leaves. */
type Fixture = { readonly lines: readonly string[]; readonly leaves: readonly Hash[] }
let whole: Fixture
/** An entry that was signed by another key than it names, and chained to honestly. */
let forged: Fixture

async function* chunksOf(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length)
}

/** A bundle that fits to its lines, whatever they are. */
function bundleOf({ lines, leaves }: Fixture): Uint8Array {
  const root = treeRoot(leaves)
  const text = printCheckpoint({ origin: ORIGIN, size: leaves.length, root })
  const sign = log.sign as (message: Uint8Array) => Uint8Array
  const manifest = printManifest({
    scope: { kind: 'source', source: 'billing', from: 0, to: leaves.length, since: null, until: null },
    checkpoint: signNote(text, ORIGIN, publicKeyBytes(log.jwk), sign),
    anchors: [],
    made: { at: '2027-01-01T00:00:00.000Z', url: 'https://threads.example' },
  })
  return archive({ manifest, log: lines.map((line) => `${line}\n`).join('') })
}

const checkSignature: CheckSignature = (jwk, { input, bytes }) => verifyNatively(jwk, input, bytes)
/** As browsers do it, but later, and in another order. */
const checkLater: CheckSignature = async (jwk, signature) => {
  await new Promise((resolve) => setImmediate(signature.bytes[0]! % 2 ? resolve : () => setImmediate(resolve)))
  return checkSignature(jwk, signature)
}

/** The verdict of one reading, line by line, which every other must come to as well. */
async function verdictOf(bytes: Uint8Array, given: BundleTrust = trust): Promise<BundleVerdict> {
  const own = { primitives: nodePrimitives, checkSignature }
  const verdict = await verifyBundle(chunksOf(bytes, 10_007), given, own)
  expect(await verifyBundle(chunksOf(bytes, 1 << 20), given, { ...own, checkSignature: checkLater })).toEqual(verdict)
  for (const threads of several) expect(await verifyBundleOn(threads, chunksOf(bytes, 1 << 18), given)).toEqual(verdict)
  return verdict
}

/** Waits until threads read what they are given. */
async function started<Asked, Answered>(threads: ReadingThreads<Asked, Answered>): Promise<void> {
  for (let isHere = true; isHere; )
    isHere = await threads.read(
      1 << 20,
      async () => true,
      async () => false,
    )
}

const headerOf = (header: string) => leafHash(utf8(header))

beforeAll(async () => {
  const ledger = new Producer(SYSTEM.source, system, SYSTEM.stream)
  const streams = ['one', 'two'].map((stream) => new Producer('billing', billing, stream))
  const other = new Producer('other', stranger)
  const lines: string[] = []
  const leaves: Hash[] = []
  const carry = (header: string, tokens: readonly string[]) => {
    lines.push(`H ${header}`, ...tokens.map((token) => `E ${token}`))
    leaves.push(headerOf(header))
  }
  for (const [source, keys, heartbeat] of [
    [SYSTEM.source, [system], null],
    ['billing', [billing, stranger], 60],
  ] as const) {
    const fields = registrationFields({
      ...{
        source,
        previous: null,
        eventSignatures: 'optional',
        decoys: false,
        maxAge: null,
        maxAhead: null,
        heartbeat,
      },
      keys: keys.map(({ kid, jwk }) => ({ kid, jwk, notBefore: null, notAfter: null })),
    })
    const batch = await ledger.batch([{ actor: { type: 'service', id: 'killick' }, ...fields }])
    batch.advance()
    carry(batch.header, batch.tokens)
  }
  for (let i = 0; i < 24; i++) {
    const producer = streams[i % 2]!
    const inputs = Array.from({ length: 1 + 3 * (i % 4) }, (_, k) => ({
      ...sampleEvent(k),
      metadata: { text: 'é'.repeat(2000) },
    }))
    const times = inputs.map((_, k) => Date.UTC(2027, 0, 1) + 1000 * (40 * i + k))
    const eventSigner = [billing, stranger, null][i % 3]!
    const batch = await producer.batch(inputs, { times, ...(i % 3 > 0 && { eventSigner }) })
    batch.advance()
    carry(batch.header, batch.tokens)
    if (i % 5 === 0) {
      const foreign = await other.batch([sampleEvent(i)])
      foreign.advance()
      carry(foreign.header, [])
    }
  }
  whole = { lines, leaves }
  const liar = { ...stranger, kid: billing.kid, alg: billing.alg }
  const { header, tokens } = await streams[0]!.batch([sampleEvent(1), sampleEvent(2)], { eventSigner: liar })
  forged = {
    lines: [...lines, `H ${header}`, ...tokens.map((token) => `E ${token}`)],
    leaves: [...leaves, headerOf(header)],
  }
  await Promise.all(several.slice(2).map(started))
}, 60_000)
afterAll(() => Promise.all(several.map((threads) => threads.close())))

/** Where the n-th line of a kind is. */
const nth = (letter: string, n: number) =>
  whole.lines.flatMap((line, i) => (line.startsWith(`${letter} `) ? [i] : [])).at(n)!
const changed = (at: number, change: (line: string) => string) => ({
  ...whole,
  lines: whole.lines.with(at, change(whole.lines[at]!)),
})
const spliced = (at: number, count: number, ...lines: string[]) => ({
  ...whole,
  lines: whole.lines.toSpliced(at, count, ...lines),
})
/** Another character in a signature, which remains base64url. */
const unsign = (line: string) =>
  line.replace(/^([\w -]+\.[\w-]+\.)(.)/, (_, before, one) => before + (one === 'A' ? 'B' : 'A'))
/** The lines of the n-th entry that has events. */
const entry = (n: number): [at: number, count: number] => {
  const starts = [...whole.lines.keys()].filter(
    (i) => /^H/.test(whole.lines[i]!) && /^E/.test(whole.lines[i + 1] ?? ''),
  )
  const end = whole.lines.findIndex((line, i) => i > starts[n]! && line.startsWith('H '))
  return [starts[n]!, (end < 0 ? whole.lines.length : end) - starts[n]!]
}
const hashOf = (line: string) => printHash(leafHash(utf8(line.slice(2).split('~')[0]!)))

const DAMAGES: [what: string, make: () => Fixture, first: string | null][] = [
  ['nothing', () => whole, null],
  ['events are signed by another key than they name', () => forged, 'signature_invalid'],
  ['the signature of an event', () => changed(entry(12)[0] + 2, unsign), 'signature_invalid'],
  ['the signature of a header', () => changed(entry(12)[0], unsign), 'signature_invalid'],
  ['a field of an event is gone', () => changed(nth('E', 61), (line) => line.replace(/~[^~]+~$/, '~')), null],
  ['a byte that is no text', () => changed(nth('E', 62), (line) => `${line}\xe9`), 'event_invalid'],
  ['a header', () => changed(entry(14)[0], (line) => `${line.slice(0, 2)}.${line.slice(2)}`), 'header_invalid'],
  ['an event is gone', () => spliced(nth('E', 60), 1), 'place_mismatch'],
  ['an event twice', () => spliced(nth('E', 64), 0, whole.lines[nth('E', 64)]!), 'place_mismatch'],
  ['an event more at the end', () => spliced(nth('E', 40), 1, whole.lines[nth('E', 40)]!, 'E e30~'), 'event_invalid'],
  [
    'two events change places',
    () => spliced(nth('E', 120), 2, whole.lines[nth('E', 121)]!, whole.lines[nth('E', 120)]!),
    'place_mismatch',
  ],
  ['a header is gone', () => spliced(entry(9)[0], 1), 'place_mismatch'],
  ['the events of an entry are gone', () => spliced(entry(10)[0] + 1, entry(10)[1] - 1), null],
  ['an entry is gone', () => spliced(...entry(11)), 'log_root_mismatch'],
  [
    'an entry twice',
    () => spliced(entry(11)[0], 0, ...whole.lines.slice(entry(11)[0], entry(11)[0] + entry(11)[1])),
    'stream_forked',
  ],
  ['a registration is gone', () => spliced(2, 2, `T 0 ${printHash(whole.leaves[1]!)}`), 'key_unregistered'],
  ['an event is only a hash', () => changed(nth('E', 60), (line) => `N 0 ${hashOf(line)}`), null],
  [
    'an event is another hash',
    () => changed(nth('E', 60), () => `N 0 ${printHash(whole.leaves[0]!)}`),
    'batch_root_mismatch',
  ],
  ['a hash of too many', () => changed(nth('E', 60), (line) => `N 9 ${hashOf(line)}`), 'place_mismatch'],
  [
    'a hash of entries between two that are there',
    () => spliced(entry(8)[0], 0, `T 1 ${printHash(whole.leaves[0]!)}`),
    'log_root_mismatch',
  ],
  ['a line that is none, within an entry', () => spliced(entry(13)[0] + 2, 0, 'Hello'), 'malformed'],
  ['a hash that is none, within an entry', () => spliced(entry(13)[0] + 2, 0, 'T 0 A'), 'malformed'],
  [
    'an erasure that nobody orders',
    () => spliced(nth('E', 60) + 1, 0, `X 90 ${hashOf(whole.lines[0]!)}`),
    'erasure_invalid',
  ],
  ['a line that has no end', () => changed(nth('E', 100), (line) => line + 'A'.repeat(400_000)), 'malformed'],
  ['everything behind a place', () => ({ ...whole, lines: [] }), 'log_root_mismatch'],
]

describe('damaged, and found alike:', () => {
  test.each(DAMAGES)('%s', async (_, make, first) => {
    const verdict = await verdictOf(bundleOf(make()))
    expect(verdict.faults[0]?.reason ?? null).toBe(first)
    expect(verdict.outcome).toBe(first === null ? 'undecided' : 'failed')
    if (first === null) expect(verdict.entries).toBe(whole.leaves.length)
  })

  test('cut off, and turned over', async () => {
    const bytes = bundleOf(whole)
    for (const part of [0.1, 0.31, 0.62, 0.97]) {
      const at = Math.floor(part * bytes.length)
      const cut = await verdictOf(bytes.subarray(0, at))
      expect(cut.faults.map(({ reason }) => reason)).toContain('malformed')
      const turned = Uint8Array.from(bytes)
      turned[at]! ^= 1
      expect((await verdictOf(turned)).outcome).toBe('failed')
    }
  })

  test('more faults than are listed: the first hundred', async () => {
    const lines = whole.lines.map((line) => (line.startsWith('E ') ? unsign(line) : line))
    const { faults, faultCount } = await verdictOf(bundleOf({ ...whole, lines }))
    expect([faults.length, faultCount > 110]).toEqual([100, true])
    const at = faults.map(({ line }) => line!)
    expect(at[0]).toBeLessThan(10)
  })

  type Case = {
    description: string
    manifest: string
    log: string
    forPeople?: [string, string][]
    outcome: string
  } & {
    trust: Omit<BundleTrust, 'facts'> & { facts: (Omit<AnchorFact, 'root'> & { root: string })[] }
  }
  test.each(vectors<Case[]>('bundles'))('$description', async ({ outcome, trust: by, ...files }) => {
    const facts = by.facts.map((fact) => ({ ...fact, root: parseHash(fact.root)! }) as AnchorFact)
    expect((await verdictOf(archive(files), { ...by, facts: async () => facts })).outcome).toBe(outcome)
  })
})

test('an undamaged bundle: what is there, and what lacks', async () => {
  const verdict = await verdictOf(bundleOf(whole))
  const events = whole.lines.filter((line) => line.startsWith('E ')).length - 2
  expect(verdict).toMatchObject({ events, registrations: 2, completeness: { verdict: 'complete', streams: 2 } })
  expect(verdict.silences).toMatchObject({ foundCount: expect.any(Number), pairs: events - 2 })
  const less = await verdictOf(bundleOf(DAMAGES[4]![1]()))
  expect(less.fields).toMatchObject({ hidden: 1, undecided: 0 })
  expect(less.completeness.verdict).toBe('complete')
  const part = await verdictOf(bundleOf(DAMAGES[16]![1]()))
  expect(part.completeness).toMatchObject({ verdict: 'incomplete', gapCount: 1 })
})

test('whoever wants to see the events sees them all, in order', async () => {
  const seen = async (verify: (onEvent: (event: { id: string }, logIndex: number) => void) => Promise<unknown>) => {
    const list: string[] = []
    await verify(({ id }, logIndex) => list.push(`${logIndex} ${id}`))
    return list
  }
  const bytes = bundleOf(whole)
  const lines = await seen((onEvent) =>
    verifyBundle(chunksOf(bytes, 999), trust, { onEvent, primitives: nodePrimitives, checkSignature }),
  )
  expect(lines.length).toBeGreaterThan(100)
  for (const threads of several)
    expect(await seen((onEvent) => verifyBundleOn(threads, chunksOf(bytes, 1 << 18), trust, { onEvent }))).toEqual(
      lines,
    )
})

test('a thread that ends, or fails, ends the check with an error', async () => {
  const entry = new URL('./failing-thread.ts', import.meta.url)
  for (const how of ['ends', 'throws']) {
    const failing = openReadingThreads<never, never>(() => new URL(`?${how}`, entry), 2)
    await started(failing)
    const progress: number[] = []
    const options = { onProgress: ({ bytes }: { bytes: number }) => void progress.push(bytes) }
    await expect(verifyBundleOn(failing, chunksOf(bundleOf(whole), 1 << 20), trust, options)).rejects.toMatchObject({
      code: 'thread_failed',
    })
    expect(progress).toEqual([])
    await failing.close()
  }
})

test.each([0, 2, 3])('given up early, it waits for nothing more, and closes what it reads from (%s)', async (which) => {
  const reason = new Error('enough')
  const stop = new AbortController()
  const chunks = chunksOf(bundleOf(whole).subarray(0, 600_000), 1 << 16)
  let isClosed = false
  const stalled: AsyncIterator<Uint8Array> = {
    async next() {
      const next = await chunks.next()
      if (!next.done) return next
      setImmediate(() => stop.abort(reason))
      return new Promise(() => {})
    },
    async return() {
      isClosed = true
      return { done: true, value: undefined }
    },
  }
  const source = { [Symbol.asyncIterator]: () => stalled }
  const { signal } = stop
  await expect(verifyBundleOn(several[which]!, source, trust, { signal })).rejects.toBe(reason)
  expect(isClosed).toBe(true)
})

test('no more is read than is being checked, however much there is', async () => {
  const bytes = bundleOf(whole)
  for (const [i, threads] of [0, 1, 2, 4].entries()) {
    let [given, checked, most] = [0, 0, 0]
    async function* counted() {
      for await (const chunk of chunksOf(bytes, 1 << 14)) {
        given += chunk.length
        most = Math.max(most, given - checked)
        yield chunk
      }
    }
    await verifyBundleOn(several[i]!, counted(), trust, {
      onProgress: (progress) => {
        checked = progress.bytes
      },
    })
    // Two stretches for each thread, one that is being cut, and the longest entry.
    expect(most).toBeLessThan((2 * threads + 2) * (300 << 10))
  }
})

test('where a process may have no threads, it checks all the same', () => {
  const root = fileURLToPath(new URL('../../..', import.meta.url))
  const sdk = fileURLToPath(new URL('../../../sdk', import.meta.url))
  const code = `
    import { openReadingThreads } from '${new URL('../../../sdk/src/node/in-threads.ts', import.meta.url)}'
    const threads = openReadingThreads(() => new URL('file:///nowhere.ts'), 2)
    const found = []
    for (let i = 0; i < 4; i++)
      found.push(await threads.read(600_000, async () => i, async () => 'there'), threads.ahead())
    await threads.close()
    console.log(found.join())`
  const args = ['--permission', `--allow-fs-read=${root}`, '--no-warnings', '--input-type=module', '-e', code]
  expect(execFileSync(process.execPath, args, { cwd: sdk, encoding: 'utf8' }).trim()).toBe('0,0,1,0,2,0,3,0')
})
