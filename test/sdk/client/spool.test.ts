import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { draftEvent, placeEvent, type SignedEvent } from '../../../sdk/src/client/capture.ts'
import { generateKey, signerOf } from '../../../sdk/src/client/key.ts'
import { saltText, uuidv7 } from '../../../sdk/src/client/random.ts'
import { Recorder } from '../../../sdk/src/client/recorder.ts'
import { frame } from '../../../sdk/src/client/segment.ts'
import { Spool, type SpoolOptions } from '../../../sdk/src/client/spool.ts'
import { type JournalChange, printLine } from '../../../sdk/src/client/state.ts'
import { parseBatchHeader, signBatchHeader } from '../../../sdk/src/core/batch.ts'
import { toBase64url } from '../../../sdk/src/core/bytes.ts'
import { printCheckpoint } from '../../../sdk/src/core/checkpoint.ts'
import { type ParsedEvent, parseEvent } from '../../../sdk/src/core/event.ts'
import { asHash, parseHash, printHash } from '../../../sdk/src/core/hash.ts'
import { publicKeyBytes } from '../../../sdk/src/core/jwk.ts'
import { printVkey, signNote } from '../../../sdk/src/core/note.ts'
import { inclusionPath, leafHash as leafHashOfEntry, treeRoot } from '../../support/rfc9162.ts'
import { event, key, tempDir } from './support.ts'

const signer = signerOf(key)

async function openSpool(dir: string, options: Partial<SpoolOptions> = {}): Promise<Spool> {
  const spool = await Spool.open({ dir, source: 'test', key: signer.jwk, maxBytes: 64 << 20, ...options })
  let isOpen = true
  const close = spool.close.bind(spool)
  spool.close = async () => {
    if (isOpen) await close()
    isOpen = false
  }
  onTestFinished(() => spool.close())
  return spool
}

async function put(spool: Spool, n: number): Promise<void> {
  const time = Date.now()
  const placed = placeEvent(
    draftEvent(event(n), { id: uuidv7(time), time, salt: saltText }),
    spool.place,
    signer,
  ) as SignedEvent
  const durable = spool.append(placed)
  expect(durable).not.toBe(false)
  await durable
}

async function putMany(spool: Spool, count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, i) => put(spool, i)))
}

async function all(spool: Spool): Promise<ParsedEvent[]> {
  return (await spool.read(spool.state.accepted, 10_000, 1 << 30)).map((token) => parseEvent(token))
}

/** Signs and stores the header of the next `n` events, and has the log accept it where `logIndex` says so. */
async function batch(spool: Spool, n: number, logIndex?: number): Promise<void> {
  const { source, stream, batched, batchPrev } = spool.state
  const tokens = await spool.read(batched, n, 1 << 30)
  const root = asHash(treeRoot(tokens.map((token) => parseEvent(token).leafHash)))
  const prev = batchPrev === null ? undefined : parseHash(batchPrev)!
  const header = await signBatchHeader(
    { source, stream, seq: batched, n: tokens.length, root, prev, time: Date.now() },
    signer,
  )
  await spool.openBatch(parseBatchHeader(header))
  if (logIndex !== undefined) await accept(spool, logIndex)
}

const logSigner = signerOf(generateKey())
const logKey = printVkey('log', publicKeyBytes(logSigner.jwk))
const sign = (message: Uint8Array) => logSigner.sign(message) as Uint8Array

/** Has a log accept the open batch as entry `logIndex`, its newest; all entries before it are empty. */
async function accept(spool: Spool, logIndex: number): Promise<void> {
  const { source, stream, seq, n, text: header, leafHash } = spool.open!
  const leaves: Uint8Array[] = Array.from({ length: logIndex }, () => emptyLeaf)
  leaves.push(leafHash)
  const size = leaves.length
  const body = printCheckpoint({ origin: 'log', size, root: asHash(treeRoot(leaves)) })
  const checkpoint = signNote(body, 'log', publicKeyBytes(logSigner.jwk), sign)
  const path = inclusionPath(leaves, logIndex).map(toBase64url)
  const receipt = { source, stream, seq, n, logIndex, size, path, checkpoint, header }
  await spool.accept(receipt, { key: logKey, by: 'first_use' })
}
const emptyLeaf = leafHashOfEntry(new Uint8Array(0))

