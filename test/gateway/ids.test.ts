import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { uuidv7 } from '@killick/sdk/core'
import { expect, onTestFinished, test } from 'vitest'
import { type IdLine, LINE_BYTES, timeOfId } from '../../gateway/src/ids/file.ts'
import { SenderIds } from '../../gateway/src/ids/sender-ids.ts'

const DAY = 86_400_000

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'killick-ids-'))
  onTestFinished(() => rmSync(made, { recursive: true, force: true }))
  return made
}
const sha = (text: string) => createHash('sha256').update(text).digest()
const line = (n: number, time = Date.now()): IdLine => ({
  ...{ key: sha(`key ${n}`).subarray(0, 16), content: sha(`content ${n}`).subarray(0, 20) },
  ...{ id: uuidv7(time), seq: n },
})
function fill(ids: SenderIds, from: number, to: number, time?: number): IdLine[] {
  const lines = Array.from({ length: to - from }, (_, i) => line(from + i, time))
  ids.promise(lines.length)
  for (const each of lines) ids.add(each)
  return lines
}
const files = (dir: string) => readdirSync(dir).sort()

test('ids are found again, by this process and the next', async () => {
  const dir = folder()
  const ids = new SenderIds(dir, { days: 7, count: 1e6 })
  const lines = fill(ids, 0, 40_000)
  await ids.sync()
  for (const reader of [ids, new SenderIds(dir, { days: 7, count: 1e6 })]) {
    expect(reader.count).toBe(40_000)
    for (const each of [lines[0]!, lines[777]!, lines.at(-1)!]) expect(reader.find(each.key)).toEqual(each)
    expect(reader.find(line(-1).key)).toBeNull()
    reader.close()
  }
})

test('a line that was cut off, or overwritten in part, is no line; those around it are', () => {
  const dir = folder()
  const ids = new SenderIds(dir, { days: 7, count: 1e6 })
  const lines = fill(ids, 0, 10)
  ids.close()
  const path = join(dir, files(dir)[0]!)
  const bytes = readFileSync(path)
  bytes[5 * LINE_BYTES + 20]! ^= 1
  writeFileSync(path, bytes)
  truncateSync(path, 9 * LINE_BYTES + 40)
  const again = new SenderIds(dir, { days: 7, count: 1e6 })
  expect(lines.map(({ key }) => again.find(key) !== null)).toEqual([1, 1, 1, 1, 1, 0, 1, 1, 1, 0].map(Boolean))
  const more = fill(again, 10, 12)
  for (const each of [...more, lines[8]!]) expect(again.find(each.key)).toEqual(each)
  again.close()
})

test('a file begins each day and when one is full; the oldest goes by age, or when there are too many', () => {
  const dir = folder()
  let now = Date.now()
  const ids = new SenderIds(dir, { days: 7, count: 250 }, () => now, 100)
  const first = fill(ids, 0, 1, now)
  now += DAY
  fill(ids, 1, 2, now)
  expect(files(dir)).toHaveLength(2)
  for (let i = 0; i < 5; i++) fill(ids, 10 + 100 * i, 110 + 100 * i, now)
  // By number: at least 250 are left, and no file more than that takes.
  expect(ids.count).toBeGreaterThanOrEqual(250)
  expect(ids.count).toBeLessThan(450)
  expect(ids.find(first[0]!.key)).toBeNull()
  const kept = fill(ids, 1000, 1001, now)
  now += 6 * DAY
  fill(ids, 2000, 2001, now)
  expect(ids.find(kept[0]!.key)).toEqual(kept[0])
  now += 2 * DAY
  fill(ids, 3000, 3001, now)
  expect(ids.find(kept[0]!.key)).toBeNull()
  expect(files(dir).every((name) => existsSync(join(dir, name)))).toBe(true)
  ids.close()
})

test('a UUIDv7 says when its event was recorded', () => {
  const now = Date.now()
  expect(timeOfId(uuidv7(now))).toBe(now)
})
