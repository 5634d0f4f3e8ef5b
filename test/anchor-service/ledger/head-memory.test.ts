import { cp, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadConfig } from '@killick/anchor-service'
import { asHash, type Hash, leafHash, openNote, parseCheckpoint, treeRoot, utf8 } from '@killick/sdk/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { acceptHead } from '../../../anchor-service/src/commands/accept-head.ts'
import { openHeadFile, readHeadFiles } from '../../../anchor-service/src/ledger/head-file.ts'
import type { WentBack } from '../../../anchor-service/src/ledger/head-memory.ts'
import type { FoundEvent } from '../../../anchor-service/src/ledger/read/events.ts'
import { searchEvents } from '../../../anchor-service/src/ledger/read/search.ts'
import { register as registerKey } from '../../../anchor-service/src/ledger/register.ts'
import { loadSigner } from '../../../anchor-service/src/ledger/signing-keys.ts'
import { openStore, type Store } from '../../../anchor-service/src/open-store.ts'
import { createDatabase, queryAsOwner } from '../../support/postgres.ts'
import { startChild } from '../../support/processes.ts'
import { nextBatch, testLedger } from '../support/ledger.ts'
import { newSigner, Producer, post, sampleEvent } from '../support/producer.ts'
import { ADMIN, call, READER, register, testService } from '../support/service.ts'
import { beside, cutTail, dump, restore } from '../support/superuser.ts'

const MAIN = fileURLToPath(new URL('../../../anchor-service/src/main.ts', import.meta.url))
const signer = newSigner()
let root: string
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'killick-heads-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

type Place = { databaseUrl: string; folder: string }

/** Two processes of one log, with the same key files and different data folders. */
const envOf = ({ databaseUrl, folder }: Place) => ({
  DATABASE_URL: databaseUrl,
  KILLICK_DATA: folder,
  KILLICK_LOG_KEY: join(root, 'log.json'),
  KILLICK_SYSTEM_KEY: join(root, 'system.json'),
  KILLICK_ADMIN_TOKEN: ADMIN,
  KILLICK_READER_TOKEN: READER,
  KILLICK_LOG_LEVEL: 'silent',
  KILLICK_AUDIT_INTERVAL_MS: '0',
})
const start = (place: Place): Promise<Store> => openStore(loadConfig(envOf(place)))
const newFolder = () => mkdtemp(join(root, 'data-'))
const newPlace = async (): Promise<Place> => ({ databaseUrl: await createDatabase(true), folder: await newFolder() })

async function grow({ ledger }: Store, batches: number): Promise<number> {
  const producer = new Producer('billing', signer)
  let size = 0
  for (let i = 0; i < batches; i++) size = (await ledger.submit(await nextBatch(producer))).receipt.size
  return size
}

async function open(place: Place, batches = 5): Promise<{ store: Store; size: number }> {
  const store = await start(place)
  return { store, size: await grow(store, batches) }
}

const headOf = async ({ ledger }: Store) => (await ledger.head())!
const ofSizes = (fault: WentBack | null) =>
  fault && { remembered: fault.remembered.size, found: fault.found?.size ?? 0 }

/** Checks that nothing is signed, and that the refusal says why. */
async function expectWentBack(store: Store, sizes: { remembered: number; found: number }): Promise<void> {
  const { ledger } = store
  expect(ofSizes(await ledger.checkHead())).toEqual(sizes)
  const batch = await nextBatch(new Producer('billing', signer))
  await expect(ledger.submit(batch)).rejects.toMatchObject({ code: 'log_went_back', details: sizes })
  expect(ofSizes(ledger.wentBack())).toEqual(sizes)
  expect((await ledger.head())?.size ?? 0).toBe(sizes.found)
}

async function expectWell(store: Store): Promise<void> {
  await grow(store, 1)
  expect(await store.ledger.checkHead()).toBeNull()
}

async function find({ pool }: Store, action: string) {
  const { events } = await searchEvents(pool, { action, limit: 10 })
  return events as FoundEvent[]
}

/** Waits until connections that somebody has cut are replaced. */
const answers = ({ ledger }: Store) =>
  expect
    .poll(() =>
      ledger.checkHead().then(
        () => true,
        () => false,
      ),
    )
    .toBe(true)

