import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { checkHttpConfig, checkMcpConfig, checkPostgresConfig, makeEmitterKey, startHttpProxy } from '@killick/gateway'
import type { JsonObject, ParsedEvent } from '@killick/sdk/core'
import { folderSubjectKeys, unsealEvent } from '@killick/sdk/sealing'
import { expect, onTestFinished, test, vi } from 'vitest'
import { queryAsOwner } from '../../support/postgres.ts'
import { startNode } from '../../support/processes.ts'
import * as mcp from '../mcp/support.ts'
import { configFile, played, seen, type Told, world } from '../postgres/support.ts'
import * as http from '../proxy/support.ts'
import { erase, folderOf, keysInDatabase, wordsIn } from './support.ts'

const MAIN = fileURLToPath(new URL('../../../gateway/src/main.ts', import.meta.url))
const { key, entry } = makeEmitterKey()
const SEALED = ['actor', 'context', 'statement', 'parameters', 'error']
const ADA = { type: 'claimed-user', id: 'ada-1815-12-10' }
const BOB = { type: 'claimed-user', id: 'bob-1912-06-23' }
const isRefused = (reason: string) =>
  expect.objectContaining({ code: '58030', detail: expect.stringContaining(`postgres_not_recorded: ${reason}`) })

test('statements are sealed for whoever acts, and refused once that person is erased or the keys cannot be reached', async () => {
  const { settings, keys, reach } = await keysInDatabase()
  const it = await world({ claimedActor: 'actor', sealed: { fields: SEALED, keys: settings, timeoutMs: 2_000 } })
  onTestFinished(() => it.remove())
  await it.with(async (client) => {
    await client.query(`set killick.actor = '${ADA.id}'`)
    expect((await client.query("select $1::text || '!' as told", ['salary-4711'])).rows).toEqual([
      { told: 'salary-4711!' },
    ])
    await expect(client.query("select 'diagnosis-F32'::int")).rejects.toThrow('diagnosis-F32')
    await client.query("copy (select 'copied-5') to stdout")
    await client.query("copy (select 'copied-6') to stdout; copy (select 'copied-7') to stdout")
    // Erased while a statement of theirs runs: what happened is told, without what is due.
    const running = client.query("select pg_sleep(0.5), 'under-way-17'")
    const runs = "select 1 from pg_stat_activity where query like 'select pg_sleep(0.5)%'"
    while ((await queryAsOwner(it.direct, runs)).length === 0);
    await erase(keys, ADA)
    await running
    await expect(client.query("select 'after-99'")).rejects.toEqual(isRefused('subject_erased'))
  })
  await it.with(async (client) => {
    await client.query(`set killick.actor = '${BOB.id}'`)
    await reach(false)
    await expect(client.query("select 'away-1'")).rejects.toEqual(isRefused('keys_unreachable'))
    await reach(true)
    await client.query("select 'back-1'")
  })
  expect(it.said.join('\n')).toContain('nothing can be sealed')
  const events = await it.events()
  const all = await Promise.all(events.map((event) => unsealEvent(event, keys)))
  const state = (word: string) => wordsIn(it.folder, [word])
  const words = [ADA.id, BOB.id, 'salary-4711', 'diagnosis-F32', 'under-way-17', 'after-99', 'away-1', 'back-1']
  expect(words.flatMap(state)).toEqual([])
  // What is not sealed is found in the same way.
  expect(wordsIn(it.folder, ['postgres.session.start', 'division by'])).toEqual(['postgres.session.start'])
  const read = all.map(({ fields }) => fields as Told)
  expect(read.filter(({ actor }) => actor?.id === BOB.id).map(({ statement }) => statement)).toContain(
    "select 'back-1'",
  )
  expect(all.some(({ sealed }) => sealed.parameters?.state === 'erased')).toBe(true)
  expect(all.some(({ sealed }) => Object.values(sealed).some(({ state }) => state === 'damaged'))).toBe(false)
  // Each intent has one end, which stands behind it, and no hash of what is sealed, or of what a COPY carried.
  const ends = played(events)
  for (const { end } of ends) expect(end).toBeDefined()
  expect(JSON.stringify(events.map(({ fields }) => fields.metadata))).not.toContain('sha256')
  const withheld = events.map(seen).filter(({ known }) => known.withheld !== undefined)
  expect(withheld.map(({ actor, known }) => [actor, known.withheld.why])).toContainEqual([
    { type: 'recorder', id: 'db' },
    'subject_erased',
  ])
})

