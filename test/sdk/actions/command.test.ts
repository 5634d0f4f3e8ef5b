// `killick actions`: what it writes, and what it registers with a real service.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { generateKey, openAuditLog, publicJwk } from '../../../sdk/src/client/index.ts'
import { ADMIN, READER, register, type TestService, testService } from '../../anchor-service/support/service.ts'
import { killick } from '../cli/support.ts'
import { second, unnamed } from './catalogues.ts'

const MODULE = join(import.meta.dirname, 'catalogues.ts')
const key = generateKey()
let folder: string
let service: TestService

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'killick-actions-'))
  service = await testService()
  await register(service.url, 'billing', [{ jwk: publicJwk(key) }])
})
afterAll(async () => {
  await service.stop()
  await rm(folder, { recursive: true, force: true })
})

const actions = (...args: string[]) => killick(['actions', ...args])
const push = (...args: string[]) =>
  actions('push', ...args, '--source', 'billing', '--url', service.url, '--token', ADMIN)

test('it prints the page, or writes page and schema, and tells when they are out of date', async () => {
  const printed = await actions(MODULE, '--export', 'first')
  expect(printed).toMatchObject({ code: 0, err: '' })
  expect(printed.out).toContain('| `invoice.refund` | `invoice` | high |')
  const [page, schema] = [join(folder, 'actions.md'), join(folder, 'actions.schema.json')]
  const files = ['--markdown', page, '--json-schema', schema]
  expect(await actions(MODULE, '--export', 'first', ...files, '--check')).toMatchObject({ code: 1, out: '' })
  expect(await actions(MODULE, '--export', 'first', ...files)).toMatchObject({ code: 0, out: '' })
  expect(await readFile(page, 'utf8')).toBe(printed.out)
  expect(JSON.parse(await readFile(schema, 'utf8'))).toMatchObject({ properties: { catalogue: { const: '1' } } })
  expect(await actions(MODULE, '--export', 'first', ...files, '--check')).toMatchObject({ code: 0 })
  const stale = await actions(MODULE, '--export', 'second', ...files, '--check')
  expect(stale.code).toBe(1)
  expect(stale.err).toContain('actions.md is not what the catalogue says')
  expect(JSON.parse((await actions(MODULE, '--export', 'first', '--json')).out)).toMatchObject({
    ...{ version: '1', actions: { 'invoice.refund': { requires: ['reason'], severity: 'high' } } },
  })
})

test.each<[string, string[], RegExp]>([
  ['no module', [], /<module> is missing/],
  ['a module that is not there', [join('nowhere', 'actions.ts')], /cannot be loaded/],
  ['several catalogues', [MODULE], /several catalogues: .*first.*--export/],
  ['no such export', [MODULE, '--export', 'third'], /exports no catalogue named third/],
  ['an option of push', [MODULE, '--export', 'first', '--enforce'], /--enforce is for killick actions push/],
  ['nothing to check', [MODULE, '--export', 'first', '--check'], /--check needs/],
  ['one more argument', [MODULE, MODULE], /Unexpected argument/],
])('%s is a usage error', async (_, args, message) => {
  const { code, err } = await actions(...args)
  expect(code).toBe(2)
  expect(err).toMatch(message)
})

test('a module without a catalogue says so', async () => {
  const module = join(folder, 'empty.mjs')
  await writeFile(module, 'export default {}; export const nothing = null\n')
  expect(await actions(module)).toMatchObject({
    code: 2,
    err: expect.stringContaining('exports no catalogue: what defineActions gives'),
  })
})

test('push registers a version once, holds the source to it, and lets it go', async () => {
  const one = await push(MODULE, '--export', 'first')
  expect(one).toMatchObject({ code: 0, out: '' })
  expect(one.err).toMatch(/^Version 1 of the catalogue of billing is registered: entry \d+ of the log says so\.$/m)
  expect(one.err).toContain('billing is held to no catalogue.')
  expect(one.err).toMatch(/Not checked by the ledger.*: format/)
  expect((await push(MODULE, '--export', 'first')).err).toContain('nothing was changed')
  const two = await push(MODULE, '--export', 'second', '--enforce', '--json')
  expect(JSON.parse(two.out)).toMatchObject({ version: '2', enforced: ['2'] })
  const both = await push(MODULE, '--export', 'first', '--enforce')
  expect(both.err).toContain('billing is held to 2, 1: events that do not fit are refused.')
  expect(await push(MODULE, '--export', 'changed')).toMatchObject({
    code: 2,
    err: expect.stringContaining('catalogue_taken'),
  })
  expect((await push(MODULE, '--export', 'second', '--only')).err).toContain('billing is held to 2:')

  // What an application records that knows the catalogue goes through; what else comes stays in its spool.
  const log = await openAuditLog({
    ...{ url: service.url, source: 'billing', key, spool: join(folder, 'spool'), logKey: service.vkey },
    ...{ onError: () => {}, batch: { maxAgeMs: 0 } },
  })
  const actor = { type: 'user', id: 'ada' }
  await second.over(log).record({ action: 'session.start', actor })
  expect(await log.flush()).toHaveLength(1)
  await unnamed.over(log).record({ action: 'session.start', actor })
  await expect(log.flush()).rejects.toMatchObject({ code: 'action_invalid', details: { field: '/catalogue', line: 2 } })
  const released = await push('--release')
  expect(released.err).toMatch(/billing is held to no catalogue any more: entry \d+/)
  expect(await log.flush()).toHaveLength(1)
  expect(await log.close()).toEqual({ pending: 0, lastError: null })
})

test.each<[string, string[], RegExp]>([
  ['a catalogue without a version', [MODULE, '--export', 'unnamed'], /has no version/],
  ['files to write', [MODULE, '--export', 'first', '--markdown', 'a.md'], /--markdown is not for push/],
  ['two words on what is enforced', [MODULE, '--export', 'first', '--enforce', '--only'], /exclude each other/],
  ['nothing', [], /<module> is missing/],
])('push with %s is a usage error', async (_, args, message) => {
  expect(await push(...args)).toMatchObject({ code: 2, err: expect.stringMatching(message) })
})

test('a reader may not push', async () => {
  const args = ['push', MODULE, '--export', 'first', '--source', 'billing', '--url', service.url]
  const { code, err } = await actions(...args, '--token', READER)
  expect(code).toBe(2)
  expect(err).toContain('Registering takes an admin token.')
})
