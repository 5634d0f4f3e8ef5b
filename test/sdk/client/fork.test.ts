// A log that is not the log it was: what a recorder pins, demands, keeps and tells.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type AuditLog, type AuditLogOptions, openAuditLog } from '../../../sdk/src/client/index.ts'
import { parseCheckpoint } from '../../../sdk/src/core/checkpoint.ts'
import { judgeFork, parseFork } from '../../../sdk/src/core/fork.ts'
import { leafHash } from '../../../sdk/src/core/hash.ts'
import { openNote } from '../../../sdk/src/core/note.ts'
import { isIncluded, openCheckpoint, parseKeptReceipt } from '../../../sdk/src/core/receipt.ts'
import { event, type Fault, idsIn, key, problem, startLog, type TestLog, tempDir } from './support.ts'

async function open(log: Pick<TestLog, 'url'>, options: Partial<AuditLogOptions> = {}): Promise<AuditLog> {
  const quiet = { onError: () => {}, onPin: () => {}, timeoutMs: 400 }
  const audit = await openAuditLog({ url: log.url, source: 'test', key, spool: tempDir(), ...quiet, ...options })
  onTestFinished(async () => {
    await audit.close({ timeoutMs: 0 })
  })
  return audit
}

async function send(audit: AuditLog, n = 1) {
  await audit.record(event(n))
  return audit.flush()
}

/** A batch of some other source, which no recorder here knows. */
const someoneElse = (log: TestLog, name: string) => log.leaves.push(leafHash(Buffer.from(name)))

const evidence = (spool: string) => parseFork(readFileSync(join(spool, 'log-forked.json'), 'utf8'))

describe('the log’s key', () => {
  test('is pinned on first use where none is given: said once, kept in the spool, and a change is refused', async () => {
    const [log, impostor] = [await startLog(), await startLog()]
    const spool = tempDir()
    const pins: string[] = []
    const onPin = (vkey: string) => pins.push(vkey)
    const first = await open(log, { spool, onPin })
    expect(first.status).toMatchObject({ logKey: null, pinned: null })
    await send(first)
    await send(first)
    expect(first.status).toMatchObject({ logKey: log.vkey, pinned: 'first_use' })
    await first.close()

    impostor.leaves.push(...log.leaves)
    const second = await open(impostor, { spool, onPin })
    expect(second.status).toMatchObject({ logKey: log.vkey, pinned: 'first_use' })
    await expect(send(second)).rejects.toMatchObject({
      code: 'receipt_invalid',
      message: expect.stringContaining('pinned on first use'),
    })
    expect(second.status).toMatchObject({ state: 'refused', pending: 1 })
    await second.close({ timeoutMs: 0 })
    expect(pins).toEqual([log.vkey])

    // Whoever runs the application may go on with a key that they know.
    const third = await open(impostor, { spool, onPin, logKey: impostor.vkey })
    await third.flush()
    expect(third.status).toMatchObject({ logKey: impostor.vkey, pinned: 'option', pending: 0 })
    expect(pins).toEqual([log.vkey])
  })

  const answers: [string, TestLog['onAsk']][] = [
    ['no JSON', (_, response) => Boolean(response.end('ok'))],
    ['no key', (_, response) => Boolean(response.end('{"vkey":7}'))],
    ['nothing of the kind', (_, response) => Boolean(response.writeHead(404).end())],
  ]
  test.each(answers)('is not guessed when the service says %s', async (_, onAsk) => {
    const log = await startLog()
    log.onAsk = onAsk
    const audit = await open(log)
    await expect(send(audit)).rejects.toMatchObject({ code: 'receipt_invalid' })
    expect(audit.status).toMatchObject({ accepted: 0, pinned: null })
    log.onAsk = (__, response) => Boolean(response.end(JSON.stringify({ vkey: stranger.vkey })))
    const stranger = await startLog()
    await expect(audit.flush()).rejects.toMatchObject({ code: 'receipt_invalid' })
    log.onAsk = () => false
    await audit.flush()
    expect(audit.status).toMatchObject({ accepted: 1, logKey: log.vkey })
  })
})