const segments = (dir: string) =>
  readdirSync(dir)
    .filter((name) => name.endsWith('.log'))
    .sort()
const onlySegment = (dir: string) => join(dir, segments(dir)[0]!)

test('a stream goes on after a restart: id, seq, chain, open batch, acceptance', async () => {
  const dir = tempDir()
  const first = await openSpool(dir)
  await putMany(first, 10)
  await batch(first, 4, 7)
  await batch(first, 3)
  const before = first.state
  await first.close()

  const second = await openSpool(dir)
  expect(second.state).toEqual(before)
  expect(second.state).toMatchObject({ seq: 10, batched: 7, accepted: 4, logIndex: 7, checkpoint: { size: 8 } })
  expect(second.open).toMatchObject({ seq: 4, n: 3 })
  await accept(second, 9)
  await put(second, 10)
  const events = await all(second)
  expect(events.map(({ seq }) => seq)).toEqual([7, 8, 9, 10])
  expect(events.slice(1).map(({ prev }) => printHash(prev!))).toEqual(
    events.slice(0, -1).map(({ leafHash }) => printHash(leafHash)),
  )
})

test('a stream whose segments are all gone is still the same stream', async () => {
  const dir = tempDir()
  const first = await openSpool(dir)
  await putMany(first, 5)
  await batch(first, 5, 0)
  const { stream, prev, batchPrev } = first.state
  await first.close()
  expect(readFileSync(onlySegment(dir), 'utf8')).not.toContain('E ')

  const second = await openSpool(dir)
  expect(second.state).toMatchObject({ stream, seq: 5, prev, accepted: 5, batchPrev })
  await put(second, 5)
  expect(await all(second)).toMatchObject([{ seq: 5, stream }])
})

test('segments are begun at their size, and removed once accepted, never sooner', async () => {
  const dir = tempDir()
  const spool = await openSpool(dir, { maxBytes: 1 << 20 })
  for (let i = 0; i < 12; i++) await putMany(spool, 40)
  await batch(spool, 300)
  expect(segments(dir)).toContain('0000000001.log')
  await accept(spool, 0)
  expect(segments(dir)).not.toContain('0000000001.log')
  expect((await all(spool)).map(({ seq }) => seq)).toEqual(Array.from({ length: 180 }, (_, i) => 300 + i))
  await spool.close()
  expect((await all(await openSpool(dir, { maxBytes: 1 << 20 }))).length).toBe(180)
})

test('a segment that cannot be removed holds up nothing, leaves no gap, and goes with the next', async () => {
  const dir = tempDir()
  const told: Error[] = []
  const spool = await openSpool(dir, { maxBytes: 1 << 20, onUnremoved: (error) => told.push(error) })
  for (let i = 0; i < 18; i++) await putMany(spool, 40)
  const [first, second] = segments(dir).map((name) => join(dir, name)) as [string, string]
  await batch(spool, 300)
  // A folder of its name cannot be removed as a file is.
  renameSync(first, `${dir}-first`)
  mkdirSync(first)
  await accept(spool, 0)
  await batch(spool, 400, 1)
  rmSync(first, { recursive: true })
  renameSync(`${dir}-first`, first)
  expect(spool.state.accepted).toBe(700)
  expect(existsSync(second)).toBe(true)
  expect(told[0]!.message).toContain(first)

  const copy = tempDir()
  cpSync(dir, copy, { recursive: true, filter: (path) => !/lock/.test(path) })
  expect(await all(await openSpool(copy, { maxBytes: 1 << 20 }))).toHaveLength(20)
  await batch(spool, 10, 2)
  expect([first, second].filter((file) => existsSync(file))).toEqual([])
  expect(await all(spool)).toHaveLength(10)
})

