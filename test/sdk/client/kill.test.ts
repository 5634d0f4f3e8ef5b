import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { openAuditLog } from '../../../sdk/src/client/index.ts'
import { equalBytes } from '../../../sdk/src/core/bytes.ts'
import { idsIn, key, startLog, tempDir } from './support.ts'

const child = fileURLToPath(new URL('./recording-child.ts', import.meta.url))
const ROUNDS = process.env.CI ? 20 : 8

test('killed at any moment while recording: every acknowledged event reaches the log once, in order', {
  timeout: 120_000,
}, async () => {
  const log = await startLog()
  const spool = tempDir()
  const acknowledged = new Map<number, string>()
  for (let round = 0; round < ROUNDS; round++) {
    const recorder = spawn(process.execPath, [child, log.url, spool, JSON.stringify(key)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let printed = ''
    recorder.stdout.setEncoding('utf8').on('data', (text: string) => {
      printed += text
    })
    const [code] = await Promise.race([once(recorder.stdout, 'data'), once(recorder, 'close')])
    expect(code, `it ended before it recorded anything, in round ${round}`).toBeTypeOf('string')
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 120))
    recorder.kill('SIGKILL')
    await once(recorder, 'close')
    for (const line of printed.split('\n').slice(0, -1)) {
      const [seq, id] = line.split(' ')
      expect(acknowledged.has(Number(seq))).toBe(false)
      acknowledged.set(Number(seq), id!)
    }
  }
  expect(acknowledged.size).toBeGreaterThan(ROUNDS * 8)

  const audit = await openAuditLog({ url: log.url, source: 'test', key, spool })
  await audit.flush()
  const { stream, recorded, pending } = audit.status
  await audit.close()
  expect(pending).toBe(0)

  const ids = idsIn(log)
  expect(ids.length).toBe(recorded)
  expect(new Set(ids).size).toBe(ids.length)
  for (const [seq, id] of acknowledged) expect(ids[seq]).toBe(id)
  const events = log.batches.flatMap((batch) => batch.events)
  events.forEach((event, i) => {
    expect([event.stream, event.seq]).toEqual([stream, i])
    if (i > 0) expect(equalBytes(event.prev!, events[i - 1]!.leafHash)).toBe(true)
  })
  for (const [i, { header }] of log.batches.entries())
    if (i > 0) expect(equalBytes(header.prev!, log.batches[i - 1]!.header.leafHash)).toBe(true)
})
