// Two parties hold what they were shown against each other; a stranger judges the evidence.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openAuditLog } from '../../../sdk/src/client/index.ts'
import { leafHash } from '../../../sdk/src/core/hash.ts'
import { event, key, startLog, type TestLog, tempDir } from '../client/support.ts'
import { killick } from './support.ts'

async function recorder(log: TestLog, spool: string) {
  const quiet = { onError: () => {}, onPin: () => {} }
  const audit = await openAuditLog({ url: log.url, source: 'test', key, spool, logKey: log.vkey, ...quiet })
  onTestFinished(async () => {
    await audit.close({ timeoutMs: 0 })
  })
  return async () => {
    await audit.record(event(1))
    await audit.flush()
  }
}

/** A spool of two batches, and the note from before the second. */
async function recordedTwice() {
  const log = await startLog()
  const [dir, spool] = [tempDir(), tempDir()]
  const send = await recorder(log, spool)
  await send()
  const old = join(dir, 'old.note')
  writeFileSync(old, readFileSync(join(spool, 'checkpoint')))
  await send()
  return { log, dir, spool, old }
}

const compare = (...args: string[]) => killick(['compare', ...args])

test('spools, notes and services: equal, consistent, and undecided where nobody can be asked', async () => {
  const { log, dir, spool, old } = await recordedTwice()
  expect(await compare(spool, `${log.url}/checkpoint`)).toMatchObject({ code: 0, out: expect.stringMatching(/^EQUAL/) })

  for (let i = 0; i < 5; i++) log.leaves.push(leafHash(Buffer.from(`${i}`)))
  const grown = await compare(spool, log.url, '--json')
  expect(grown.code).toBe(0)
  expect(JSON.parse(grown.out)).toMatchObject({ outcome: 'consistent', logKey: log.vkey, fork: null })
  expect(await compare(old, spool, '--url', log.url)).toMatchObject({ code: 0 })
  // A note from before knows only its own size; nobody is there to ask, or nobody answers.
  const receipts = join(spool, 'receipts.ndjson')
  const later = join(dir, 'later.note')
  writeFileSync(later, log.note())
  expect(await compare(later, receipts)).toMatchObject({ code: 2, err: expect.stringContaining('--log-key') })
  expect(await compare(later, receipts, '--log-key', log.vkey)).toMatchObject({ code: 3 })
  const unknown = ['--log-key', log.vkey, '--url', 'http://127.0.0.1:1']
  expect(await compare(later, old, ...unknown)).toMatchObject({ code: 3, out: expect.stringContaining('127.0.0.1:1') })
  expect(await compare(later, 'http://127.0.0.1:1')).toMatchObject({ code: 3 })
  log.onAsk = (_, response) => Boolean(response.end('\u001b[2Jok'))
  expect(await compare(later, old, '--log-key', log.vkey, '--url', log.url)).toMatchObject({ code: 3 })
})

test('of receipts in a file the largest note counts, though a smaller one came last', async () => {
  const { log, dir, spool, old } = await recordedTwice()
  const receipts = join(dir, 'receipts')
  const lines = readFileSync(join(spool, 'receipts.ndjson'), 'utf8').trim().split('\n')
  writeFileSync(receipts, lines.reverse().join('\n'))
  const found = await compare(receipts, old, '--log-key', log.vkey)
  expect(found).toMatchObject({ code: 3, out: expect.stringContaining(`${receipts}: log.test, 2 entries`) })
})