describe('what is accepted leaves the disk after its time', () => {
  const leaf = async (spool: Spool, place: number) => (await all(spool))[place]!.leaf
  const onDisk = (dir: string, text: string) =>
    segments(dir).some((name) => readFileSync(join(dir, name), 'utf8').includes(text))
  const soon = { interval: 20, timeout: 10_000 }

  test('without another event or a close; what waits stays', async () => {
    const dir = tempDir()
    const spool = await openSpool(dir, { acceptedMs: 300 })
    await putMany(spool, 3)
    const [accepted, waiting] = [await leaf(spool, 0), await leaf(spool, 2)]
    await batch(spool, 2, 0)
    // The file goes once the last of its events is accepted, and that one waits for the log.
    await expect.poll(() => segments(dir).length, soon).toBe(2)
    expect([onDisk(dir, accepted), onDisk(dir, waiting)]).toEqual([true, true])
    await batch(spool, 1, 1)
    expect([onDisk(dir, accepted), onDisk(dir, waiting)]).toEqual([false, false])
    await put(spool, 3)
    const last = await leaf(spool, 0)
    await batch(spool, 1, 2)
    await expect.poll(() => onDisk(dir, last), soon).toBe(false)
    expect(spool.state).toMatchObject({ seq: 4, accepted: 4 })
  })

  test('also what a process that was killed had left', async () => {
    const [dir, copy] = [tempDir(), tempDir()]
    const spool = await openSpool(dir)
    await put(spool, 0)
    const token = await leaf(spool, 0)
    await batch(spool, 1, 0)
    cpSync(dir, copy, { recursive: true, filter: (path) => !/lock/.test(path) })
    expect(onDisk(copy, token)).toBe(true)
    const next = await openSpool(copy, { acceptedMs: 100 })
    await expect.poll(() => onDisk(copy, token), soon).toBe(false)
    expect(next.state).toMatchObject({ seq: 1, accepted: 1 })
  })
})

test('an acceptance may outlive the segment that held its header', async () => {
  const dir = tempDir()
  const spool = await openSpool(dir, { maxBytes: 1 << 20 })
  await put(spool, 0)
  await batch(spool, 1)
  for (let i = 0; i < 12; i++) await putMany(spool, 40)
  await accept(spool, 0)
  const holder = segments(dir).at(-1)!
  expect(readFileSync(join(dir, holder), 'utf8')).toContain('\nA ')
  await batch(spool, 300, 1)
  expect(segments(dir)).not.toContain('0000000001.log')
  expect(segments(dir)).toContain(holder)
  const { state } = spool
  await spool.close()
  expect((await openSpool(dir, { maxBytes: 1 << 20 })).state).toEqual(state)
})

test('opening hands over the events that are there, oldest first', async () => {
  const dir = tempDir()
  const spool = await openSpool(dir)
  await putMany(spool, 3)
  await spool.close()
  const found: string[] = []
  await openSpool(dir, { onFound: (token) => void found.push(token) })
  expect(found.map((token) => parseEvent(token).fields.targets)).toEqual([0, 1, 2].map((n) => event(n).targets))
})