test('a service reports a cut tail by 503, readiness and a metric, and continues when the tail is back', async () => {
  const service = await testService()
  await register(service.url, 'billing', [{ jwk: signer.jwk }])
  const producer = new Producer('billing', signer)
  const send = async () => {
    const batch = await producer.batch([sampleEvent()])
    const answer = await post(service.url, batch.body)
    if (answer.status === 201) batch.advance()
    return answer
  }
  for (let i = 0; i < 3; i++) expect((await send()).status).toBe(201)
  expect((await call(service.url, '/metrics')).text).toMatch(/^killick_log_went_back 0$/m)
  expect((await call(service.url, '/metrics')).text).toMatch(/^killick_head_memory_new 0$/m)
  const whole = await dump(service.databaseUrl)
  await cutTail(service.databaseUrl, 3)
  const sizes = { remembered: 5, found: 3 }
  await expect.poll(send).toMatchObject({ status: 503, json: { code: 'log_went_back', ...sizes } })
  expect(await call(service.url, '/readyz')).toMatchObject({
    status: 503,
    json: { status: 'not ready', database: true, writable: false, wentBack: sizes },
  })
  expect((await call(service.url, '/metrics')).text).toMatch(/^killick_log_went_back 1$/m)
  expect(openNote((await call(service.url, '/checkpoint')).text, [service.vkey]).text).toContain('\n3\n')
  await restore(service.databaseUrl, whole)
  await expect.poll(() => call(service.url, '/readyz').then(({ status }) => status)).toBe(200)
  expect(await send()).toMatchObject({ status: 201, json: { logIndex: 5 } })

  // The log goes on with others in their place, and none that was read before is shown.
  const bytes = async (path: string) => Buffer.from(await (await fetch(`${service.url}/tile/${path}`)).arrayBuffer())
  const before = await bytes('entries/000.p/6')
  await cutTail(service.databaseUrl, 3)
  await acceptHead(loadConfig({ DATABASE_URL: service.databaseUrl, KILLICK_DATA: service.folder }), true)
  const other = new Producer('billing', signer)
  for (let i = 0; i < 2; i++) {
    const batch = await other.batch([sampleEvent()])
    await expect.poll(async () => (await post(service.url, batch.body)).status).toBe(201)
    batch.advance()
  }
  const after = await bytes('entries/000.p/6')
  expect(after.equals(before)).toBe(false)
  const leaves: Hash[] = []
  for (let at = 0; at < after.length; at += 2 + after.readUInt16BE(at))
    leaves.push(leafHash(after.subarray(at + 2, at + 2 + after.readUInt16BE(at))))
  expect(Buffer.concat(leaves).equals(await bytes('0/000.p/6'))).toBe(true)

  // A registration is lost, and the decision takes its place in the system stream.
  const earlier = await dump(service.databaseUrl)
  await expect.poll(async () => (await register(service.url, 'billing', [{ jwk: newSigner().jwk }])).status).toBe(201)
  const lost = await new Producer('billing', signer).batch([sampleEvent()])
  expect((await post(service.url, lost.body)).status).toBe(201)
  await restore(service.databaseUrl, earlier)
  await expect.poll(() => call(service.url, '/readyz').then(({ json }) => json.wentBack)).toMatchObject({ found: 6 })
  await acceptHead(loadConfig({ DATABASE_URL: service.databaseUrl, KILLICK_DATA: service.folder }), true)
  await expect.poll(() => call(service.url, '/readyz').then(({ status }) => status)).toBe(200)
  const next = await other.batch([sampleEvent()])
  expect(await post(service.url, next.body)).toMatchObject({ status: 201 })
  await service.stop()
})

test('two processes that start at once on an empty database register the ledger once', async () => {
  for (let i = 0; i < 3; i++) {
    const place = { databaseUrl: await createDatabase(), folder: await newFolder() }
    const stores = await Promise.all([start(place), start({ ...place, folder: await newFolder() })])
    for (const { ledger, pool } of stores) {
      await ledger.registry.catchUp(pool)
      expect(ledger.registry.status().altered).toEqual([])
    }
    expect(await queryAsOwner(place.databaseUrl, 'select log_index from killick.sources')).toHaveLength(1)
    for (const store of stores) await store.close()
  }
})

test('the background audit finds a cut tail too, in a log that is consistent in itself', async () => {
  const service = await testService({ KILLICK_AUDIT_INTERVAL_MS: '1000' })
  await register(service.url, 'billing', [{ jwk: signer.jwk }])
  const last = async () => (await call(service.url, '/readyz')).json.audit.last
  await expect.poll(last, { timeout: 20_000 }).toMatchObject({ outcome: 'undecided' })
  await cutTail(service.databaseUrl, 1)
  await expect.poll(last, { timeout: 20_000 }).toMatchObject({
    outcome: 'fail',
    findings: expect.arrayContaining([
      {
        ...{ check: 'head.memory', reason: 'removed' },
        detail: expect.stringMatching(/^log_went_back: \d+ entries were signed.* the 1 in the/),
      },
    ]),
  })
  await service.stop()
})