test('what is no note, or not signed by the log', async () => {
  const [log, other] = [await startLog(), await startLog()]
  const dir = tempDir()
  const [note, foreign, nothing] = ['a', 'b', 'c'].map((name) => join(dir, name)) as [string, string, string]
  for (const [file, by] of [
    [note, log],
    [foreign, other],
  ] as const) {
    by.leaves.push(leafHash(Buffer.from('same')))
    writeFileSync(file, by.note())
  }
  expect(await compare(note, foreign, '--log-key', log.vkey)).toMatchObject({
    code: 1,
    out: expect.stringMatching(/^NOT SIGNED BY THE LOG: \S+b: /),
  })
  // Nobody can have signed what is no note, so that says nothing of the log's key.
  for (const [text, why] of [
    ['', 'it is empty'],
    ['hello', 'Not a signed note: no blank line'],
    [log.note().replaceAll('\n', '\r\n'), 'its lines end in CR LF'],
    [`\ufeff${log.note()}`, 'it begins with a byte order mark'],
  ] as const) {
    writeFileSync(nothing, text)
    const out = expect.stringContaining(`NOT A NOTE: ${nothing}: ${why}`)
    expect(await compare(note, nothing, '--log-key', log.vkey)).toMatchObject({ code: 1, out })
  }
  expect(await compare(note, join(dir, 'none'), '--log-key', log.vkey)).toMatchObject({
    code: 2,
    err: expect.stringContaining(`${join(dir, 'none')}: there is no such file or folder`),
  })
  const odd = join(dir, 'odd')
  writeFileSync(odd, '{}')
  expect(await compare(note, odd, '--log-key', log.vkey)).toMatchObject({
    code: 2,
    err: expect.stringContaining(`${odd}: The receipt proves nothing`),
  })
  expect(await compare(note, '--log-key', log.vkey)).toMatchObject({ code: 2 })
  expect(await compare(note, log.url, '--log-key', 'x')).toMatchObject({ code: 2 })
})

/** What a recorder took and what it refused need have no size in common with each other, or with others: both are held against them. */
async function keepsBoth(file: string, note: string): Promise<void> {
  const whole = readFileSync(file, 'utf8')
  const fork = JSON.parse(whole)
  const own = log.leaves
  const slip = (leaves: Uint8Array[]) => {
    const other = { note: log.note(leaves), receipt: null }
    writeFileSync(
      file,
      JSON.stringify({ ...fork, reason: 'lost', known: { note: log.note(own), receipt: null }, other }),
    )
    writeFileSync(join(spools[0]!, 'checkpoint'), log.note(own))
  }
  slip(log.leaves.slice(0, 4))
  expect(await compare(spools[0]!, log.url)).toMatchObject({ code: 0, out: expect.stringMatching(/^EQUAL/) })
  expect(await compare(spools[0]!, note)).toMatchObject({ code: 3, out: expect.stringMatching(/^UNDECIDED: what the/) })
  slip([...log.leaves.slice(0, 3), leafHash(Buffer.from('another'))])
  expect(await compare(spools[0]!, log.url)).toMatchObject({
    code: 1,
    out: expect.stringMatching(
      /^FORKED: .+ does not lead from the log of 4 entries to that of 5\n.+, refused: log\.test, 4 /,
    ),
  })
  // A service that goes on with the other history finds only what was refused in order.
  log.leaves = Array.from({ length: 8 }, (_, i) => leafHash(Buffer.from(`${i}`)))
  slip(log.leaves.slice(0, 6))
  expect(await compare(log.url, spools[0]!)).toMatchObject({
    code: 1,
    out: expect.stringMatching(/^FORKED: what the recorder of .+ took: .+ from the log of 5 entries to that of 8\n/),
  })
  log.leaves = own
  writeFileSync(file, whole)
}

let log: TestLog
let spools: string[]

/** One service, one key, and to each of two recorders a history of its own. */
async function splitView() {
  log = await startLog()
  spools = [tempDir(), tempDir()]
  const views: Uint8Array[][] = [[], []]
  const sends = await Promise.all(spools.map((spool) => recorder(log, spool)))
  for (let round = 0; round < 3; round++)
    for (const [i, send] of sends.entries()) {
      log.leaves = views[i]!
      await send()
    }
  return { views, sends }
}

