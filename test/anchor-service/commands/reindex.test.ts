// The command `reindex`, beside a running service.
import { existsSync } from 'node:fs'
import { cp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { acceptHead } from '../../../anchor-service/src/commands/accept-head.ts'
import { explainFault } from '../../../anchor-service/src/commands/explained.ts'
import { reindexAll } from '../../../anchor-service/src/commands/reindex.ts'
import { loadConfig } from '../../../anchor-service/src/config.ts'
import { queryAsOwner } from '../../support/postgres.ts'
import { smallDisk } from '../../support/small-disk.ts'
import { recordSome } from '../audit/support/audits.ts'
import { call, type TestService, testService } from '../support/service.ts'

let service: TestService
let stored: unknown
const rows = () => queryAsOwner(service.databaseUrl, 'select * from killick.pack_keys order by first_event')

beforeAll(async () => {
  service = await testService()
  await recordSome(service, 4, 5)
  stored = await rows()
})
afterAll(() => service.stop())

const config = () => loadConfig({ DATABASE_URL: service.databaseUrl, KILLICK_DATA: service.folder })
const progress = () => join(service.folder, 'reindex.json')
const found = async () => (await call(service.url, '/v1/events?action=invoice.*&limit=500')).json.events.length

test('reports that nothing was wrong if nothing was', async () => {
  const said = await reindexAll(config())
  expect(said).toContain('0 mended, 0 added, 0 of older schemes dropped')
  expect(said).not.toMatch(/continued|altered|cannot be read/)
  expect(existsSync(progress())).toBe(false)
})

test('mends altered and deleted rows, and reports how many, beside a running service', async () => {
  const count = await found()
  expect(count).toBe(20)
  await queryAsOwner(service.databaseUrl, `update killick.pack_keys set keys = '' where first_event = 2`)
  await queryAsOwner(service.databaseUrl, 'delete from killick.pack_keys where first_event > 2')
  const [said, ...counts] = await Promise.all([reindexAll(config()), found(), found()])
  expect(said).toContain('1 mended, 3 added')
  expect(said).toContain('somebody has altered the database')
  // The event whose keys were altered is not found until they are mended.
  for (const one of counts) expect(one).toBeGreaterThanOrEqual(count - 5)
  expect(await found()).toBe(count)
  expect(await rows()).toEqual(stored)
})

test('continues where it was stopped, and says so; a note of progress that makes no sense is ignored', async () => {
  await queryAsOwner(service.databaseUrl, 'delete from killick.pack_keys where first_event = 2')
  await writeFile(progress(), JSON.stringify({ origin: config().origin, events: 16_384 }))
  expect(await reindexAll(config())).toMatch(/^It continued at event 16384.* 0 packs were looked at/s)
  expect(existsSync(progress())).toBe(false)
  for (const text of ['{', 'null', '{"origin":"other.example/log","events":16384}', '[]']) {
    await writeFile(progress(), text)
    expect(await reindexAll(config())).not.toContain('continued')
  }
  expect(await rows()).toEqual(stored)
})

test('a full disk is told in a sentence, by commands that keep heads too', async () => {
  const disk = smallDisk(1)
  try {
    await cp(join(service.folder, 'keys'), join(disk.folder, 'keys'), { recursive: true })
    disk.fill()
    const full = loadConfig({ DATABASE_URL: service.databaseUrl, KILLICK_DATA: disk.folder })
    for (const command of [() => reindexAll(full), () => acceptHead(full, false)])
      await expect(explainFault(command)).rejects.toMatchObject({
        ...{
          name: 'StartError',
          message: expect.stringMatching(/ENOSPC: .*\. Run the command again when that is mended/),
        },
      })
  } finally {
    disk.remove()
  }
})