test('killed between intent and outcome, the next start says unknown, without what is sealed', async () => {
  const folder = folderOf('sealed-kill')
  const it = await world({
    ...{ actor: ADA, sealed: { fields: SEALED, keys: { folder: join(folder, 'keys') } } },
    url: 'http://127.0.0.1:9',
  })
  onTestFinished(() => it.remove())
  await it.events()
  const child = await startNode([MAIN, 'postgres', '--config', configFile(it)])
  try {
    const address = (await child.printed(/listens on (\S+)/))[1]!
    it.url = Object.assign(new URL(it.direct), { host: address }).href
    const cut = it.with((client) => client.query("select pg_sleep(30), 'cut-off-5'"))
    cut.catch(() => {})
    const runs = "select 1 from pg_stat_activity where query like 'select pg_sleep(30)%'"
    while ((await queryAsOwner(it.direct, runs)).length === 0);
    await child.kill9()
    await expect(cut).rejects.toThrow()
  } finally {
    await child.kill9()
  }
  // The keys are away at that start, and the person erased at the next.
  const keys = await folderSubjectKeys(join(folder, 'keys'))
  await erase(keys, { ...ADA })
  await it.start()
  const open = readFileSync(join(it.folder, 'spool-state', 'open.ndjson'), 'utf8')
  expect(open).not.toContain(ADA.id)
  const ends = played(await it.events())
  expect(ends.map(({ intent, end }) => [intent.action, end?.state])).toEqual([
    ['postgres.session.start', 'unknown'],
    ['postgres.statement', 'unknown'],
  ])
  expect(wordsIn(it.folder, [ADA.id, 'cut-off-5'])).toEqual([])
})

test('what an MCP client asks and gets is sealed for the subject that its arguments name, the answer too', async () => {
  const folder = join(folderOf('sealed-mcp'), 'keys')
  const subject = { type: 'customer', id: '/arguments/customer' }
  const it = await mcp.world({
    sealed: { fields: ['arguments', 'result'], keys: { folder }, subject },
    policy: { rules: [{ name: 'asked', tools: ['*'], argument: '/asks', equals: true, effect: 'approve' }] },
    approvals: { approvers: [{ name: 'ada@example.com', key: entry }] },
  })
  const session = mcp.begin(it)
  await session.initialize()
  const answer = await session.call('echo', { customer: 'c-1701', note: 'allergic-to-penicillin' })
  expect(answer.result.content[0].text).toContain('penicillin')
  const keys = await folderSubjectKeys(folder)
  const customer = { type: 'customer', id: 'c-1701' }
  await erase(keys, { type: 'customer', id: 'c-1702' })
  // That a person decides about a call is not its end, and its answer is for the same subject.
  const asked = session.call('echo', { customer: 'c-1701', note: 'asked-of-a-person', asks: true })
  const link = await vi.waitUntil(() => session.said.join('\n').match(/http:\S+\/approve\/[\w-]{43}/)?.[0], 20_000)
  await fetch(link, { method: 'POST', body: new URLSearchParams({ key, verdict: 'approved' }) })
  expect((await asked).result.content[0].text).toContain('asked-of-a-person')
  const refused = await session.call('echo', { customer: 'c-1702' })
  expect(refused.error.data).toEqual({ code: 'mcp_not_recorded', reason: 'subject_erased' })
  const nobody = await session.call('echo', { note: 'whose' })
  expect(nobody.error.data).toEqual({ code: 'mcp_not_recorded', reason: 'subject_missing' })
  expect(it.seen().join('')).not.toContain('c-1702')
  await session.end()
  const events = await it.events()
  const [call, end] = ['mcp.tools.call', 'mcp.tools.call.result'].map(
    (action) => events.find(({ fields }) => fields.action === action) as ParsedEvent,
  )
  expect((call!.fields.arguments as JsonObject).id).toBe(await keys.idOf(customer))
  expect((await unsealEvent(call!, keys)).fields.arguments).toMatchObject({ note: 'allergic-to-penicillin' })
  expect(JSON.stringify((await unsealEvent(end!, keys)).fields.result)).toContain('penicillin')
  const approved = events.findLast(({ fields }) => JSON.stringify(fields.metadata).includes('"state":"answered"'))
  expect(JSON.stringify((await unsealEvent(approved!, keys)).fields.result)).toContain('asked-of-a-person')
  expect((call!.fields.metadata as Told).mcp.message).toEqual({ bytes: expect.any(Number) })
  expect(wordsIn(it.folder, ['allergic-to-penicillin', 'c-1701', 'c-1702'])).toEqual([])
})

