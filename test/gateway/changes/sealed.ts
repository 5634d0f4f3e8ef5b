import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { unsealEvent } from '@killick/sdk/sealing'
import { expect, test } from 'vitest'
import { erase, keysInDatabase, wordsIn } from '../sealed/support.ts'
import { type Told, world } from './support.ts'

/** A module with the store in the database, which has no key for one subject while a file is not there. */
const storeWithout = (subject: string, at: { databaseFile: string; secretFile: string }, file: string): string => `
import { existsSync, readFileSync } from 'node:fs'
import pg from '${import.meta.resolve('pg')}'
import { postgresSubjectKeys } from '${import.meta.resolve('@killick/sdk/sealing')}'
const pool = new pg.Pool({ connectionString: readFileSync('${at.databaseFile}', 'utf8').trim(), allowExitOnIdle: true })
const store = postgresSubjectKeys(pool, { secret: Buffer.from(readFileSync('${at.secretFile}', 'utf8'), 'base64') })
export default {
  ...store,
  async toSeal(whose) {
    if (whose.id.includes('${subject}') && !existsSync('${file}')) throw new Error('this key cannot be had now')
    return store.toSeal(whose)
  },
}
`

test('rows are sealed for whom they are about: none is skipped or doubled while the keys are away, and of the erased nothing is in clear', async () => {
  const { settings: keysAt, keys, reach } = await keysInDatabase()
  const subject = { type: 'person', id: '/targets/0/id' }
  const sealed = { fields: ['targets', 'changes'], keys: keysAt, subject, timeoutMs: 2_000 }
  const table = 'create table people (id text primary key, phone text); alter table people replica identity full'
  const it = await world(table, { sealed, limits: { reconnectMs: 50 } })
  expect(() => it.config({ group: 'auto' })).toThrow('/group must be row')
  const add = (id: string) => it.client.query('insert into people values ($1, $2)', [id, `phone-of-${id}`])
  const recorder = await it.start()
  await add('ada-1815')
  await expect.poll(() => recorder.status.committedMs).not.toBeNull()
  await it.finish(recorder)
  await reach(false)
  const later = await it.start()
  await add('bob-1912')
  await expect.poll(() => it.said.join(' ')).toContain('nothing can be sealed')
  await reach(true)
  await it.finish(later)
  // One key alone that cannot be had: what is behind it must not be durable before it.
  const module = join(it.folder, 'keys.mjs')
  writeFileSync(module, storeWithout('eve-1843', keysAt, join(it.folder, 'is-back')))
  const picky = await it.start({ sealed: { ...sealed, keys: { module } } })
  await it.client.query('begin')
  for (const id of ['eve-1843', 'joe-1903']) await add(id)
  await it.client.query('commit')
  await expect.poll(() => it.said.join(' ')).toContain('cannot be had now')
  writeFileSync(join(it.folder, 'is-back'), '')
  await it.finish(picky)
  const rowsIn = async (events: Told[]) =>
    Promise.all(
      events
        .filter(({ action }) => action === 'changes.insert')
        .map(({ id, ...fields }) => unsealEvent({ id, fields }, keys)),
    )
  const rows = await rowsIn(await it.events())
  const told = rows.map(({ fields }) => fields as Told)
  expect(told.map(({ changes }) => changes.find((each: Told) => each.path === '/phone').after)).toEqual(
    ['ada-1815', 'bob-1912', 'eve-1843', 'joe-1903'].map((id) => `phone-of-${id}`),
  )
  const person = { type: 'person', id: told[0].targets[0].id as string }
  expect(person.id).toContain('ada-1815')
  await erase(keys, person)
  const last = await it.start()
  await it.client.query("update people set phone = 'phone-gone' where id = 'ada-1815'")
  await it.finish(last)
  const update = (await it.events()).find(({ action }) => action === 'changes.update')
  expect(update.metadata.changes.withheld).toEqual({ fields: ['targets', 'changes'], why: 'subject_erased' })
  expect(wordsIn(it.folder, ['ada-1815', 'bob-1912', 'phone-of-', 'phone-gone'])).toEqual([])
  expect(wordsIn(it.folder, ['changes.update', 'subject_erased'])).toEqual(['changes.update', 'subject_erased'])
})