describe('a write that was cut off', () => {
  test('anywhere in the last line loses that line alone, and recording goes on', async () => {
    const dir = tempDir()
    const spool = await openSpool(dir)
    await putMany(spool, 3)
    await spool.close()
    const bytes = readFileSync(onlySegment(dir))
    const lastLine = bytes.lastIndexOf(0x0a, bytes.length - 2) + 1
    const isNearAnEnd = (at: number) => at - lastLine < 70 || bytes.length - at < 70
    for (let end = lastLine; end < bytes.length; end += isNearAnEnd(end) ? 1 : 13) {
      truncateSync(onlySegment(dir), end)
      const cut = await openSpool(dir)
      expect(cut.state.seq).toBe(2)
      expect(statSync(onlySegment(dir)).size).toBe(lastLine)
      await cut.close()
      writeFileSync(onlySegment(dir), bytes)
    }
    const whole = await openSpool(dir)
    expect(whole.state.seq).toBe(3)
    await put(whole, 3)
    expect((await all(whole)).map(({ seq }) => seq)).toEqual([0, 1, 2, 3])
  })

  test('anywhere in an acceptance opens the batch again, and what was known of the log before is kept', async () => {
    const dir = tempDir()
    const spool = await openSpool(dir)
    await putMany(spool, 5)
    await batch(spool, 2, 3)
    const before = spool.state
    await batch(spool, 2, 9)
    const after = spool.state
    // Closed as a killed process leaves it: the lock is gone, nothing is tidied up.
    const bytes = readFileSync(onlySegment(dir))
    await spool.close()
    const lastLine = bytes.lastIndexOf(0x0a, bytes.length - 2) + 1
    expect(bytes.toString('latin1', lastLine, lastLine + 2)).toBe('A ')
    for (let end = lastLine; end <= bytes.length; end += end < bytes.length - 70 ? 61 : 1) {
      writeFileSync(onlySegment(dir), bytes.subarray(0, end))
      const cut = await openSpool(dir)
      if (end === bytes.length) expect(cut.state).toEqual(after)
      else {
        expect(cut.state).toMatchObject({ accepted: 2, receipts: before.receipts, checkpoint: before.checkpoint })
        expect(cut.open).toMatchObject({ seq: 2, n: 2 })
      }
      await cut.close()
      const files = ['checkpoint', 'receipts.ndjson', 'log-key'].map((name) => readFileSync(join(dir, name), 'utf8'))
      const known = end === bytes.length ? after : before
      expect(files[0]).toBe(known.checkpoint!.note)
      expect(files[1]!.trimEnd().split('\n')).toHaveLength(known.receipts.length)
      expect(files[2]).toBe(`${logKey}\n`)
    }
  })

  test('at the beginning of a segment leaves a half-made file, which is ignored', async () => {
    const dir = tempDir()
    const spool = await openSpool(dir)
    await putMany(spool, 2)
    await spool.close()
    writeFileSync(join(dir, '0000000002.log.tmp'), 'S 12')
    expect((await openSpool(dir)).state.seq).toBe(2)
    expect(existsSync(join(dir, '0000000002.log.tmp'))).toBe(false)
  })
})