test('bodies of requests are sealed; in observe mode what cannot be sealed passes, is said, and is nowhere in clear', async () => {
  const upstream = await http.serve()
  onTestFinished(() => upstream.close())
  const folder = join(folderOf('sealed-http'), 'keys')
  const who = { header: { name: 'x-user', from: ['127.0.0.1'] } }
  const routes = [
    { route: 'POST /strict/:who', bodies: 'show' },
    { route: 'POST /observed/:who', bodies: 'show', mode: 'observe' },
    { route: 'POST /hashed/:who', bodies: 'hash' },
  ]
  const sealed = { fields: ['actor', 'requestBody', 'responseBody', 'details'], keys: { folder } }
  const it = await http.begin(upstream.url, { who, routes, sealed })
  const keys = await folderSubjectKeys(folder)
  const ask = (path: string, user: string, text: string) =>
    fetch(`${it.url}${path}/${user}`, {
      ...{ method: 'POST', body: JSON.stringify({ text }) },
      headers: { 'content-type': 'application/json', 'x-user': user },
    })
  expect((await ask('/strict', 'ada-1815', 'iban-DE89')).status).toBe(200)
  expect((await ask('/hashed', 'ada-1815', 'iban-IT60')).status).toBe(200)
  await erase(keys, { type: 'user', id: 'eve-1843' })
  const refused = await ask('/strict', 'eve-1843', 'iban-AT61')
  expect([refused.status, await refused.json()]).toEqual([
    503,
    expect.objectContaining({ code: 'http_not_recorded', reason: 'subject_erased' }),
  ])
  expect((await ask('/observed', 'eve-1843', 'iban-CH93')).status).toBe(200)
  const events = await it.events()
  expect(it.said.join('\n')).toContain('not recorded (subject_erased)')
  expect(wordsIn(it.folder, ['ada-1815', 'eve-1843', 'iban-DE89', 'iban-AT61', 'iban-CH93'])).toEqual([])
  const bodies = await Promise.all(events.map((event) => unsealEvent({ id: event.id, fields: event }, keys)))
  expect(JSON.stringify(bodies)).toContain('iban-DE89')
  expect(JSON.stringify(bodies)).toContain('/strict/ada-1815')
  expect(JSON.stringify(events)).not.toContain('sha256')
})

test('faults of the member are named with what can be sealed; what cannot be opened keeps the recorder from starting', async () => {
  const base = { url: 'http://127.0.0.1:9', source: 's', key: 'k', spool: 'spool' }
  const faultsOf = (check: () => unknown): readonly string[] => {
    try {
      check()
    } catch (error) {
      return (error as { faults: string[] }).faults
    }
    return []
  }
  const sealed = { fields: ['action', 'arguments'], keys: {}, subject: { type: 'c', id: '/arguemnts/c' }, more: 1 }
  const can = 'actor, context, statement, parameters, error, details'
  expect(
    faultsOf(() => checkPostgresConfig({ ...base, server: { host: 'h' }, sealed, limits: { discloseBytes: 90_000 } })),
  ).toEqual([
    `/sealed/fields has action, which cannot be sealed here; ${can} can be`,
    `/sealed/fields has arguments, which cannot be sealed here; ${can} can be`,
    '/sealed/keys must have one of folder, database, databaseFile and module',
    `/sealed/subject/id points into arguemnts; an event here has ${can}, targets, metadata`,
    '/sealed/more is not a setting',
    '/limits/discloseBytes must be at most 65536 where fields are sealed, which makes a third more of them',
  ])
  expect(
    faultsOf(() => checkMcpConfig({ ...base, sealed: { fields: [], keys: { folder: 'k', module: 'm' } } })),
  ).toEqual([
    '/sealed/fields must name at least one of actor, context, arguments, result, details',
    '/sealed/keys must have one of folder, database, databaseFile and module',
  ])
  const { folder, config } = await http.configure('http://127.0.0.1:9', {
    sealed: { fields: ['actor'], keys: { module: 'nowhere.mjs' } },
  })
  await expect(startHttpProxy(checkHttpConfig(config, folder), () => {})).rejects.toThrow(/sealed\.keys.*nowhere\.mjs/)
})
