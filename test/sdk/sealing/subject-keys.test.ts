// The stores of subjects' keys, on a real PostgreSQL and a real disk: what is erased stays erased, whatever is restored.
import { randomBytes } from 'node:crypto'
import { cpSync, globSync, linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  eraseSubject,
  folderSubjectKeys,
  postgresSubjectKeys,
  reapplyErasures,
  type SubjectKeys,
} from '@killick/sdk/sealing'
import pg from 'pg'
import { describe, expect, inject, onTestFinished, test, vi } from 'vitest'
import { createDatabase, queryAsOwner } from '../../support/postgres.ts'
import { tempDir } from '../client/support.ts'

const ADA = { type: 'user', id: 'ada-1815', name: 'Ada Lovelace' }
const BOB = { type: 'user', id: 'bob-1816' }
const AT = '2026-07-01T12:00:00.250Z'
const isKillick = (code: string) => expect.objectContaining({ code })

type Store = {
  keys: SubjectKeys
  /** Another process with the same store. */
  again(secret?: Uint8Array): Promise<SubjectKeys>
  /** Takes a backup. @returns what brings it up beside the store, as it was */
  backUp(): Promise<() => Promise<SubjectKeys>>
  /** All that is stored, as text. */
  text(): Promise<string>
}

async function onDisk(): Promise<Store> {
  const [folder, copy] = [tempDir(), join(tempDir(), 'copy')]
  const secret = randomBytes(32)
  return {
    keys: await folderSubjectKeys(folder, { secret }),
    again: (other = secret) => folderSubjectKeys(folder, { secret: other }),
    backUp: async () => {
      cpSync(folder, copy, { recursive: true })
      return () => folderSubjectKeys(copy, { secret })
    },
    text: async () =>
      globSync(`${folder}/*`)
        .map((path) => `${path} ${readFileSync(path, 'latin1')}`)
        .join('\n'),
  }
}

function poolOf(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 4 })
  onTestFinished(() => (pool.ended ? undefined : pool.end()))
  return pool
}

async function inPostgres(): Promise<Store & { pool: pg.Pool }> {
  const url = await createDatabase()
  const secret = randomBytes(32)
  let pool = poolOf(url)
  const open = (to: pg.Pool, by: Uint8Array = secret) =>
    postgresSubjectKeys({ query: (...args) => to.query(...args) }, { secret: by })
  const keys = postgresSubjectKeys({ query: (...args) => pool.query(...args) }, { secret })
  await Promise.all([keys.createTable(), open(pool).createTable()])
  return {
    keys,
    get pool() {
      return pool
    },
    again: async (by) => open(pool, by),
    async backUp() {
      // A copy of the database's files, which is taken while nobody is connected.
      const name = `${new URL(url).pathname.slice(1)}_copy`
      await pool.end()
      const admin = poolOf(inject('postgres'))
      await admin.query(`create database ${name} template ${new URL(url).pathname.slice(1)}`)
      pool = poolOf(url)
      return async () => open(poolOf(Object.assign(new URL(url), { pathname: `/${name}` }).href))
    },
    text: async () => JSON.stringify((await pool.query('select * from killick_subject_keys')).rows),
  }
}

