import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { appendFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { checkCollectorConfig, startCollector } from '@killick/gateway'
import { verifyProof } from '@killick/sdk'
import type { JsonObject } from '@killick/sdk/core'
import { parseProof } from '@killick/sdk/core'
import { unsealEvent } from '@killick/sdk/sealing'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { call, READER, register, type TestService, testService } from '../../anchor-service/support/service.ts'
import { NOWHERE, prepare, type TestCollector, testCollector } from '../support.ts'
import { erase, folderOf, keysInDatabase, wordsIn } from './support.ts'

let service: TestService
beforeAll(async () => {
  service = await testService()
})
afterAll(() => service.stop())

const SEALED = ['actor', 'context', 'salary']
const paid = (user: string, salary: string, more: object = {}) => ({
  ...{ action: 'salary.pay', actor: { type: 'user', id: user }, context: { ip: '192.0.2.7' } },
  ...{ targets: [{ type: 'month', id: '2026-11' }], salary, ...more },
})

async function collector(url: string, settings: JsonObject): Promise<TestCollector> {
  const made = await testCollector(url, { fields: ['salary'], ...settings })
  onTestFinished(() => made.stop())
  return made
}

test('from an emitter through the ledger to a proof: sealed everywhere, read with the keys', async () => {
  const { settings, keys } = await keysInDatabase()
  const it = await collector(service.url, {
    ...{ source: 'edge-sealed', logKey: service.vkey, sealed: { fields: SEALED, keys: settings } },
  })
  expect((await register(service.url, 'edge-sealed', [{ jwk: it.jwk }])).status).toBe(201)
  const answer = await it.send([paid('ada-1815', 'gross-9000'), paid('bob-1912', 'gross-8000')], {
    path: '/v1/events?wait=accepted',
  })
  expect([answer.status, answer.text]).toEqual([200, expect.stringContaining('accepted')])
  const [{ id }] = answer.json.events as [{ id: string }]
  const told = (await call(service.url, '/v1/events?action=salary.*')).text
  const proof = await call(service.url, `/v1/proofs/${id}`, READER)
  const words = ['ada-1815', 'bob-1912', 'gross-9000', 'gross-8000', '192.0.2.7']
  for (const text of [told, proof.text]) for (const word of words) expect(text).not.toContain(word)
  expect(told).toContain('2026-11')
  expect(wordsIn(it.folder, words)).toEqual([])
  const trust = { logKeys: [service.vkey], sourceKeys: [{ source: 'edge-sealed', jwk: it.jwk }], logs: [], facts: [] }
  const verdict = verifyProof(parseProof(proof.text), trust as never)
  expect([verdict.level, verdict.checks.filter(({ status }) => status === 'failed')]).toEqual(['logged', []])
  const event = verdict.event!
  expect((await unsealEvent(event, keys)).fields).toMatchObject({ actor: { id: 'ada-1815' }, salary: 'gross-9000' })
})

test('who was erased is refused with the whole array; keys that are away too; only who is named for it records an erasure', async () => {
  const { settings, keys, reach } = await keysInDatabase()
  const sealed = {
    fields: SEALED,
    keys: settings,
    timeoutMs: 2_000,
    subject: { type: 'employee', id: '/context/employee' },
  }
  const it = await collector(NOWHERE, { sealed })
  const about = (employee: string, id?: string) =>
    paid('clerk-7', 'gross-7', { context: { employee }, ...(id && { id }) })
  expect((await it.send(about('e-1'))).status).toBe(200)
  await erase(keys, { type: 'employee', id: 'e-2' })
  const before = it.collector.log.status.recorded
  const refused = await it.send([about('e-1'), about('e-2')])
  expect([refused.status, refused.json]).toEqual([
    409,
    expect.objectContaining({ code: 'collect_subject_erased', at: expect.stringContaining('1') }),
  ])
  expect((await it.send(paid('clerk-7', 'gross-7'))).json).toMatchObject({
    status: 422,
    code: 'collect_subject_missing',
  })
  await reach(false)
  const away = await it.send(about('e-1'))
  expect([away.status, away.json.code, away.headers.get('retry-after')]).toEqual([503, 'collect_keys_unreachable', '2'])
  expect(away.text).not.toContain('database')
  await reach(true)
  const erasure = { action: 'subject.erase', actor: { type: 'user', id: 'desk' }, outcome: 'success' }
  expect((await it.send({ ...erasure, targets: [{ type: 'subject-key', id: 'x' }] })).json.code).toBe(
    'emitter_action_refused',
  )
  expect(it.collector.log.status.recorded).toBe(before)
})

test('an id that comes again is known after restarts, by its content, and where the file of ids is lost by the spool', async () => {
  const folder = join(folderOf('sealed-ids'), 'keys')
  const it = await collector(NOWHERE, { sealed: { fields: SEALED, keys: { folder } } })
  const first = await it.send(paid('ada-1815', 'gross-1', { id: 'p-1' }))
  expect(first.status).toBe(200)
  const again = async (salary: string) => {
    const { status, json } = await it.send(paid('ada-1815', salary, { id: 'p-1' }))
    return [status, json.code ?? (json as { id?: string }).id]
  }
  const known = [200, (first.json as { id?: string }).id]
  for (let round = 0; round < 2; round++) {
    expect(await again('gross-1')).toEqual(known)
    expect(await again('gross-2')).toEqual([409, 'sender_id_reused'])
    await it.restart()
  }
  await it.collector.close()
  const ids = join(it.folder, 'spool', 'ids')
  for (const name of readdirSync(ids)) if (name.endsWith('.ids')) rmSync(join(ids, name))
  await it.restart()
  expect(await again('gross-1')).toEqual(known)
  expect(it.collector.log.status.recorded).toBe(1)
})

test('a file that is followed is not read again when sealing begins, and its refused lines are not kept in clear', async () => {
  const [folder, keyFolder] = [folderOf('sealed-file'), join(folderOf('sealed-file-keys'), 'keys')]
  const path = join(folder, 'app.ndjson')
  const line = (user: string, more: object = {}) => `${JSON.stringify(paid(user, `gross-of-${user}`, more))}\n`
  const files = [{ path, emitter: 'payroll' }]
  const { folder: own, config } = await prepare(NOWHERE, { files, fields: ['salary'], limits: { drainMs: 0 } })
  onTestFinished(() => rmSync(own, { recursive: true, force: true }))
  const start = (more: JsonObject) => startCollector(checkCollectorConfig({ ...config, ...more }, own))
  writeFileSync(path, line('clear-1815'))
  const before = await start({})
  await vi.waitFor(() => expect(before.log.status.recorded).toBe(1), 5_000)
  await before.close()
  const sealing = await start({ sealed: { fields: SEALED, keys: { folder: keyFolder } } })
  await appendFile(path, line('ada-1815') + line('eve-1843', { outcome: 'odd' }))
  const rejected = join(own, 'spool', 'ids', 'rejected.ndjson')
  await vi.waitFor(() => expect(existsSync(rejected)).toBe(true), 5_000)
  await sealing.close()
  expect(sealing.log.status.recorded).toBe(2)
  const kept = JSON.parse(await readFile(rejected, 'utf8'))
  expect(kept).toEqual({ file: path, offset: expect.any(Number), code: 'field_invalid', bytes: expect.any(Number) })
  expect(wordsIn(own, ['clear-1815', 'ada-1815', 'eve-1843'])).toEqual(['clear-1815'])
})