test('the command accept-head says what it did, or why it did nothing', async () => {
  const place = await newPlace()
  const { store, size } = await open(place)
  await store.close()
  await cutTail(place.databaseUrl, size - 1)
  const run = async (...args: string[]) => {
    const env = { PATH: process.env.PATH ?? '', ...envOf(place) }
    const child = await startChild(process.execPath, [MAIN, 'accept-head', ...args], { env })
    const { code } = await child.exited
    return { code, output: child.output() }
  }
  expect(await run()).toMatchObject({ code: 1, output: expect.stringContaining('Nothing was changed') })
  const decided = await run('--yes')
  expect(decided).toMatchObject({ code: 0, output: expect.stringContaining('The log goes on at') })
  expect(decided.output).toMatch(/While a contract holds more entries than that, no batch is taken/)
  expect(decided.output).toContain('links that were withdrawn open again, keys that were ended sign again')
  expect(await run('--yes')).toMatchObject({ code: 0, output: expect.stringContaining('nothing to accept') })
  // Of the end only the checkpoint is gone.
  await queryAsOwner(
    place.databaseUrl,
    `set session_replication_role = replica;
     delete from killick.checkpoints where size = (select max(size) from killick.checkpoints)`,
  )
  const { code, output } = await run('--yes')
  expect(output).toMatch(/^The database contradicts itself: .* Restore all of it from one copy\.\n$/)
  expect(code).toBe(1)
})

describe('a superuser cuts off the tail', () => {
  test('while the service runs', async () => {
    const place = await newPlace()
    const { store, size } = await open(place)
    await cutTail(place.databaseUrl, size - 2)
    await expectWentBack(store, { remembered: size, found: size - 2 })
    await store.close()
  })

  test('while it is stopped: it starts for readers, and signs nothing', async () => {
    const place = await newPlace()
    const { store, size } = await open(place)
    await store.close()
    await cutTail(place.databaseUrl, size - 3)
    const again = await start(place)
    await expectWentBack(again, { remembered: size, found: size - 3 })
    expect((await searchEvents(again.pool, { limit: 10 })).events).toHaveLength(size - 3)
    await again.close()
  })

  test('of the whole log, with the ledger’s own registration', async () => {
    const place = await newPlace()
    const { store, size } = await open(place)
    await store.close()
    await cutTail(place.databaseUrl, 0)
    await queryAsOwner(
      place.databaseUrl,
      'set session_replication_role = replica; delete from killick.source_keys; delete from killick.sources',
    )
    const again = await start(place)
    await expectWentBack(again, { remembered: size, found: 0 })
    expect(await queryAsOwner(place.databaseUrl, 'select from killick.checkpoints')).toHaveLength(0)
    await again.close()
  })

  test('in the middle of a commit: only one history is signed', async () => {
    let cutting: Promise<void> | null = null
    let wanted = false
    const url = await createDatabase()
    const it = await testLedger(url, (pool) =>
      pool.on('connect', (client) => {
        const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>
        client.query = (async (...args: unknown[]) => {
          const result = await query(...args)
          // The transaction has begun, and knows its head.
          if (wanted && String(args[0]).startsWith('begin')) {
            wanted = false
            cutting = cutTail(url, 3)
            await cutting
          }
          return result
        }) as typeof client.query
      }),
    )
    const entries: Hash[] = (
      await queryAsOwner<{ leaf_hash: Buffer }>(url, 'select leaf_hash from killick.batches')
    ).map(({ leaf_hash }) => asHash(new Uint8Array(leaf_hash)))
    const producer = new Producer('billing', newSigner())
    for (let i = 0; i < 8; i++) {
      if (i === 5) wanted = true
      const batch = await nextBatch(producer)
      const given = await it.ledger.submit(batch).catch((error) => error)
      if (given instanceof Error) continue
      entries[given.receipt.logIndex] ??= leafHash(utf8(batch.header.text))
      const checkpoint = parseCheckpoint(openNote(given.receipt.checkpoint, [it.ledger.log.vkey]).text)
      expect(checkpoint.root).toEqual(treeRoot(entries.slice(0, given.receipt.size)))
    }
    expect(cutting).not.toBeNull()
    expect(entries.length).toBeGreaterThan(6)
    await it.close()
  })

  test('under two services: both have seen the head, whichever signed it', async () => {
    const first = await newPlace()
    const { store: a, size } = await open(first)
    const b = await start({ ...first, folder: await newFolder() })
    // Its first word on a log that it did not know is an event, which the other has not signed.
    const seen = size + 1
    await expect.poll(() => a.ledger.newestKnown()?.size).toBe(seen)
    await cutTail(first.databaseUrl, size - 2)
    for (const store of [a, b]) await expectWentBack(store, { remembered: seen, found: size - 2 })
    await a.close()
    await b.close()
  })
})

