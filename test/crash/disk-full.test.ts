import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateKey, KillickError, openAuditLog } from '@killick/sdk'
import { afterAll, expect, test } from 'vitest'
import { smallDisk } from '../support/small-disk.ts'

const disk = smallDisk(1)
afterAll(() => disk.remove())

test('a full disk under the spool refuses, keeps what it has, and takes more once there is room', async () => {
  const spool = join(disk.folder, 'spool')
  const key = generateKey()
  const open = () =>
    openAuditLog({ url: 'http://127.0.0.1:9', source: 'full', key, spool, spoolWaitMs: 0, onError: () => {} })
  const event = {
    action: 'disk.fill',
    actor: { type: 'test', id: 'test' },
    targets: [],
    metadata: { pad: 'x'.repeat(4000) },
  }
  const ballast = join(disk.folder, 'ballast')
  writeFileSync(ballast, Buffer.alloc(512 * 1024))

  let log = await open()
  let acknowledged = 0
  const refusal = await (async () => {
    for (; acknowledged < 1000; acknowledged++) await log.record(event)
  })().catch((error: unknown) => error)
  expect(refusal).toBeInstanceOf(KillickError)
  expect(['spool_disk_full', 'spool_full']).toContain((refusal as KillickError).code)
  expect(acknowledged).toBeGreaterThan(10)
  expect(log.status.recorded).toBe(acknowledged)

  rmSync(ballast)
  expect((await log.record(event)).seq).toBe(acknowledged)
  await log.close({ timeoutMs: 0 })
  log = await open()
  expect(log.status.recorded).toBe(acknowledged + 1)
  expect((await log.record(event)).seq).toBe(acknowledged + 1)
  await log.close({ timeoutMs: 0 })
})