test('what the recorder holds stands in files that other tools read', async () => {
  const log = await startLog()
  const spool = tempDir()
  const audit = await open(log, { spool, logKey: log.vkey })
  for (let i = 0; i < 10; i++) await send(audit, i)
  await audit.close()
  const file = (name: string) => readFileSync(join(spool, name), 'utf8')
  expect(file('log-key')).toBe(`${log.vkey}\n`)
  expect(openNote(file('checkpoint'), [log.vkey]).text).toBe(openNote(log.note(), [log.vkey]).text)
  const receipts = file('receipts.ndjson').trimEnd().split('\n').map(parseKeptReceipt)
  expect(receipts.map(({ logIndex }) => logIndex)).toEqual([2, 3, 4, 5, 6, 7, 8, 9])
  for (const receipt of receipts) expect(isIncluded(receipt, openCheckpoint(receipt.checkpoint, log.vkey))).toBe(true)
  expect(readdirSync(spool).filter((name) => name.endsWith('.tmp'))).toEqual([])
})

test('consistency is read off the receipt where nothing came between, and asked for where something did', async () => {
  const log = await startLog()
  const spool = tempDir()
  const audit = await open(log, { spool, logKey: log.vkey })
  for (let i = 0; i < 5; i++) await send(audit, i)
  expect(log.asked).toEqual([])
  someoneElse(log, 'a')
  someoneElse(log, 'b')
  await send(audit)
  expect(log.asked).toEqual(['/v1/consistency?from=5&to=8'])
  await audit.close()
  someoneElse(log, 'c')
  const again = await open(log, { spool, logKey: log.vkey })
  await send(again)
  expect(log.asked).toHaveLength(2)
  expect(idsIn(log)).toHaveLength(7)
})

