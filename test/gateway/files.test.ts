import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  copyFileSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { checkCollectorConfig } from '@killick/gateway'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { NOWHERE, prepare, sample, type TestCollector, testCollector } from './support.ts'

let edge: TestCollector
let log: string

beforeAll(async () => {
  edge = await testCollector(NOWHERE, { files: [{ path: 'app.log', emitter: 'payroll' }] })
  log = join(edge.folder, 'app.log')
})
afterAll(() => edge.stop())

const line = (n: number) => `${JSON.stringify(sample(n))}\n`
const lines = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => line(from + i)).join('')
const reaches = (count: number) => expect.poll(() => edge.collector.log.status.recorded, { interval: 20 }).toBe(count)

test('a file is followed: as it appears, grows, is renamed, is cut to nothing, and while nobody looks', async () => {
  writeFileSync(log, lines(0, 3))
  await reaches(3)
  appendFileSync(log, lines(3, 10) + line(10).slice(0, 20))
  await reaches(10)
  appendFileSync(log, line(10).slice(20))
  await reaches(11)

  // Renamed; whoever writes has not noticed yet.
  renameSync(log, `${log}.1`)
  appendFileSync(`${log}.1`, lines(11, 13))
  writeFileSync(log, lines(13, 20))
  await reaches(20)

  truncateSync(log, 0)
  appendFileSync(log, lines(20, 22))
  await reaches(22)

  // Stopped: it is written, renamed, and another one begun.
  await edge.collector.close()
  appendFileSync(log, lines(22, 25))
  renameSync(log, `${log}.2`)
  writeFileSync(log, lines(25, 30))
  await edge.restart()
  await reaches(30)
})

test('a file that is cut and grows beyond where it was read, before anybody looks, is read from its beginning', async () => {
  const before = edge.collector.log.status.recorded
  truncateSync(log, 0)
  appendFileSync(log, lines(200, 203))
  await reaches(before + 3)
  writeFileSync(log, lines(210, 220))
  await reaches(before + 13)
  appendFileSync(log, line(220))
  await reaches(before + 14)
  // While nobody looks, too.
  await edge.collector.close()
  writeFileSync(log, lines(230, 250))
  await edge.restart()
  await reaches(before + 34)
})

const faults = async (fault: string) => {
  const text = await (await fetch(`${edge.url}/metrics`)).text()
  return Number(new RegExp(`file_faults_total\\{emitter="payroll",fault="${fault}"\\} (\\d+)`).exec(text)?.[1] ?? 0)
}

test('what was not read yet of a file that is cut is read from the copy that was made of it, and each cut is counted', async () => {
  const before = edge.collector.log.status.recorded
  const cuts = await faults('cut')
  // One that begins as it does, and is none.
  copyFileSync(log, `${log}.11`)
  appendFileSync(`${log}.11`, lines(900, 920))
  appendFileSync(log, lines(300, 303))
  await reaches(before + 3)
  const cut = (end: string, from: number) => {
    appendFileSync(log, lines(from, from + 5))
    copyFileSync(log, `${log}.${end}`)
    appendFileSync(log, line(from + 5))
    truncateSync(log, 0)
    appendFileSync(log, lines(from + 6, from + 8))
  }
  cut('12', 310)
  await reaches(before + 10)
  await edge.collector.close()
  cut('13', 320)
  await edge.restart()
  await reaches(before + 17)
  expect(await faults('cut')).toBe(1)
  truncateSync(log, 0)
  await expect.poll(() => faults('cut')).toBe(2)
  expect(cuts).toBeGreaterThan(0)
  for (const end of ['11', '12', '13']) rmSync(`${log}.${end}`)
})

test('files that were renamed one after another while nobody looked are read in turn, and what is gone is counted', async () => {
  const before = edge.collector.log.status.recorded
  const rotate = (end: string, from: number) => {
    renameSync(log, `${log}${end}`)
    writeFileSync(log, lines(from, from + 2))
  }
  await edge.collector.close()
  appendFileSync(log, lines(300, 301))
  rotate('-20261127', 301)
  rotate('-20261128', 303)
  // That is not the log's.
  writeFileSync(`${log}.errors`, lines(900, 903))
  rotate('.old', 305)
  await edge.restart()
  await reaches(before + 7)
  expect(await faults('missed')).toBe(0)

  await edge.collector.close()
  rotate('-20261129', 307)
  // What was read is gone with what came to it, the next is compressed, and the one after is not.
  rmSync(`${log}-20261129`)
  rotate('-20261130', 309)
  execFileSync('gzip', [`${log}-20261130`])
  rotate('-20261201', 311)
  await edge.restart()
  await reaches(before + 7 + 4)
  expect(await faults('missed')).toBe(2)
})

test('what is read again after a crash is recorded once', async () => {
  const before = edge.collector.log.status.recorded
  await edge.collector.close()
  const ids = join(edge.folder, 'spool/ids')
  for (const name of readdirSync(ids)) if (name.endsWith('.position.json')) rmSync(join(ids, name))
  await edge.restart()
  appendFileSync(log, line(99))
  await reaches(before + 1)
})

test('what else has a name that begins so is nothing to wait for', async () => {
  const before = edge.collector.log.status.recorded
  await edge.collector.close()
  // The file is another one, so all are looked at.
  rmSync(log)
  for (const name of ['.bak', '~']) symlinkSync(join(edge.folder, 'gone'), `${log}${name}`)
  execFileSync('mkfifo', [`${log}.pipe`])
  await edge.restart()
  writeFileSync(log, line(200))
  await reaches(before + 1)
})

test('a line that is no event is kept apart and counted, and the others go on', async () => {
  const before = edge.collector.log.status.recorded
  appendFileSync(log, `{"action":\n${line(1)}\xff\n${line(2)}`, 'latin1')
  await reaches(before + 2)
  const rejected = readFileSync(join(edge.folder, 'spool/ids/rejected.ndjson'), 'utf8').trim().split('\n')
  expect(rejected.map((entry) => JSON.parse(entry))).toMatchObject([
    { file: log, code: 'collect_input_invalid', line: '{"action":' },
    { file: log, code: 'collect_encoding_invalid', line: 'ÿ' },
  ])
  expect(await (await fetch(`${edge.url}/metrics`)).text()).toMatch(
    /refusals_total\{code="collect_input_invalid",emitter="payroll",via="file"\} 1/,
  )
})

test('a file that may not be read is counted, one that is not there yet is not, and either is followed once it can be', async () => {
  const before = edge.collector.log.status.recorded
  await edge.collector.close()
  rmSync(log)
  await edge.restart()
  expect(await faults('unreadable')).toBe(0)
  // Nobody may read what leads to itself, not even who may read everything.
  symlinkSync(log, log)
  await vi.waitUntil(async () => (await faults('unreadable')) > 1, 20_000)
  rmSync(log)
  writeFileSync(log, lines(400, 402))
  await reaches(before + 2)
})

test('two files with one path are named as a fault', async () => {
  const files = ['app.log', './app.log'].map((path) => ({ path, emitter: 'payroll' }))
  const { config, folder } = await prepare(NOWHERE, { files })
  expect(() => checkCollectorConfig(config, folder)).toThrow('/files/1/path is that of /files/0')
  rmSync(folder, { recursive: true })
})