describe.each([
  ['a folder', onDisk],
  ['PostgreSQL', inPostgres],
])('%s', (_, open) => {
  test('a subject has one key, whoever asks first, and nothing of it is in the store', async () => {
    const { keys, again, text } = await open()
    const other = await again()
    const id = await keys.idOf(ADA)
    expect(id).toMatch(/^[\w-]{22}$/)
    expect(await keys.idOf({ type: 'user', id: 'ada-1815' })).toBe(id)
    expect(await keys.idOf({ type: 'usera', id: 'da-1815' })).not.toBe(id)
    expect(await keys.find(id)).toBeNull()
    const all = await Promise.all(Array.from({ length: 8 }, (_, i) => (i % 2 ? keys : other).toSeal(ADA)))
    expect(new Set(all.map(({ key }) => Buffer.from(key).toString('hex'))).size).toBe(1)
    expect(await other.find(id)).toEqual(all[0])
    expect((await keys.toSeal(BOB)).key).not.toEqual(all[0]!.key)
    const stored = await text()
    expect(stored).toContain(id)
    for (const word of ['ada-1815', 'bob-1816', 'Lovelace', Buffer.from(all[0]!.key).toString('base64url')])
      expect(stored.toLowerCase()).not.toContain(word.toLowerCase())
    // Under another secret it is another name; the key by its old name does not open.
    const stranger = await again(randomBytes(32))
    expect(await stranger.idOf(ADA)).not.toBe(id)
    await expect(stranger.find(id)).rejects.toThrow(isKillick('subject_key_invalid'))
    expect(await keys.find('no such key')).toBeNull()
    await expect(keys.toSeal({ type: 'user' } as never)).rejects.toThrow(isKillick('subject_missing'))
  })

  test('an erased key is gone for good, and its subject gets no other', async () => {
    const { keys, again, text } = await open()
    const { id } = await keys.toSeal(ADA)
    const wrapped = /[\w-]{80}\.\.[\w-]+\.[\w-]+\.[\w-]+/.exec(await text())![0]
    const mark = { id, at: AT, event: 'e-1' }
    const other = await again()
    await other.toSeal(ADA)
    expect(await keys.erase([mark, mark])).toBe(1)
    expect(await keys.erase([{ ...mark, at: '2027-01-01T00:00:00.000Z' }])).toBe(0)
    for (const each of [keys, other]) {
      expect(await each.find(id)).toEqual(mark)
      await expect(each.toSeal(ADA)).rejects.toThrow(expect.objectContaining({ code: 'subject_erased', details: mark }))
    }
    expect(await text()).not.toContain(wrapped)
    // Also one that never had a key here.
    const bob = { id: await keys.idOf(BOB), at: AT, event: null }
    expect(await keys.erase([bob])).toBe(1)
    await expect(other.toSeal(BOB)).rejects.toThrow(isKillick('subject_erased'))
    const marks = []
    for await (const each of other.erased()) marks.push(each)
    expect(marks.toSorted((a, b) => (a.id < b.id ? -1 : 1))).toEqual(
      [mark, bob].toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    )
    await expect(keys.erase([{ id: 'ada', at: AT, event: null }])).rejects.toThrow(isKillick('option_invalid'))
  })

  test('erased while many write: either a key that is gone, or a refusal', async () => {
    const { keys, again } = await open()
    const other = await again()
    const id = await keys.idOf(ADA)
    const writes = Array.from({ length: 10 }, () =>
      other.toSeal(ADA).then(
        () => 'sealed',
        ({ code }) => code,
      ),
    )
    const erased = keys.erase([{ id, at: AT, event: null }])
    for (const ended of await Promise.all(writes)) expect(['sealed', 'subject_erased']).toContain(ended)
    expect(await erased).toBe(1)
    await expect(other.toSeal(ADA)).rejects.toThrow(isKillick('subject_erased'))
    expect(await keys.find(id)).toMatchObject({ at: AT })
  })

  test('a backup from before the erasure brings nothing back, once the erasures are applied', async () => {
    const { keys, backUp } = await open()
    const [ada, empty] = [await keys.toSeal(ADA), await keys.idOf(BOB)]
    const restore = await backUp()
    await keys.toSeal(BOB)
    const events = [ada.id, empty].map((id, i) => ({
      ...{ id: `e-${i}`, source: 'billing' },
      fields: { action: 'subject.erase', outcome: 'success', occurredAt: AT, targets: [{ type: 'subject-key', id }] },
    }))
    expect(await reapplyErasures(keys, 'billing', events)).toBe(2)
    const restored = await restore()
    expect(await restored.find(ada.id)).toEqual(ada)
    // Another source's word does not count, nor what was refused, nor another action.
    const others = [
      ...events.map((event) => ({ ...event, source: 'other' })),
      ...events.map((event) => ({ ...event, fields: { ...event.fields, outcome: 'denied' } })),
      ...events.map((event) => ({ ...event, fields: { ...event.fields, action: 'subject.erased' } })),
      { ...events[0]!, fields: { ...events[0]!.fields, targets: [{ type: 'subject-key', id: 'ada' }] } },
    ]
    expect(await reapplyErasures(restored, 'billing', others)).toBe(0)
    // A search has such rows among the events: of what a policy has dropped, and of what was altered in the database.
    const error = { code: 'event_dropped', detail: 'policy p' }
    const altered = { ...error, code: 'event_unreadable', detail: 'jws_malformed' }
    const rows = [{ error }, { error: altered, source: 'other' }, { error: altered }]
    expect(await reapplyErasures(restored, 'billing', [...rows.slice(0, 2), events[0]!])).toBe(1)
    const all = reapplyErasures(restored, 'billing', [...rows, ...events])
    await expect(all).rejects.toThrow(isKillick('event_malformed'))
    expect(await reapplyErasures(restored, 'billing', events)).toBe(0)
    expect(await restored.find(ada.id)).toEqual({ id: ada.id, at: AT, event: 'e-0' })
    // The backup is older than the second subject's key, and yet it gets no new one.
    for (const subject of [ADA, BOB])
      await expect(restored.toSeal(subject)).rejects.toThrow(isKillick('subject_erased'))
  })
})

