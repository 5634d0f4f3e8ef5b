// Sealed fields from the recorder through a real service to a proof, and what is left of them once their subject was erased.
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateKey, openAuditLog, publicJwk, verifyProof } from '@killick/sdk'
import { parseProof } from '@killick/sdk/core'
import {
  eraseSubject,
  folderSubjectKeys,
  postgresSubjectKeys,
  reapplyErasures,
  sealing,
  unsealEvent,
} from '@killick/sdk/sealing'
import pg from 'pg'
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest'
import { ADMIN, call, READER, register, type TestService, testService } from '../../anchor-service/support/service.ts'
import { createDatabase } from '../../support/postgres.ts'
import { killick } from '../cli/support.ts'
import { tempDir } from '../client/support.ts'

const ADA = { type: 'user', id: 'ada-1815', name: 'Ada Lovelace' }
const DESK = { type: 'user', id: 'privacy-desk' }
const key = generateKey()
let service: TestService

beforeAll(async () => {
  service = await testService()
  expect((await register(service.url, 'billing', [{ jwk: publicJwk(key) }])).status).toBe(201)
})
afterAll(() => service.stop())

const search = async (query: string) => (await call(service.url, `/v1/events?${query}`)).json.events

function poolOf(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 2 })
  onTestFinished(() => (pool.ended ? undefined : pool.end()))
  return pool
}

test('recorded, stored, proven, read, erased: the proof is the same, and the key comes back with no backup', async () => {
  const url = await createDatabase()
  const secret = randomBytes(32)
  let pool = poolOf(url)
  const keys = postgresSubjectKeys({ query: (...args) => pool.query(...args) }, { secret })
  await keys.createTable()
  const audit = await openAuditLog({
    ...{ url: service.url, source: 'billing', key, spool: tempDir(), logKey: service.vkey, onError: () => {} },
    ...{ sealed: ['actor', 'context'], sealing: sealing(keys) },
  })
  onTestFinished(async () => void (await audit.close({ timeoutMs: 0 })))
  const view = {
    action: 'invoice.view',
    targets: [{ type: 'invoice', id: '42' }],
    context: { ip: '192.0.2.7' },
  } as const
  const { id } = await audit.record({ ...view, actor: ADA })
  await audit.record({ ...view, actor: { type: 'user', id: 'bob-1816' } })
  await audit.flush()

  // The ledger takes it as it is, and finds it by the name of the key, not by what it hides.
  const keyId = await keys.idOf(ADA)
  expect(await search('actor=ada-1815')).toEqual([])
  const [row] = await search(`actor=${keyId}`)
  expect(row).toMatchObject({ id, fields: { actor: { type: 'sealed', id: keyId } } })
  expect(JSON.stringify(await search('action=invoice.*'))).not.toMatch(/ada-1815|Lovelace|192\.0\.2\.7/)

  const proofText = async () => (await call(service.url, `/v1/proofs/${id}`, READER)).text
  const before = await proofText()
  const verified = (text: string) => {
    const trust = {
      logKeys: [service.vkey],
      sourceKeys: [{ source: 'billing', jwk: publicJwk(key) }],
      logs: [],
      facts: [],
    }
    const verdict = verifyProof(parseProof(text), trust as never)
    expect(verdict.checks.filter(({ status }) => status === 'failed')).toEqual([])
    expect(verdict.level).toBe('logged')
    return verdict.event!
  }
  expect(await unsealEvent(verified(before), keys)).toEqual({
    fields: { ...view, targets: view.targets, actor: ADA },
    sealed: { actor: { state: 'open', keyId }, context: { state: 'open', keyId } },
  })

  // A backup of the keys: a copy of the database's files, which is taken while nobody is connected.
  const name = new URL(url).pathname.slice(1)
  await pool.end()
  await poolOf(inject('postgres')).query(`create database ${name}_copy template ${name}`)
  pool = poolOf(url)

  const reasons = { actor: DESK, reason: 'request of the person', order: 'DSR-117' }
  const mark = await eraseSubject(audit, keys, ADA, reasons)
  expect(await eraseSubject(audit, keys, ADA, reasons)).toEqual(mark)
  await expect(audit.record({ ...view, actor: ADA })).rejects.toThrow(
    expect.objectContaining({ code: 'subject_erased' }),
  )
  await expect(eraseSubject(audit, keys, { type: 'user', id: 'nobody-here' }, reasons)).rejects.toThrow(
    expect.objectContaining({ code: 'subject_unknown' }),
  )
  await audit.flush()
  expect(await proofText()).toBe(before)
  const erased = { state: 'erased', keyId, at: mark.at }
  expect(await unsealEvent(verified(before), keys)).toEqual({
    fields: { action: view.action, targets: view.targets },
    sealed: { actor: erased, context: erased },
  })
  const [other] = (await search('action=invoice.view')).filter((each: { id: string }) => each.id !== id)
  expect((await unsealEvent(other, keys)).fields).toMatchObject({ actor: { id: 'bob-1816' } })

  // The erasure is an event in clear, of the source itself, which names nobody; from it the ledger tells a restored store.
  const events = await search('source=billing&action=subject.erase')
  expect(events).toHaveLength(1)
  expect(events[0].fields).toMatchObject({
    actor: DESK,
    targets: [{ type: 'subject-key', id: keyId }],
    metadata: { order: 'DSR-117' },
  })
  const restored = postgresSubjectKeys(poolOf(Object.assign(new URL(url), { pathname: `/${name}_copy` }).href), {
    secret,
  })
  expect((await unsealEvent(row, restored)).fields.actor).toEqual(ADA)
  expect(await reapplyErasures(restored, 'billing', await search('source=billing'))).toBe(1)
  expect((await unsealEvent(row, restored)).sealed.actor).toEqual(erased)
  await expect(restored.toSeal(ADA)).rejects.toThrow(expect.objectContaining({ code: 'subject_erased' }))
  expect(await restored.find(keyId)).toEqual({ id: keyId, at: mark.at, event: events[0].id })
})

