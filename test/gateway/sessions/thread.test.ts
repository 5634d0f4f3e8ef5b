import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { generateKey, KillickError, openAuditLog, writeKeyFile } from '@killick/sdk'
import { type JsonObject, type JsonValue, type ParsedEvent, parseEvent } from '@killick/sdk/core'
import { compileRedaction, KitError } from '@killick/sdk/kit'
import { expect, onTestFinished, test } from 'vitest'
import type { RecorderParts } from '../../../gateway/src/sessions/recorder.ts'
import { openRecorderThread } from '../../../gateway/src/sessions/thread.ts'
import { NOWHERE } from '../support.ts'

const ACTOR = { type: 'agent', id: 'tester' }

async function parts(limits: Partial<RecorderParts['settings']['limits']> = {}): Promise<RecorderParts> {
  const folder = mkdtempSync(join(tmpdir(), 'killick-thread-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const key = join(folder, 'key.json')
  await writeKeyFile(key, generateKey())
  return {
    ...{ kind: 'mcp', fields: ['arguments'], say: () => {} },
    settings: {
      ...{ url: NOWHERE, source: 'thread', key, spool: join(folder, 'spool'), state: join(folder, 'state') },
      ...{ logKey: null, mode: 'strict', actor: null, sealed: null, context: { site: 'here' } },
      redaction: compileRedaction([{ name: 'card', detect: ['card'] }]),
      limits: { discloseBytes: 32_768, spoolBytes: 2 ** 28, spoolWaitMs: 0, drainMs: 0, ...limits },
    },
  }
}

async function recordedBy({ settings: { key, spool } }: RecorderParts): Promise<ParsedEvent[]> {
  const found: ParsedEvent[] = []
  const log = await openAuditLog({
    ...{ url: NOWHERE, source: 'thread', key, spool, onError: () => {} },
    onFound: (event) => void found.push(parseEvent(event)),
  })
  await log.close({ timeoutMs: 0 })
  return found
}

const asked = (i: number, more: object = {}) => ({
  ...{ session: 's-1', isOpen: false, ends: [] },
  facts: { action: `call.${i}`, actor: ACTOR, targets: [], known: { i }, ...more },
})

/** `[[…]]`, so many levels deep. */
function nested(levels: number): JsonValue {
  let value: JsonValue = 'card 4111 1111 1111 1111'
  for (let i = 0; i < levels; i++) value = [value]
  return value
}

test('events are recorded in the order of the calls, each under the id that its call got, whatever is in them', async () => {
  const own = await parts()
  const recorder = await openRecorderThread(own)
  const odd: [string, object][] = [
    ['plain', { fields: { arguments: { text: 'half a pair \ud83d' } } }],
    ['redacted', { told: { note: nested(3) } }],
    ['deep', { fields: { arguments: nested(5_000) } }],
    ['deeper than any stack', { fields: { arguments: nested(200_000) }, told: { at: nested(200_000) } }],
  ]
  // More than go over at once, so that some wait while the thread makes others.
  const plain = 400
  const asking = [
    ...Array.from({ length: plain }, (_, i) => recorder.record(asked(i))),
    ...odd.map(([, more], i) => recorder.record(asked(plain + i, more))),
  ]
  const begun = await Promise.all(asking)
  expect(await recorder.status()).toMatchObject({ pending: plain + odd.length, lastError: null })
  await recorder.close()
  await expect(recorder.record(asked(99))).rejects.toThrow('has ended')
  const events = await recordedBy(own)
  expect(events.map(({ id }) => id)).toEqual(begun.map(({ id }) => id))
  expect(events.map(({ seq }) => seq)).toEqual(begun.map((_, i) => i))
  const [half, redacted, deep, deepest] = events.slice(plain).map(({ fields }) => fields as Record<string, JsonObject>)
  expect(events[0]!.fields).toMatchObject({ action: 'mcp.call.0', context: { site: 'here', session: 's-1' } })
  expect(half).not.toHaveProperty('arguments')
  expect(half!.metadata).toMatchObject({ mcp: { omitted: { arguments: { why: 'form' } } } })
  expect(JSON.stringify(redacted)).toContain('[redacted:card]')
  expect(JSON.stringify(redacted)).not.toMatch(/4111 ?1111/)
  expect(deep!.metadata).toMatchObject({ mcp: { omitted: { arguments: { why: 'form' } } } })
  expect(deepest!.metadata).toMatchObject({
    omitted: { why: 'form' },
    mcp: { omitted: { arguments: { why: 'form' } } },
  })
})

test('what cannot be recorded is refused with the same error as on the same thread', async () => {
  const own = await parts({ spoolBytes: 1 << 20 })
  const recorder = await openRecorderThread(own)
  const second = openRecorderThread(own)
  await expect(second).rejects.toThrow(KillickError)
  await expect(second).rejects.toMatchObject({ code: 'spool_locked', details: expect.anything() })
  const wrong = recorder.record(asked(0, { context: JSON.parse('{"__proto__":1}') }))
  await expect(wrong).rejects.toThrow(KitError)
  await expect(wrong).rejects.toMatchObject({ code: 'event_invalid' })
  const large = { fields: { arguments: 'x'.repeat(30_000) } }
  const many = await Promise.allSettled(Array.from({ length: 60 }, (_, i) => recorder.record(asked(i, large))))
  const full = many.filter(({ status }) => status === 'rejected')
  expect(full.length).toBeGreaterThan(0)
  for (const each of full) expect((each as PromiseRejectedResult).reason).toMatchObject({ code: 'spool_full' })
  await recorder.close()
  expect(await recordedBy(own)).toHaveLength(60 - full.length)
})

test('10,000 events wait and no more; the thread dies with them, and each that was called durable is on disk, once, in its place', async () => {
  const own = await parts()
  const said: string[] = []
  const threads: Worker[] = []
  const note = (thread: Worker) => void threads.push(thread)
  process.on('worker', note)
  const recorder = await openRecorderThread({ ...own, say: (text) => said.push(text) })
  process.off('worker', note)
  const first = await recorder.record(asked(0))
  const waiting = Array.from({ length: 10_000 }, (_, i) => recorder.record(asked(i)))
  await expect(recorder.record(asked(10_000))).rejects.toMatchObject({ code: 'spool_full' })
  const all = Promise.allSettled([first, ...waiting])
  // By now the thread has them, and takes longer than that to sign them.
  await new Promise(setImmediate)
  await threads[0]!.terminate()
  const settled = await all
  const durable = settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value.id] : []))
  const lost = settled.flatMap((each) => (each.status === 'rejected' ? [each.reason as KillickError] : []))
  expect(durable[0]).toBe(first.id)
  expect(lost.length).toBeGreaterThan(0)
  expect(new Set(lost.map(({ code, message }) => `${code}: ${message}`))).toEqual(
    new Set(['log_closed: The thread that records has ended; start the gateway again']),
  )
  await expect(recorder.record(asked(1))).rejects.toMatchObject({ code: 'log_closed' })
  expect(await recorder.status()).toMatchObject({ state: 'closed', lastError: expect.stringContaining('has ended') })
  await expect(recorder.close()).rejects.toMatchObject({ code: 'log_closed' })
  expect(said).toEqual([expect.stringMatching(/^nothing can be recorded any more: The thread/)])
  const found = await recordedBy(own)
  expect(found.slice(0, durable.length).map(({ id }) => id)).toEqual(durable)
  expect(found.map(({ seq }) => seq)).toEqual(found.map((_, i) => i))
})