describe('the database is replaced:', () => {
  test('by an old dump, while the service runs and while it is stopped; the newer database heals it', async () => {
    const place = await newPlace()
    const { store, size: early } = await open(place)
    const old = await dump(place.databaseUrl)
    await answers(store)
    const size = await grow(store, 3)
    const newest = await dump(place.databaseUrl)

    await restore(place.databaseUrl, old)
    await answers(store)
    await expectWentBack(store, { remembered: size, found: early })
    await store.close()
    const again = await start(place)
    await expectWentBack(again, { remembered: size, found: early })

    await restore(place.databaseUrl, newest)
    await expect.poll(() => again.ledger.checkHead().catch(() => 'unreachable')).toBeNull()
    await expectWell(again)
    await again.close()
  })

  test('by a log of the same size with another root and its own tiles, signed with the log’s key elsewhere', async () => {
    const place = await newPlace()
    const { store, size: early } = await open(place, 2)
    const copy = await dump(place.databaseUrl)
    await answers(store)
    const size = await grow(store, 3)
    // A copy that is restored with a new data folder starts another history, and nothing on that machine can know that.
    const elsewhere = await start({ databaseUrl: beside(place.databaseUrl, copy), folder: await newFolder() })
    await grow(elsewhere, size - early - 1)
    await elsewhere.close()
    await restore(place.databaseUrl, copy)
    await answers(store)
    await expectWentBack(store, { remembered: size, found: size })
    await store.close()
    const again = await start(place)
    await expectWentBack(again, { remembered: size, found: size })
    await again.close()
  })

  test('by a longer history that leaves out what was signed', async () => {
    const place = await newPlace()
    const { store, size: early } = await open(place, 2)
    const copy = await dump(place.databaseUrl)
    await answers(store)
    const size = await grow(store, 1)
    const elsewhere = await start({ databaseUrl: beside(place.databaseUrl, copy), folder: await newFolder() })
    await grow(elsewhere, 4)
    await elsewhere.close()
    await restore(place.databaseUrl, copy)
    await answers(store)
    await expectWentBack(store, { remembered: size, found: early + 5 })
    await store.close()
  })
})