test('a folder: what was stopped half way leaves no key of whom is erased', async () => {
  const folder = tempDir()
  const keys = await folderSubjectKeys(folder)
  const [ada, bob] = [await keys.toSeal(ADA), await keys.toSeal(BOB)]
  const left = () => globSync(`${folder}/*`).filter((path) => /\.(key|part)$/.test(path))
  // Killed after the key was made, before its first name was removed.
  linkSync(join(folder, `${ada.id}.key`), join(folder, '0011223344556677.part'))
  await keys.erase([{ id: ada.id, at: AT, event: null }])
  expect(left()).toEqual([join(folder, `${bob.id}.key`)])
  // Killed after the mark was made, before the key was removed: the same call goes on.
  const mark = { id: bob.id, at: AT, event: 'e-1' }
  writeFileSync(join(folder, `${bob.id}.erased`), JSON.stringify(mark))
  const log = { record: () => Promise.reject(new Error('a second event')) }
  expect(await eraseSubject(log, keys, BOB, { actor: BOB, reason: 'request' })).toEqual(mark)
  expect(left()).toEqual([])
})

test('a folder without the secret of its keys gets no other: who was erased would not be known', async () => {
  const folder = tempDir()
  const keys = await folderSubjectKeys(folder)
  const secret = readFileSync(join(folder, 'secret'))
  await keys.erase([{ id: await keys.idOf(ADA), at: AT, event: null }])
  rmSync(join(folder, 'secret'))
  await expect(folderSubjectKeys(folder)).rejects.toThrow(isKillick('option_invalid'))
  const alike = Object.assign(Array(32).fill(7), { [Symbol.toStringTag]: 'Uint8Array' }) as never
  await expect(folderSubjectKeys(folder, { secret: alike })).rejects.toThrow(isKillick('option_invalid'))
  expect(globSync(`${folder}/secret`)).toEqual([])
  const restored = await folderSubjectKeys(folder, { secret: new Uint8Array(secret) })
  await expect(restored.toSeal(ADA)).rejects.toThrow(isKillick('subject_erased'))
})

test('PostgreSQL: nobody deletes a key or changes a mark by hand; a store that is down is no missing key', async () => {
  const store = await inPostgres()
  const { id } = await store.keys.toSeal(ADA)
  await store.keys.erase([{ id, at: AT, event: null }])
  await store.keys.toSeal(BOB)
  for (const sql of [
    `update killick_subject_keys set erased_at = null, key = 'x' where id = '${id}'`,
    'update killick_subject_keys set erased_at = now() where erased_at is not null',
    'delete from killick_subject_keys',
    'truncate killick_subject_keys',
    `update killick_subject_keys set id = 'AAAAAAAAAAAAAAAAAAAAAA' where key is not null`,
  ])
    await expect(store.pool.query(sql)).rejects.toThrow(/never/)
  await expect(
    store.pool.query(`insert into killick_subject_keys (id) values ('AAAAAAAAAAAAAAAAAAAAAA')`),
  ).rejects.toThrow()
  await store.pool.end()
  await expect(store.keys.find(id)).rejects.toThrow(isKillick('keys_unreachable'))
  await expect(store.keys.toSeal(BOB)).rejects.toThrow(isKillick('keys_unreachable'))
  await expect(store.keys.erase([{ id, at: AT, event: null }])).rejects.toThrow(isKillick('keys_unreachable'))
})