describe('a service that does not prove that its log only grew gets nothing accepted, and is asked again', () => {
  const never: TestLog['onAsk'] = () => true
  const json = (value: unknown): TestLog['onAsk'] => {
    return (_, response) => Boolean(response.end(typeof value === 'string' ? value : JSON.stringify(value)))
  }
  const forever: TestLog['onAsk'] = (_, response) => {
    const timer = setInterval(() => response.write('x'.repeat(65_536)), 1)
    response.on('close', () => clearInterval(timer))
    return true
  }
  const trickle: TestLog['onAsk'] = (_, response) => {
    const timer = setInterval(() => response.write(' '), 10)
    response.on('close', () => clearInterval(timer))
    return true
  }
  const cases: [string, TestLog['onAsk'], 'waiting' | 'refused'][] = [
    ['never answers', never, 'waiting'],
    ['answers without end', forever, 'waiting'],
    ['answers a byte at a time', trickle, 'waiting'],
    ['is overloaded', (_, response) => Boolean(response.writeHead(503).end()), 'waiting'],
    ['hangs up', (_, response) => Boolean(response.destroy()), 'waiting'],
    ['knows no such path', (_, response) => Boolean(response.writeHead(404).end()), 'refused'],
    ['answers no JSON', json('ok'), 'refused'],
    ['answers null', json('null'), 'refused'],
    ['answers for other sizes', json({ from: 1, to: 2, path: [] }), 'refused'],
    ['answers with no hashes', json({ from: 1, to: 3, path: [1, 2] }), 'refused'],
    ['answers with a thousand hashes', json({ from: 1, to: 3, path: Array(1000).fill('A'.repeat(43)) }), 'refused'],
  ]
  test.each(cases)('%s', async (_, onAsk, state) => {
    const log = await startLog()
    const spool = tempDir()
    const audit = await open(log, { spool, logKey: log.vkey })
    await send(audit)
    someoneElse(log, 'a')
    log.onAsk = onAsk
    await audit.record(event(2))
    const flushed = audit.flush()
    flushed.catch(() => {})
    await expect.poll(() => audit.status.state).toBe(state)
    expect(audit.status).toMatchObject({ accepted: 1, pending: 1, lastError: expect.anything() })
    if (state === 'refused') await expect(flushed).rejects.toMatchObject({ code: 'receipt_invalid' })
    log.onAsk = () => false
    await audit.flush()
    expect(audit.status).toMatchObject({ accepted: 2, pending: 0 })
    expect(existsSync(join(spool, 'log-forked.json'))).toBe(false)
  })

  test('sends requests elsewhere, where nobody is asked', async () => {
    const log = await startLog()
    let visits = 0
    const elsewhere = createServer((_, response) => {
      visits += 1
      response.end('{}')
    })
    await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void elsewhere.close())
    const audit = await open(log, { logKey: log.vkey })
    await send(audit)
    someoneElse(log, 'a')
    const location = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/`
    log.onAsk = (_, response) => Boolean(response.writeHead(307, { location }).end())
    await audit.record(event(2))
    await expect.poll(() => audit.status.state).toBe('waiting')
    expect([visits, audit.status.accepted]).toEqual([0, 1])
  })
})

describe('a log with two histories, both signed with the pinned key', () => {
  /** Rewrites the log below what was shown. */
  const rewrite = (log: TestLog) => {
    log.leaves[0] = leafHash(Buffer.from('another first entry'))
  }
  const split: [string, (log: TestLog) => void, string][] = [
    ['another entry below, nothing new between', rewrite, 'roots'],
    [
      'another entry below, something new between, and a proof that proves nothing',
      (log) => {
        rewrite(log)
        someoneElse(log, 'new')
      },
      'consistency',
    ],
    ['the tail dropped, and this batch in its place', (log) => void log.leaves.splice(-1), 'roots'],
    [
      'the tail dropped, another grown in its place',
      (log) => {
        log.leaves.splice(-1)
        someoneElse(log, 'new')
      },
      'roots',
    ],
    [
      'the tail dropped, a longer one grown in its place',
      (log) => {
        log.leaves.splice(-1)
        someoneElse(log, 'new')
        someoneElse(log, 'newer')
        log.onAsk = (path, response) => {
          const [from, to] = path.match(/\d+/g)!.slice(-2).map(Number)
          return Boolean(response.end(JSON.stringify({ from, to, path: ['A'.repeat(43), 'B'.repeat(42).concat('A')] })))
        }
      },
      'consistency',
    ],
    ['everything dropped but the start', (log) => void log.leaves.splice(1), 'consistency'],
  ]
  test.each(split)('%s: nothing more is sent, evidence is kept, and stays', async (_, fork, reason) => {
    const log = await startLog()
    const spool = tempDir()
    const errors: Error[] = []
    someoneElse(log, 'first')
    const audit = await open(log, { spool, logKey: log.vkey, onError: (error) => errors.push(error) })
    for (let i = 0; i < 3; i++) await send(audit, i)
    fork(log)
    const file = join(spool, 'log-forked.json')
    await expect(send(audit)).rejects.toMatchObject({
      code: 'log_forked',
      message: expect.stringContaining('record into a new spool'),
      details: { file, reason },
    })
    expect(errors).toHaveLength(1)
    expect(audit.status).toMatchObject({ state: 'halted', accepted: 3, pending: 1, lastError: { code: 'log_forked' } })
    const requests = log.requests
    await audit.record(event(9))
    await expect(audit.flush()).rejects.toMatchObject({ code: 'log_forked' })
    expect(await audit.close()).toMatchObject({ pending: 2, lastError: { code: 'log_forked' } })

    const { known, other, logKey } = evidence(spool)
    expect(logKey).toBe(log.vkey)
    expect(parseCheckpoint(known.note).size).toBe(4)
    expect(known.receipt).toMatchObject({ logIndex: 3, seq: 2 })
    for (const { note } of [known, other!]) expect(openNote(note, [log.vkey]).signatures).toHaveLength(1)
    const outcome = reason === 'roots' ? 'forked' : 'undecided'
    expect(judgeFork(evidence(spool), log.vkey).outcome).toBe(outcome)
    expect(judgeFork(evidence(spool), (await startLog()).vkey).outcome).toBe('undecided')

    // A new start forgets nothing, even where the service is honest again.
    const again = await open(log, { spool, logKey: log.vkey })
    expect(again.status.state).toBe('halted')
    await again.record(event(10))
    await expect(again.close({ strict: true })).rejects.toMatchObject({ code: 'not_accepted', details: { pending: 3 } })
    expect(log.requests).toBe(requests)
  })

  test('shows one to each of two recorders: neither notices, but comparing their notes does', async () => {
    const [log, spools] = [await startLog(), [tempDir(), tempDir()]]
    const audits = await Promise.all(spools.map((spool) => open(log, { spool, logKey: log.vkey })))
    const views: Uint8Array[][] = [[], []]
    for (let round = 0; round < 3; round++)
      for (const [i, audit] of audits.entries()) {
        log.leaves = views[i]!
        await send(audit, round)
      }
    expect(audits.map(({ status }) => [status.accepted, status.state])).toEqual([
      [3, 'idle'],
      [3, 'idle'],
    ])
    const notes = spools.map((spool) => openCheckpoint(readFileSync(join(spool, 'checkpoint'), 'utf8'), log.vkey))
    expect(notes[0]!.size).toBe(notes[1]!.size)
    expect(notes[0]!.root).not.toEqual(notes[1]!.root)
    // And the first slip ends it.
    log.leaves = views[1]!
    await expect(send(audits[0]!)).rejects.toMatchObject({ code: 'log_forked', details: { reason: 'roots' } })
  })
})

describe('a service that does not know of what it has accepted', () => {
  const hangUp = (log: TestLog): void => {
    log.onAsk = (_, response) => Boolean(response.destroy())
  }
  const cut = (log: TestLog): void => void log.leaves.splice(1)
  const change = (log: TestLog): void => void log.leaves.splice(-1, 1, leafHash(Buffer.from('x')))
  const gap = (seq: unknown): Fault => {
    const document = JSON.stringify({ code: 'stream_gap', status: 409, detail: 'a gap', expected: { seq, prev: null } })
    return (_, response) =>
      Boolean(response.writeHead(409, { 'content-type': 'application/problem+json' }).end(document))
  }

  test.each([
    ['and shows a shorter log', cut, 'undecided'],
    ['and shows a log of the same size with another end', change, 'forked'],
    ['and shows nothing', hangUp, 'undecided'],
  ] as const)('%s', async (_, alter, outcome) => {
    const log = await startLog()
    const spool = tempDir()
    const audit = await open(log, { spool, logKey: log.vkey })
    await send(audit)
    await send(audit)
    alter(log)
    log.faults.push(gap(1))
    await expect(send(audit)).rejects.toMatchObject({ code: 'log_forked', details: { reason: 'lost' } })
    expect(audit.status).toMatchObject({ state: 'halted', accepted: 2 })
    expect(evidence(spool)).toMatchObject({ reason: 'lost', asked: 'POST /v1/batches', known: { receipt: { seq: 1 } } })
    expect(evidence(spool).answer).toContain('"expected":{"seq":1')
    expect(judgeFork(evidence(spool), log.vkey).outcome).toBe(outcome)
  })

  test('is another log altogether: it is refused and asked again, for nothing is lost', async () => {
    const log = await startLog()
    const audit = await open(log, { logKey: log.vkey })
    await send(audit)
    log.onAsk = (_, response) => Boolean(response.end(log.note().replace('log.test', 'log.else')))
    log.faults.push(gap(0))
    await expect(send(audit)).rejects.toMatchObject({ details: { code: 'stream_gap' } })
    expect(audit.status.state).toBe('refused')
    await audit.flush()
    expect(audit.status.pending).toBe(0)
  })

  test('and is asked for its log when the recorder is closed: nothing is decided, and the next start asks again', async () => {
    const log = await startLog()
    const spool = tempDir()
    const audit = await open(log, { spool, logKey: log.vkey })
    await send(audit)
    const asked = Promise.withResolvers<void>()
    log.onAsk = () => {
      asked.resolve()
      return true
    }
    log.faults.push(gap(0))
    const sent = send(audit).catch((error) => error)
    await asked.promise
    expect(await audit.close({ timeoutMs: 0 })).toMatchObject({ pending: 1 })
    expect(await sent).toMatchObject({ details: { code: 'stream_gap' } })
    expect(existsSync(join(spool, 'log-forked.json'))).toBe(false)
    log.onAsk = () => false
    const again = await open(log, { spool, logKey: log.vkey })
    await again.flush()
    expect(again.status.pending).toBe(0)
  })

  test.each([[null], ['0'], [7]])('or says nothing that makes sense (%j): refused', async (seq) => {
    const log = await startLog()
    const audit = await open(log, { logKey: log.vkey })
    await send(audit)
    log.faults.push(gap(seq), problem(409, 'stream_gap'))
    await expect(send(audit)).rejects.toMatchObject({ details: { code: 'stream_gap' } })
    expect(audit.status.state).toBe('refused')
    await expect(audit.flush()).rejects.toMatchObject({ details: { code: 'stream_gap' } })
    expect(log.asked).toEqual([])
    await audit.flush()
  })
})

test('evidence that was being written when the process died does not halt the stream; a whole file does', async () => {
  const log = await startLog()
  const spool = tempDir()
  const audit = await open(log, { spool, logKey: log.vkey })
  await send(audit)
  await audit.close()
  writeFileSync(join(spool, 'log-forked.json.tmp'), '{"format":')
  const again = await open(log, { spool, logKey: log.vkey })
  await send(again)
  await again.close()
  expect(existsSync(join(spool, 'log-forked.json.tmp'))).toBe(false)
  writeFileSync(join(spool, 'log-forked.json'), '{')
  const halted = await open(log, { spool, logKey: log.vkey })
  await expect(send(halted)).rejects.toMatchObject({ code: 'log_forked' })
})