describe('damage is told, with file and offset, and never skipped', () => {
  test('any flipped byte', async () => {
    const dir = tempDir()
    const spool = await openSpool(dir)
    await putMany(spool, 3)
    await batch(spool, 2, 0)
    await spool.close()
    const file = onlySegment(dir)
    const bytes = readFileSync(file)
    const step = process.env.CI ? 7 : 31
    for (let at = 0; at < bytes.length; at += step) {
      const damaged = Buffer.from(bytes)
      damaged[at]! ^= 0x04
      writeFileSync(file, damaged)
      const opened = Spool.open({ dir, source: 'test', key: signer.jwk, maxBytes: 1 << 20 })
      await expect(opened, `byte ${at}`).rejects.toMatchObject({
        code: 'spool_corrupt',
        details: { file, offset: expect.any(Number) },
      })
    }
  })

  const tampered: [string, (lines: string[]) => string[]][] = [
    ['a line removed', (lines) => lines.filter((_, i) => i !== 2)],
    ['two lines swapped', ([s, a, b, ...rest]) => [s!, b!, a!, ...rest]],
    ['a line twice', ([s, a, ...rest]) => [s!, a!, a!, ...rest]],
    ['no state at the start', (lines) => lines.slice(1)],
    ['a state in the middle', ([s, a, ...rest]) => [s!, a!, s!, ...rest]],
    ['an event made up, with a right checksum', (lines) => [...lines, frame('E', 'e30~').trimEnd()]],
    [
      'an acceptance of nothing',
      (lines) => [...lines, frame('A', '{"end":1,"logIndex":0,"checkpoint":null}').trimEnd()],
    ],
    ['a tail that is no beginning of a line', (lines) => [...lines, 'x']],
  ]
  test.each(tampered)('%s', async (_, change) => {
    const dir = tempDir()
    const spool = await openSpool(dir)
    await putMany(spool, 4)
    await spool.close()
    const lines = readFileSync(onlySegment(dir), 'latin1').trimEnd().split('\n')
    const text = change(lines).join('\n')
    writeFileSync(onlySegment(dir), text.endsWith('\nx') ? text : `${text}\n`)
    await expect(Spool.open({ dir, source: 'test', key: signer.jwk, maxBytes: 1 << 20 })).rejects.toMatchObject({
      code: 'spool_corrupt',
    })
  })

  test('an event edited by someone who knows the format, even the last one', async () => {
    for (const at of [1, 4]) {
      const dir = tempDir()
      const spool = await openSpool(dir)
      await putMany(spool, 4)
      await spool.close()
      const lines = readFileSync(onlySegment(dir), 'latin1').trimEnd().split('\n')
      const token = lines[at]!.split(' ')[3]!
      const [head, payload, ...rest] = token.split('.')
      const claims = JSON.parse(Buffer.from(payload!, 'base64url').toString())
      claims.iat = 1
      const edited = [head, Buffer.from(JSON.stringify(claims)).toString('base64url'), ...rest].join('.')
      lines[at] = frame('E', edited).trimEnd()
      writeFileSync(onlySegment(dir), `${lines.join('\n')}\n`)
      await expect(Spool.open({ dir, source: 'test', key: signer.jwk, maxBytes: 1 << 20 })).rejects.toMatchObject({
        code: 'spool_corrupt',
      })
    }
  })

  test('what the log signed, edited by someone who knows the format', async () => {
    const edits: ((accepted: Extract<JournalChange, { kind: 'A' }>) => void)[] = [
      ({ receipt }) => Object.assign(receipt, { logIndex: 1 }),
      ({ receipt }) =>
        Object.assign(receipt, { header: receipt.header.replace(/.$/, (it) => (it === 'A' ? 'Q' : 'A')) }),
      ({ receipt }) => Object.assign(receipt, { checkpoint: receipt.checkpoint.replace(/\n3\n/, '\n4\n') }),
      // A signature that does not verify, and a key that signed nothing.
      ({ receipt }) =>
        Object.assign(receipt, {
          checkpoint: receipt.checkpoint.replace(/.(?=.{3}=*\n$)/, (it) => (it === 'A' ? 'B' : 'A')),
        }),
      ({ log }) => Object.assign(log, { key: printVkey('log', publicKeyBytes(signer.jwk)) }),
      ({ receipt }) => Object.assign(receipt, { path: [] }),
    ]
    for (const [i, edit] of [() => {}, ...edits].entries()) {
      const dir = tempDir()
      const spool = await openSpool(dir)
      await putMany(spool, 4)
      await batch(spool, 2, 2)
      await spool.close()
      const lines = readFileSync(onlySegment(dir), 'latin1').trimEnd().split('\n')
      const at = lines.findIndex((line) => line.startsWith('A '))
      const accepted = JSON.parse(lines[at]!.replace(/^A \S+ \S+ /, ''))
      edit(accepted)
      lines[at] = frame('A', printLine(accepted)).trimEnd()
      writeFileSync(onlySegment(dir), `${lines.join('\n')}\n`)
      const opened = openSpool(dir)
      if (i === 0) expect((await opened).state.accepted).toBe(2)
      else await expect(opened, `edit ${i}`).rejects.toMatchObject({ code: 'spool_corrupt' })
    }
  })

  test('a missing segment', async () => {
    const dir = tempDir()
    const spool = await openSpool(dir, { maxBytes: 1 << 20 })
    for (let i = 0; i < 10; i++) await putMany(spool, 40)
    await spool.close()
    const names = segments(dir)
    expect(names.length).toBeGreaterThan(2)
    rmSync(join(dir, names[1]!))
    await expect(Spool.open({ dir, source: 'test', key: signer.jwk, maxBytes: 1 << 20 })).rejects.toMatchObject({
      code: 'spool_corrupt',
      details: { file: join(dir, names[1]!) },
    })
  })
})

test('a spool is one process’s at a time, and one source’s', async () => {
  const dir = tempDir()
  const spool = await openSpool(dir)
  await expect(Spool.open({ dir, source: 'test', key: signer.jwk, maxBytes: 1 << 20 })).rejects.toMatchObject({
    code: 'spool_locked',
  })
  await spool.close()
  await expect(Spool.open({ dir, source: 'other', key: signer.jwk, maxBytes: 1 << 20 })).rejects.toMatchObject({
    code: 'option_invalid',
    details: { option: 'spool' },
  })
  // A refused opening leaves no lock behind.
  await openSpool(dir)
})