test('PostgreSQL: no key is among the samples that ANALYZE keeps, nor stays there from before', async () => {
  const { pool, keys } = await inPostgres()
  for (let i = 0; i < 5; i++) await keys.toSeal({ type: 'user', id: `u-${i}` })
  const sampled = async () => {
    await pool.query('analyze killick_subject_keys')
    const { rows } = await pool.query("select attname from pg_stats where tablename = 'killick_subject_keys'")
    return rows.map(({ attname }) => attname)
  }
  expect(await sampled()).toContain('id')
  expect(await sampled()).not.toContain('key')
  // As a version that did not know of them had made the table.
  await pool.query('alter table killick_subject_keys alter key set statistics -1')
  expect(await sampled()).toContain('key')
  await postgresSubjectKeys(pool, { secret: randomBytes(32) }).createTable()
  expect(await sampled()).not.toContain('key')
})

test('an envelope keeps the keys elsewhere, is asked once for each, and binds them to their names', async () => {
  const store = await inPostgres()
  const asked: string[] = []
  // What a KMS does: it keeps a key and gives what is encrypted under it.
  const envelope = {
    wrap: async (key: Uint8Array, id: string) => `kms:${id}:${Buffer.from(key).toString('hex')}`,
    async unwrap(wrapped: string, id: string) {
      asked.push(id)
      const [, name, hex] = wrapped.split(':')
      if (name !== id) throw new Error('another encryption context')
      return new Uint8Array(Buffer.from(hex!, 'hex'))
    },
  }
  const keys = postgresSubjectKeys(store.pool, { secret: randomBytes(32), envelope })
  const [ada, bob] = [await keys.toSeal(ADA), await keys.toSeal(BOB)]
  for (let i = 0; i < 3; i++) expect(await keys.toSeal(ADA)).toEqual(ada)
  expect(asked).toEqual([ada.id, bob.id])
  await store.pool.query(
    'update killick_subject_keys set key = (select key from killick_subject_keys where id = $1) where id = $2',
    [ada.id, bob.id],
  )
  const fresh = postgresSubjectKeys(store.pool, { secret: randomBytes(32), envelope })
  await expect(fresh.find(bob.id)).rejects.toThrow(isKillick('subject_key_invalid'))
  expect(() => postgresSubjectKeys(store.pool, { secret: new Uint8Array(31) })).toThrow(isKillick('option_invalid'))
})

test('an envelope that never answers is asked again soon, not after a minute', async () => {
  const { pool } = await inPostgres()
  const secret = randomBytes(32)
  const { id } = await postgresSubjectKeys(pool, { secret, envelope: inClear }).toSeal(ADA)
  let asked = 0
  const unwrap = (wrapped: string) =>
    asked++ === 0 ? new Promise<never>(() => {}) : Promise.resolve(new Uint8Array(Buffer.from(wrapped, 'hex')))
  const keys = postgresSubjectKeys(pool, { secret, envelope: { ...inClear, unwrap } })
  // Ten seconds later it fails, when nobody waits for it any more.
  keys.find(id).catch(() => {})
  await expect.poll(() => asked).toBe(1)
  const now = performance.now()
  const clock = vi.spyOn(performance, 'now').mockReturnValue(now + 6_000)
  onTestFinished(() => clock.mockRestore())
  expect(await keys.find(id)).toMatchObject({ id })
})

/** Keys as they are. */
const inClear = {
  wrap: async (key: Uint8Array) => Buffer.from(key).toString('hex'),
  unwrap: async (wrapped: string) => new Uint8Array(Buffer.from(wrapped, 'hex')),
}