describe('an operator’s decision', () => {
  const decide = (place: Place, isSure: boolean) => acceptHead(loadConfig(envOf(place)), isSure)

  test('is made only on request, and is an event that names both notes', async () => {
    const place = await newPlace()
    const { store, size } = await open(place)
    const remembered = (await headOf(store)).note
    expect(await decide(place, true)).toMatch(/nothing to accept/)
    await cutTail(place.databaseUrl, size - 2)
    const accepted = (await headOf(store)).note

    const asked = decide(place, false)
    await expect(asked).rejects.toThrow(/Nothing was changed/)
    const words = await asked.catch((error: Error) => error.message)
    for (const note of [remembered, accepted])
      for (const line of note.trimEnd().split('\n')) expect(words).toContain(`| ${line}`)
    await expectWentBack(store, { remembered: size, found: size - 2 })

    expect(await decide(place, true)).toMatch(/recorded as the event log\.accept-head/)
    // The service that runs on this folder reads the event, which names exactly what it remembers.
    await expectWell(store)
    const events = await find(store, 'log.accept-head')
    expect(events).toHaveLength(1)
    expect(events[0]).toMatchObject({
      source: 'killick',
      fields: { metadata: { remembered: expect.arrayContaining([remembered]), accepted } },
    })
    await store.close()
    const again = await start(place)
    await expectWell(again)
    await again.close()
  })

  test('counts for a data folder only if it names that folder’s head', async () => {
    const place = await newPlace()
    const { store: a, size: start0 } = await open(place, 1)
    const other = { ...place, folder: await newFolder() }
    const b = await start(other)
    const early = await grow(b, 3)
    await b.close()
    const size = await grow(a, 6)
    await cutTail(place.databaseUrl, start0)
    await expectWentBack(a, { remembered: size, found: start0 })
    await decide(place, true)
    await expectWell(a)

    const again = await start(other)
    const found = (await headOf(again)).size
    await expectWentBack(again, { remembered: early, found })
    await decide(other, true)
    await expectWell(again)
    await expectWell(a)
    await a.close()
    await again.close()
  })

  test('counts by its event alone if the process is killed before it remembers it', async () => {
    const place = await newPlace()
    const { store, size } = await open(place)
    await store.close()
    await cutTail(place.databaseUrl, size - 1)
    const heads = join(place.folder, 'heads')
    await cp(heads, `${heads}.before`, { recursive: true })
    await decide(place, true)
    await rm(heads, { recursive: true })
    await cp(`${heads}.before`, heads, { recursive: true })
    const again = await start(place)
    await expectWell(again)
    // It held once: the same cut again is another one.
    const { size: logSize } = await headOf(again)
    await cutTail(place.databaseUrl, size - 1)
    await expectWentBack(again, { remembered: logSize, found: size - 1 })
    await again.close()
  })

  test('does not count if another key signed its event', async () => {
    const place = await newPlace()
    const { store } = await open(place)
    // Somebody with the log's key and another key of its system stream, even a registered one, and a data folder of their own.
    const forger = { databaseUrl: place.databaseUrl, folder: await newFolder() }
    const env = { ...envOf(forger), KILLICK_SYSTEM_KEY: join(root, 'forged.json') }
    const { jwk } = await loadSigner(env.KILLICK_SYSTEM_KEY)
    await expect(openStore(loadConfig(env))).rejects.toThrow(/is not registered for the source "killick"/)
    const key = { jwk, notBefore: null, notAfter: null }
    await registerKey(store.ledger, { source: 'killick', keys: [key] }, { type: 'token', id: 'admin' })
    const note = { action: 'test.happen', actor: { type: 'test', id: 't' }, targets: [] }
    await store.ledger.record(note)
    const { note: remembered, size } = await headOf(store)
    await cutTail(place.databaseUrl, size - 1)
    const accepted = (await headOf(store)).note
    await store.close()
    const forged = await openStore(loadConfig(env))
    await forged.ledger.record({
      action: 'log.accept-head',
      actor: { type: 'operator', id: 'accept-head' },
      targets: [{ type: 'log', id: forged.ledger.log.origin }],
      metadata: { remembered: [remembered], accepted },
    })
    const found = (await headOf(forged)).size
    await forged.close()
    const again = await start(place)
    await expectWentBack(again, { remembered: size, found })
    await again.close()
  })
})

