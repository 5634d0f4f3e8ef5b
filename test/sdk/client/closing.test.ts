// close() ends in its time, whatever it waits for, and says of each call what became of it.
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type AuditLogOptions, openAuditLog } from '../../../sdk/src/client/index.ts'
import { signerOf } from '../../../sdk/src/client/key.ts'
import { event, key, startLog, type TestLog, tempDir } from './support.ts'

const signer = signerOf(key)

async function open(log: Pick<TestLog, 'url'>, options: Partial<AuditLogOptions> = {}) {
  const audit = await openAuditLog({
    ...{ url: log.url, source: 'test', key, spool: tempDir(), onError: () => {}, onPin: () => {} },
    ...options,
  })
  onTestFinished(async () => {
    await audit.close({ timeoutMs: 0 })
  })
  return audit
}

/** A signer that answers `answers` times, and then never again. */
function dying(answers: number): { key: AuditLogOptions['key']; asked: () => number } {
  let asked = 0
  const sign = (message: Uint8Array) => {
    asked += 1
    return asked <= answers ? signer.sign(message) : new Promise<Uint8Array>(() => {})
  }
  return { key: { jwk: signer.jwk, sign }, asked: () => asked }
}

test.each([
  { spool: 'a folder', options: () => ({}), endStream: false },
  { spool: 'a folder, and a stream that ends', options: () => ({}), endStream: true },
  { spool: 'memory', options: () => ({ spool: 'memory' }), endStream: true },
])('a signer that never answers does not keep close() from ending ($spool)', async ({ options, endStream }) => {
  const log = await startLog()
  const spool = tempDir()
  const errors: string[] = []
  const audit = await open(log, {
    ...{ spool, endStream, key: dying(1).key, batch: { maxAgeMs: 60_000 } },
    ...options(),
    onError: (error, during) => errors.push(`${during} ${(error as { code?: string }).code}`),
  })
  const calls = Promise.allSettled([audit.record(event(1)), audit.record(event(2)), audit.record(event(3))])
  const left = await audit.close({ timeoutMs: 100 })
  expect(left.pending).toBe(1)
  expect(audit.status.rejected).toBeGreaterThanOrEqual(2)
  const settled = await calls
  expect(settled.slice(1).map((it) => it.status === 'rejected' && it.reason.code)).toEqual(['log_closed', 'log_closed'])
  expect(errors).toContain('record log_closed')
})

test('nor does one that does not sign a batch, and the spool can be opened again', async () => {
  const log = await startLog()
  const spool = tempDir()
  const { key: remote, asked } = dying(1)
  const audit = await open(log, { spool, key: remote, batch: { maxAgeMs: 0 } })
  await audit.record(event(1))
  await expect.poll(asked).toBeGreaterThan(1)
  expect(await audit.close({ timeoutMs: 50 })).toMatchObject({ pending: 1 })
  const again = await open(log, { spool })
  await again.flush()
  expect(await again.close()).toEqual({ pending: 0, lastError: null })
})

test('a signer that answers behind the end signs nothing any more', async () => {
  const log = await startLog()
  const spool = tempDir()
  let answer = () => {}
  const isAsked = new Promise<void>((resolve) => {
    answer = resolve
  })
  const sign = (message: Uint8Array) => isAsked.then(() => signer.sign(message))
  const audit = await open(log, { spool, key: { jwk: signer.jwk, sign } })
  const call = audit.record(event(1))
  await audit.close({ timeoutMs: 20 })
  await expect(call).rejects.toMatchObject({ code: 'log_closed' })
  answer()
  const again = await open(log, { spool })
  expect(again.status.recorded).toBe(0)
})

test('flush() behind the end says that it was closed, and does not wait for ever', async () => {
  const audit = await open({ url: 'http://127.0.0.1:1' }, { batch: { maxAgeMs: 60_000 } })
  await audit.record(event(1))
  expect(await audit.close({ timeoutMs: 0 })).toMatchObject({ pending: 1 })
  await expect(audit.flush()).rejects.toMatchObject({ code: 'log_closed' })
})

test('a stream of another worker that cannot be ended does not keep close() from ending', async () => {
  const log = await startLog()
  const folder = tempDir()
  const dead = await open(log, { spool: join(folder, '1'), batch: { maxAgeMs: 60_000 } })
  await dead.record(event(1))
  await dead.close({ timeoutMs: 0 })
  // It signs the batch that was left, and not the event that ends the stream.
  const { key: remote, asked } = dying(1)
  const audit = await open(log, { spool: join(folder, '{worker}'), key: remote })
  await expect.poll(asked).toBeGreaterThan(1)
  expect(await audit.close({ timeoutMs: 0 })).toMatchObject({ pending: 0 })
})