test('the command line reads with a store of keys, and says what it cannot read', async () => {
  const [folder, spool, files] = [tempDir(), tempDir(), tempDir()]
  const keys = await folderSubjectKeys(folder)
  const audit = await openAuditLog({
    ...{ url: service.url, source: 'billing', key, spool, logKey: service.vkey, onError: () => {} },
    ...{ sealed: ['actor', 'context', 'changes'], sealing: sealing(keys) },
  })
  onTestFinished(async () => void (await audit.close({ timeoutMs: 0 })))
  const targets = [{ type: 'order', id: 'o-7' }]
  const { id } = await audit.record({
    ...{ action: 'order.edit', actor: ADA, targets, context: { ip: '192.0.2.7' } },
    changes: [{ path: '/email', after: 'ada@example.com' }],
  })
  await audit.flush()
  const keyId = await keys.idOf(ADA)
  const proof = join(files, 'proof.json')
  writeFileSync(proof, (await call(service.url, `/v1/proofs/${id}`, READER)).text)
  const module = join(files, 'keys.mjs')
  writeFileSync(module, 'const keys = new Map()\nexport default { find: (id) => keys.get(id) }\n')
  const access = ['--url', service.url, '--token', READER]
  const told = async (...args: string[]) => (await killick(args, { isTerminal: true })).out

  for (const args of [[], ['--subject-keys', module]]) {
    const text = (await told('verify', proof, ...args)) + (await told('search', '--target', 'o-7', ...args, ...access))
    expect(text.match(new RegExp(`sealed, under key ${keyId}`, 'g'))).toHaveLength(4)
    expect(text).not.toMatch(/eyJhbGciOi|Lovelace/)
  }
  const open = ['--subject-keys', folder]
  expect(await told('verify', proof, ...open)).toMatch(/actor +user ada-1815 \(Ada Lovelace\)[\s\S]*ada@example\.com/)
  expect(await told('search', '--target', 'o-7', ...open, ...access)).toContain('user ada-1815 (Ada Lovelace)')
  const { out } = await killick(['search', '--target', 'o-7', '--json', ...open, ...access])
  expect(JSON.parse(out)).toMatchObject({ fields: { actor: ADA }, sealed: { actor: { state: 'open', keyId } } })
  const history = await told('history', 'order', 'o-7', ...access)
  expect(history).toMatch(/changes not shown {2}by somebody who is not shown/)
  expect(history).not.toContain('eyJhbGciOi')

  // Nor does the service itself show a ciphertext as a value: neither to a spreadsheet nor to a chat tool.
  const csv = (await call(service.url, '/v1/events/export?format=csv&target=o-7')).text
  expect(csv).toContain(`"sealed, under key ${keyId}","sealed, under key ${keyId}",""`)
  expect(csv).not.toContain('eyJhbGciOi')
  const { json: link } = await call(service.url, '/v1/shares', ADMIN, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ eventId: id, fields: ['action', 'actor'] }),
  })
  const { text: page } = await call(service.url, new URL(link.url).pathname, null)
  expect(page).toContain('content="order.edit by somebody or something whose name is sealed"')

  const { at } = await eraseSubject(audit, keys, ADA, { actor: DESK, reason: 'request' })
  expect(await told('search', '--target', 'o-7', ...open, ...access)).toContain(`erased on ${at}`)
  expect(await told('verify', proof, ...open)).toContain(`erased on ${at}`)
  expect(JSON.parse((await killick(['verify', proof, '--json', ...open])).out).unsealed.sealed.actor.state).toBe(
    'erased',
  )
  for (const [place, why] of [
    [join(files, 'none'), /no such file/],
    [files, /no folder of keys/],
    [proof, /cannot be loaded|no store/],
  ] as const)
    expect(await killick(['verify', proof, '--subject-keys', place])).toMatchObject({
      code: 2,
      err: expect.stringMatching(why),
    })
})
