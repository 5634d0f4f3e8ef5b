import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateKey, KillickError, openAuditLog } from '@killick/sdk'
import { lostLogLines, openLogLines } from '@killick/sdk/core'
import { afterAll, expect, test } from 'vitest'
import { killick } from '../sdk/cli/support.ts'
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

test('a log on a full disk loses lines, says how many once there is room, and every line is one', () => {
  const file = join(disk.folder, 'service.log')
  const fd = openSync(file, 'a')
  const log = openLogLines(fd)
  const line = (n: number) => `${JSON.stringify({ n, pad: 'x'.repeat(300) })}\n`
  const before = lostLogLines()
  log.write(line(1))
  disk.fill()
  let n = 2
  // What the last page of the file still has room for is written, and of the line behind that a part.
  while (lostLogLines() < before + 3) log.write(line(n++))
  disk.free()
  log.write(line(n))
  closeSync(fd)
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
  const notice = lines.at(-2)!
  expect(JSON.parse(notice)).toMatchObject({ level: 40, msg: '3 log lines before this one found no room' })
  expect(JSON.parse(lines.at(-1)!).n).toBe(n)
  const whole = lines.slice(0, -2).filter((text) => text.endsWith('}'))
  expect(whole.map((text) => JSON.parse(text).n)).toEqual(whole.map((_, i) => i + 1))
  expect(whole.length).toBe(n - 1 - 3)
})

test('a key that finds no room leaves nothing in the way of the next try', async () => {
  const folder = join(disk.folder, 'keys')
  mkdirSync(folder)
  const keygen = () => killick(['keygen', '--out', join(folder, 'app.key.json')])
  disk.fill()
  expect(await keygen()).toMatchObject({ code: 2, err: expect.stringMatching(/app\.key\.json: the disk is full/) })
  expect(readdirSync(folder)).toEqual([])
  disk.free()
  expect((await keygen()).code).toBe(0)
  expect(readdirSync(folder).sort()).toEqual(['app.key.json', 'app.pub.json'])
})

test('of a spool on a disk that is read-only it says so, whether the folder is there or not', async () => {
  disk.protect()
  for (const spool of ['spool', 'none', 'none/either', '{worker}']) {
    const options = { url: 'http://127.0.0.1:9', source: 'full', key: generateKey(), spool: join(disk.folder, spool) }
    await expect(openAuditLog(options), spool).rejects.toMatchObject({
      code: 'spool_failed',
      message: expect.stringContaining('EROFS: read-only file system'),
    })
  }
})