test('a header out of turn is our own mistake and is not written', async () => {
  const spool = await openSpool(tempDir())
  await putMany(spool, 2)
  await batch(spool, 1)
  await expect(batch(spool, 1)).rejects.toThrow('out of turn')
})

describe('back-pressure', () => {
  test('record() waits for room, in order, and goes on when the log accepts', async () => {
    const spool = await openSpool(tempDir(), { maxBytes: 1 << 20 })
    const recorder = new Recorder({ spool, signer, fields: new Set(), waitMs: 10_000 })
    const big = { ...event(0), metadata: { text: 'x'.repeat(100_000) } }
    let answered = 0
    const calls = Array.from({ length: 20 }, () => recorder.record(big))
    for (const call of calls) call.then(() => answered++)
    await expect.poll(() => spool.state.seq).toBeGreaterThan(6)
    const stuckAt = spool.state.seq
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(spool.state.seq).toBe(stuckAt)
    expect(stuckAt).toBeLessThan(12)
    for (let index = 0; answered < 20; index++) {
      if (spool.state.seq > spool.state.batched) await batch(spool, 3, index)
      else await new Promise((resolve) => setTimeout(resolve, 5))
    }
    expect((await Promise.all(calls)).map(({ seq }) => seq)).toEqual(Array.from({ length: 20 }, (_, i) => i))
  })

  test('record() rejects with spool_full after its wait, and nothing is recorded', async () => {
    const spool = await openSpool(tempDir(), { maxBytes: 1 << 20 })
    const recorder = new Recorder({ spool, signer, fields: new Set(), waitMs: 50 })
    const big = { ...event(0), metadata: { text: 'x'.repeat(150_000) } }
    const results = await Promise.allSettled(Array.from({ length: 12 }, () => recorder.record(big)))
    const refused = results.filter((result) => result.status === 'rejected')
    expect(refused.length).toBeGreaterThan(2)
    expect(refused[0]!.reason).toMatchObject({ code: 'spool_full' })
    expect(spool.state.seq).toBe(12 - refused.length)
    await batch(spool, 12, 0)
    expect((await recorder.record(event(1))).seq).toBe(12 - refused.length)
  })

  test('one call more than may wait is refused at once, and whoever closes waits for the others', async () => {
    const spool = await openSpool(tempDir())
    const { promise: isOpen, resolve: open } = Promise.withResolvers<void>()
    const slow = { ...signer, sign: (message: Uint8Array) => isOpen.then(() => signer.sign(message)) }
    const recorder = new Recorder({ spool, signer: slow, fields: new Set(), waitMs: 60_000 })
    const calls = Array.from({ length: 10_001 }, (_, n) => recorder.record(event(n)))
    await expect(calls.at(-1)).rejects.toMatchObject({ code: 'spool_full' })
    const closed = recorder.close()
    open()
    await closed
    expect(recorder.recorded).toBe(10_000)
    expect((await Promise.allSettled(calls)).filter(({ status }) => status === 'rejected')).toHaveLength(1)
  })
})

const run = (command: string, ...args: string[]): void => void execFileSync(command, args, { stdio: 'ignore' })

/** A file system of its own with `kib` KiB; null where this user may not mount one. */
function smallDisk(kib: number): string | null {
  const dir = tempDir()
  try {
    run('mount', '-t', 'tmpfs', '-o', `size=${kib}k`, 'tmpfs', dir)
  } catch {
    return null
  }
  onTestFinished(() => run('umount', '-l', dir))
  return dir
}

