// What docs/guides/kit.md shows, run; and that it shows what is run.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  auditContext,
  createAudit,
  DeniedError,
  diff,
  type RedactionRules,
  STANDARD_RULES,
} from '../../../sdk/src/kit/index.ts'
import { openLog } from './support.ts'

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')
/** Without indentation and line breaks, which the formatter decides. */
const words = (code: string) =>
  code
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/,? (?=[)\]}])|(?<=[([{]) /g, '')
    .trim()

test('every piece of code in the guide is that of a test', () => {
  const pieces = [...read('docs/guides/kit.md').matchAll(/^```ts (\S+)\n([\s\S]*?)^```/gm)]
  expect(pieces).toHaveLength(7)
  for (const [, path, code] of pieces) expect(words(read(path!))).toContain(words(code!))
})

test('an application with a context, a wrapper, a denial and rules', async () => {
  const { log, events } = await openLog()
  const audit = createAudit(log, { redact: STANDARD_RULES })
  const invoices = new Map([['inv-42', { id: 'inv-42', status: 'open', total: 4200 }]])
  const find = async (id: string) => invoices.get(id)!
  const store = async (invoice: { id: string; status: string; total: number }) => {
    invoices.set(invoice.id, invoice)
    return invoice
  }
  const mayApprove = (id: string) => invoices.has(id)
  const approve = (id: string) =>
    audit.withAudit({ action: 'invoice.approve', target: { type: 'invoice', id } }, async (entry) => {
      if (!mayApprove(id)) throw new DeniedError('over the limit')
      const before = await find(id)
      const after = await store({ ...before, status: 'approved' })
      entry.set({ changes: diff(before, after) })
      return after
    })
  const handle = async (id: string) => {
    expect(await approve(id)).toMatchObject({ status: 'approved' })
    await expect(approve('inv-7')).rejects.toThrow('over the limit')
  }
  await auditContext.run({ actor: { type: 'user', id: 'ada' }, tenant: 't-1', requestId: 'r-1' }, () =>
    handle('inv-42'),
  )
  expect(events()).toMatchObject([
    {
      outcome: 'success',
      actor: { id: 'ada' },
      context: { tenant: 't-1', requestId: 'r-1' },
      changes: [{ path: '/status' }],
    },
    { outcome: 'denied', actor: { id: 'ada' }, metadata: { reason: 'over the limit' } },
  ])
})

test('a diff of a part, by key, without what it must not show', () => {
  const order = { status: 'open', lines: [{ sku: 'A-7', quantity: 1 }], card: { last4: '1881' }, views: 3 }
  const paid = { status: 'paid', lines: [{ sku: 'A-7', quantity: 2 }], card: { last4: '4242' }, views: 4 }
  const changes = diff(order, paid, {
    only: ['/status', '/lines', '/card'],
    keys: { '/lines': 'sku' },
    redact: [{ name: 'card', paths: ['/card'] }],
  })
  expect(changes).toEqual([
    { path: '/status', before: 'open', after: 'paid' },
    { path: '/lines/A-7/quantity', before: 1, after: 2 },
    { path: '/card/last4', before: '[redacted:card]', after: '[redacted:card]' },
  ])
})

test('rules of an application beside the standard ones', async () => {
  const rules: RedactionRules = [
    ...STANDARD_RULES,
    { name: 'mail', paths: ['/actor/email', '/targets/*/email'] },
    { name: 'health', keys: ['diagnosis', /^icd/i] },
    { name: 'iban', values: [/\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b/] },
  ]
  const { log, events } = await openLog()
  await createAudit(log, { redact: rules }).record({
    action: 'claim.pay',
    actor: { type: 'user', id: 'ada', email: 'ada@example.com' },
    metadata: { ICD10: 'J45', to: 'DE89370400440532013000', token: 'x' },
  })
  expect(events()[0]!.metadata).toEqual({
    ...{ ICD10: '[redacted:health]', to: '[redacted:iban]', token: '[redacted:secret]' },
    redactions: [
      { path: '/actor/email', rule: 'mail' },
      { path: '/metadata/ICD10', rule: 'health' },
      { path: '/metadata/to', rule: 'iban' },
      { path: '/metadata/token', rule: 'secret' },
    ],
  })
})