describe('the file of a head memory', () => {
  const filesIn = async (place: Place) => {
    const [name] = await readdir(join(place.folder, 'heads'))
    const folder = join(place.folder, 'heads', name!)
    const files = (await readdir(folder)).filter((file) => file.endsWith('.head')).sort()
    return files.map((file) => join(folder, file))
  }

  test('catches up after a crash between commit and write, and the same batch gets the same receipt', async () => {
    const place = await newPlace()
    const { store } = await open(place)
    const heads = join(place.folder, 'heads')
    await cp(heads, `${heads}.before`, { recursive: true })
    const batch = await nextBatch(new Producer('billing', signer))
    const { receipt } = await store.ledger.submit(batch)
    await store.close()
    await rm(heads, { recursive: true })
    await cp(`${heads}.before`, heads, { recursive: true })

    const again = await start(place)
    expect(await again.ledger.submit(batch)).toMatchObject({ isNew: false, receipt })
    await cutTail(place.databaseUrl, receipt.size - 1)
    await expectWentBack(again, { remembered: receipt.size, found: receipt.size - 1 })
    await again.close()
  })

  test('belongs to one process at a time: a second process on the same folder has its own', async () => {
    const place = await newPlace()
    const { store: a } = await open(place)
    const b = await start(place)
    await Promise.all([grow(a, 5), grow(b, 5)])
    expect(await filesIn(place)).toHaveLength(2)
    const size = await grow(b, 1)
    await a.close()
    await b.close()
    await cutTail(place.databaseUrl, size - 1)
    const again = await start(place)
    // It knows what the other knew, and has taken the place of one that is gone.
    await expectWentBack(again, { remembered: size, found: size - 1 })
    expect(await filesIn(place)).toHaveLength(2)
    await again.close()
  })

  test.each([
    ['gone', (file: string) => rm(file)],
    ['damaged', (file: string) => writeFile(file, 'x'.repeat(8192))],
  ] as const)('is %s: the log is taken as it stands, loudly', async (reason, harm) => {
    const place = await newPlace()
    const { store } = await open(place)
    await store.close()
    for (const file of await filesIn(place)) await harm(file)
    const again = await start(place)
    await expectWell(again)
    expect(again.ledger.memoryBegan()).toBe(reason)
    const events = await find(again, 'log.pin-head')
    expect(events.map(({ fields }) => fields.metadata)).toMatchObject([{ reason }])
    const kept = await readdir(join((await filesIn(place))[0]!, '..'))
    expect(kept.filter((file) => file.endsWith('.damaged'))).toHaveLength(reason === 'damaged' ? 1 : 0)
    await again.close()
    // Once.
    const third = await start(place)
    expect(third.ledger.memoryBegan()).toBeNull()
    expect(await find(third, 'log.pin-head')).toHaveLength(1)
    await third.close()
  })

  test('holds no head that the log did not sign', async () => {
    const place = await newPlace()
    const { store, size } = await open(place)
    const { note } = await headOf(store)
    await store.close()
    const forged = note.replace(`\n${size}\n`, `\n${size + 100}\n`)
    expect(forged).not.toBe(note)
    for (const path of await filesIn(place)) await rm(path)
    const file = await openHeadFile(join(place.folder, 'heads', (await readdir(join(place.folder, 'heads')))[0]!))
    await file.write({ note: forged, since: size + 100 })
    await file.close()
    const again = await start(place)
    await expectWell(again)
    expect(again.ledger.memoryBegan()).toBe('gone')
    await again.close()
  })

  test('of a new log begins with the log, without a warning', async () => {
    const place = await newPlace()
    const { store } = await open(place, 1)
    expect(store.ledger.memoryBegan()).toBeNull()
    expect(await find(store, 'log.pin-head')).toEqual([])
    await store.close()
  })

  test('holds the write before if it is torn anywhere in a write', async () => {
    const folder = join(root, 'torn')
    const write = async (n: number) => {
      const file = await openHeadFile(folder)
      await file.write({ note: `note ${n}\n`.repeat(9), since: n })
      await file.close()
    }
    const path = join(folder, '0.head')
    const newest = async () => {
      const { kept, damaged } = await readHeadFiles(folder)
      expect(damaged).toEqual([])
      return Math.max(...kept.map(({ since }) => since))
    }
    for (let n = 1; n <= 3; n++) await write(n)
    for (let n = 4; n < 8; n++) {
      const before = await readFile(path)
      await write(n)
      const after = await readFile(path)
      const changed = [...after.keys()].filter((i) => after[i] !== before[i])
      const [first, last] = [changed[0]!, changed.at(-1)!]
      for (let at = first; at <= last; at += 7) {
        await writeFile(path, Buffer.concat([after.subarray(0, at), before.subarray(at)]))
        expect(await newest()).toBe(n - 1)
        // What comes after a torn write goes over it, not over what is left.
        if ((at - first) % 70 === 0) {
          await write(100)
          expect(await newest()).toBe(100)
          expect((await readHeadFiles(folder)).kept.map(({ since }) => since)).toContain(n - 1)
        }
      }
      await writeFile(path, after)
      expect(await newest()).toBe(n)
    }
  })

  test.runIf(process.platform === 'linux')('is not left open where it finds no room', async () => {
    const folder = await newFolder()
    await symlink('/dev/full', join(folder, '0.head.new'))
    const file = await openHeadFile(folder)
    // Those of other tests' files may end meanwhile.
    const open = async () => {
      const links = (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => ''))
      return (await Promise.all(links)).filter((path) => path === '/dev/full').length
    }
    for (let i = 0; i < 3; i++)
      await expect(file.write({ note: 'a note', since: 0 })).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(await open()).toBe(0)
    await rm(join(folder, '0.head.new'))
    await file.write({ note: 'a note', since: 0 })
    await file.close()
    expect((await readHeadFiles(folder)).kept).toMatchObject([{ note: 'a note' }])
  })

  test('keeps the service from starting if it cannot be made', async () => {
    const place = await newPlace()
    const { store } = await open(place)
    await store.close()
    await rm(join(place.folder, 'heads'), { recursive: true })
    await writeFile(join(place.folder, 'heads'), 'in the way')
    await expect(start(place)).rejects.toThrow(/newest head of the log cannot be kept in .*heads/)
  })
})