describe('a disk that cannot be written is told as spool_failed, with the folder', () => {
  const options = { source: 'test', key: signer.jwk, maxBytes: 1 << 20 }

  test('a folder that cannot be made', async () => {
    const file = join(tempDir(), 'file')
    writeFileSync(file, '')
    for (const dir of [join(file, 'spool'), join(tempDir(), 'x'.repeat(300))])
      await expect(Spool.open({ ...options, dir })).rejects.toMatchObject({
        code: 'spool_failed',
        message: expect.stringContaining(dir),
        details: { dir },
      })
  })

  test('a disk that is read-only, from the start or while it is in use', async ({ skip }) => {
    const disk = smallDisk(2048)
    if (!disk) return skip('This user cannot mount a tmpfs: run as root to test a read-only disk')
    const remount = (mode: 'ro' | 'rw') => run('mount', '-o', `remount,${mode}`, disk)
    const dir = join(disk, 'spool')
    const failed = { code: 'spool_failed', message: expect.stringContaining(dir), details: { dir } }
    remount('ro')
    await expect(Spool.open({ ...options, dir })).rejects.toMatchObject(failed)
    remount('rw')
    const spool = await openSpool(dir)
    await put(spool, 0)
    await spool.close()
    remount('ro')
    await expect(Spool.open({ ...options, dir })).rejects.toMatchObject(failed)
  })
})

describe('a full disk', () => {
  test('refuses cleanly, keeps what was acknowledged, and takes more when there is space again', async ({ skip }) => {
    const disk = smallDisk(1024)
    if (!disk) return skip('This user cannot mount a tmpfs: run as root to test a full disk')
    writeFileSync(join(disk, 'filler'), Buffer.alloc(600 * 1024))
    const dir = join(disk, 'spool')
    mkdirSync(dir)
    const spool = await openSpool(dir)
    const recorder = new Recorder({ spool, signer, fields: new Set(), waitMs: 1000 })
    const kept: string[] = []
    let refusals = 0
    for (let i = 0; refusals < 30; i++) {
      const results = await Promise.allSettled(
        Array.from({ length: 8 }, (_, j) =>
          recorder.record({ ...event(i * 8 + j), metadata: { text: 'x'.repeat(2000) } }),
        ),
      )
      for (const result of results) {
        if (result.status === 'fulfilled') kept.push(result.value.id)
        else {
          refusals += 1
          expect(result.reason).toMatchObject({ code: 'spool_disk_full' })
        }
      }
    }
    expect(spool.state.seq).toBe(kept.length)
    // What is on disk ends with a whole line, and a crash now would lose nothing.
    const copy = tempDir()
    cpSync(dir, copy, { recursive: true, filter: (name) => !/lock-\w+-\w+$/.test(name) })
    const copied = await openSpool(copy)
    expect((await all(copied)).map(({ id }) => id)).toEqual(kept)

    rmSync(join(disk, 'filler'))
    kept.push((await recorder.record(event(-1))).id)
    expect((await all(spool)).map(({ id }) => id)).toEqual(kept)
  })

  test('that the spool itself filled is emptied by sending: headers and acceptances find the space held back for them', async ({
    skip,
  }) => {
    const dir = smallDisk(640)
    if (!dir) return skip('This user cannot mount a tmpfs: run as root to test a full disk')
    const spool = await openSpool(dir)
    const recorder = new Recorder({ spool, signer, fields: new Set(), waitMs: 1000 })
    const fill = async () => {
      let kept = 0
      for (;;) {
        try {
          await recorder.record({ ...event(kept), metadata: { text: 'x'.repeat(3000) } })
          kept += 1
        } catch (error) {
          expect(error).toMatchObject({ code: 'spool_disk_full' })
          return kept
        }
      }
    }
    for (let round = 0; round < 3; round++) {
      expect(await fill()).toBeGreaterThan(20)
      while (spool.state.accepted < spool.state.seq)
        await batch(spool, 25, round * 1000 + spool.state.seq + spool.state.accepted)
      await expect.poll(() => spool.bytes).toBeLessThan(10_000)
    }
  })
})

test('appended garbage after a crash of the file system is damage, not a torn line', async () => {
  const dir = tempDir()
  const spool = await openSpool(dir)
  await putMany(spool, 2)
  await spool.close()
  appendFileSync(onlySegment(dir), Buffer.alloc(100))
  await expect(openSpool(dir)).rejects.toMatchObject({ code: 'spool_corrupt' })
})
