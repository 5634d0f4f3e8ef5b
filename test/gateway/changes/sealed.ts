import { unsealEvent } from '@killick/sdk/sealing'
import { expect, test } from 'vitest'
import { erase, keysInDatabase, wordsIn } from '../sealed/support.ts'
import { type Told, world } from './support.ts'

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
  for (const id of ['bob-1912', 'eve-1843', 'joe-1903']) await add(id)
  await expect.poll(() => it.said.join(' ')).toContain('nothing can be sealed')
  await reach(true)
  await it.finish(later)
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