test('a key that its envelope does not open, or never, can be erased all the same', async () => {
  const { pool } = await inPostgres()
  const secret = randomBytes(32)
  const unwrap = async () => {
    throw new Error('the KMS is down')
  }
  const silent = () => {
    atOnce(10_000)
    return new Promise<never>(() => {})
  }
  const folder = tempDir()
  const opened = (envelope = inClear) => [
    postgresSubjectKeys(pool, { secret, envelope }),
    folderSubjectKeys(folder, { secret, envelope }),
  ]
  for (const [subject, code, envelope] of [
    [ADA, 'subject_key_invalid', { ...inClear, unwrap }],
    [BOB, 'keys_unreachable', { ...inClear, unwrap: silent }],
  ] as const) {
    for (const keys of await Promise.all(opened())) await keys.toSeal(subject)
    for (const keys of await Promise.all(opened(envelope))) {
      await expect(keys.toSeal(subject)).rejects.toThrow(isKillick(code))
      await expect(keys.find(await keys.idOf(subject))).rejects.toThrow(isKillick(code))
      const record = async () => ({ id: 'e-1' }) as never
      const mark = await eraseSubject({ record }, keys, subject, { actor: BOB, reason: 'request' })
      expect(await keys.find(mark.id)).toEqual(mark)
    }
  }
})

/** The next timer of so many ms is due at once. */
function atOnce(ms: number): void {
  const set = globalThis.setTimeout
  const timers = vi.spyOn(globalThis, 'setTimeout').mockImplementation(((work: () => void, after?: number) => {
    if (after !== ms) return set(work, after)
    timers.mockRestore()
    return set(work)
  }) as typeof setTimeout)
}

test('what an envelope cannot open again is never stored: its subject gets a key once it can', async () => {
  const { pool } = await inPostgres()
  const wrap = async (key: Uint8Array) => Buffer.from(key).toString('hex')
  const unwrap = async (text: string) => new Uint8Array(Buffer.from(text, 'hex'))
  const bytes = async (key: Uint8Array) => key as never
  const folder = tempDir()
  const secret = randomBytes(32)
  const zeros = async () => new Uint8Array(32)
  for (const wrong of [
    ...[bytes, async () => 'no such text', async () => undefined as never].map((wrap) => ({ wrap, unwrap })),
    // It opens, and as another key than it was made of.
    { wrap, unwrap: zeros },
    { wrap, unwrap: async () => new Uint8Array(randomBytes(32)) },
  ])
    for (const keys of [
      postgresSubjectKeys(pool, { secret, envelope: wrong }),
      await folderSubjectKeys(folder, { secret, envelope: wrong }),
    ])
      await expect(keys.toSeal(ADA)).rejects.toThrow(isKillick('subject_key_invalid'))
  for (const keys of [
    postgresSubjectKeys(pool, { secret, envelope: { wrap, unwrap } }),
    await folderSubjectKeys(folder, { secret, envelope: { wrap, unwrap } }),
  ])
    expect((await keys.toSeal(ADA)).key).toHaveLength(32)
})

test('a connection that the server has ended fails nobody', async () => {
  const { pool } = await inPostgres()
  const secret = randomBytes(32)
  const ada = await postgresSubjectKeys(pool, { secret }).toSeal(ADA)
  let ended = 0
  /** Hands out a connection that dies before it is used, as often as asked for. */
  const dying = postgresSubjectKeys(
    {
      async query(sql, params) {
        const client = await pool.connect()
        client.on('error', () => {})
        try {
          if (ended > 0) {
            ended -= 1
            const { rows } = await client.query('select pg_backend_pid() as pid')
            await queryAsOwner(inject('postgres'), 'select pg_terminate_backend($1, 20000)', [rows[0].pid])
          }
          return await client.query(sql, params)
        } finally {
          client.release(true)
        }
      },
    },
    { secret },
  )
  ended = 1
  expect(await dying.find(ada.id)).toEqual(ada)
  ended = 2
  await expect(dying.find(ada.id)).rejects.toThrow(isKillick('keys_unreachable'))
})