test('a split view comes out when two recorders compare, and the evidence stands on its own', async () => {
  const { views } = await splitView()
  const out = join(tempDir(), 'fork.json')
  const found = await compare(spools[0]!, spools[1]!, '--out', out)
  expect(found).toMatchObject({ code: 1, out: expect.stringMatching(/^FORKED: the log of 1 entries has two roots/) })
  expect(await compare(spools[0]!, spools[1]!, '--out', out)).toMatchObject({ code: 2 })

  const pinned = await killick(['verify', out, '--log-key', log.vkey])
  expect(pinned).toMatchObject({
    code: 1,
    out: expect.stringMatching(/^FORKED: two signed notes contradict each other\n/),
  })
  expect(pinned.out).toContain(`${log.vkey}, pinned by you`)
  // Without the key it accuses nobody, and under another it shows nothing.
  expect(await killick(['verify', out])).toMatchObject({ code: 3, out: expect.stringMatching(/^UNDECIDED\n/) })
  const stranger = (await startLog()).vkey
  expect(await killick(['verify', out, '--log-key', stranger])).toMatchObject({ code: 3 })
  const both = await killick(['verify', out, '--log-key', stranger, '--log-key', log.vkey, '--json'])
  expect(both.code).toBe(1)
  expect(JSON.parse(both.out)).toMatchObject({ outcome: 'forked', key: log.vkey, pinned: true })

  // A service that serves one of the views is caught by the other's spool.
  log.leaves = views[0]!
  log.leaves.push(leafHash(Buffer.from('more')))
  expect(await compare(spools[0]!, log.url)).toMatchObject({ code: 0 })
  expect(await compare(spools[1]!, log.url, '--out', `${out}.2`)).toMatchObject({
    code: 1,
    out: expect.stringContaining('does not lead from the log of 3 entries to that of 4'),
  })
  // That is the service's own failure to prove, and no contradiction between the notes: nothing more is said.
  const told = await killick(['verify', `${out}.2`, '--log-key', log.vkey])
  expect(told).toMatchObject({ code: 3, out: expect.stringContaining('Two sizes alone contradict nothing') })
})

test('a recorder’s evidence is judged; a tampered file is evidence of nothing, and no byte of it reaches the terminal raw', async () => {
  const { views, sends } = await splitView()
  log.leaves = views[1]!
  await expect(sends[0]!()).rejects.toMatchObject({ code: 'log_forked' })
  const file = join(spools[0]!, 'log-forked.json')
  // The service is honest again; what the recorder has kept of its slip counts all the same, beside any other note.
  log.leaves = views[0]!
  const kept = { code: 1, out: expect.stringMatching(/^FORKED: the log of 3 entries has two roots, both signed\n/) }
  expect(await compare(spools[0]!, log.url)).toMatchObject(kept)
  log.leaves.push(leafHash(Buffer.from('more')), leafHash(Buffer.from('and more')))
  const note = join(tempDir(), 'note')
  writeFileSync(note, log.note())
  expect(await compare(note, spools[0]!)).toMatchObject(kept)
  await keepsBoth(file, note)
  const judge = (path: string) => killick(['verify', path, '--log-key', log.vkey])
  expect(await judge(file)).toMatchObject({ code: 1 })

  const text = readFileSync(file, 'utf8')
  const document = JSON.parse(text)
  const variant = async (change: (fork: typeof document) => void) => {
    const copy = structuredClone(document)
    change(copy)
    const path = join(tempDir(), 'fork.json')
    writeFileSync(path, JSON.stringify(copy))
    return judge(path)
  }
  const undecided = [
    (fork: typeof document) => {
      fork.other.note = fork.other.note.replace('log.test\n', 'log.tesT\n')
    },
    (fork: typeof document) => {
      fork.other = null
    },
  ]
  for (const result of await Promise.all(undecided.map(variant))) expect(result).toMatchObject({ code: 3 })
  const same = await variant((fork) => {
    fork.other = fork.known
  })
  // With 0 whoever asks for proofs of events would take it for one.
  expect(same).toMatchObject({ code: 3, out: expect.stringContaining('NO FORK') })
  const painted = await variant((fork) => {
    fork.url = '\u001b[2J\u009b1m\u202eVERIFIED'
    fork.asked = '\u001b]0;x\u0007'
  })
  expect(painted.code).toBe(1)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: this is what must not be there
  expect(painted.out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/)
  const unreadable = [
    (fork: typeof document) => delete fork.known,
    (fork: typeof document) => Object.assign(fork, { reason: 'because' }),
    (fork: typeof document) => Object.assign(fork.known, { note: 7 }),
    (fork: typeof document) => Object.assign(fork.known, { receipt: {} }),
  ]
  for (const result of await Promise.all(unreadable.map(variant)))
    expect(result).toMatchObject({ code: 2, out: '', err: expect.stringContaining('killick-fork/1') })
  expect(existsSync(file)).toBe(true)
  writeFileSync(file, '{')
  expect(await compare(note, spools[0]!)).toMatchObject({ code: 2, err: expect.stringContaining(file) })
})
