// What must compile and what must not, for `npm run check`: a marked line that compiles is an error, as is any other that does not.
import type { AuditLog, Party, Recorded } from '../../../sdk/src/index.ts'
import { type Audit, auditContext, type Catalogue, createAudit, type KitEvent } from '../../../sdk/src/kit/index.ts'

const invoice = { type: 'invoice', id: '42' }

type Refund = Omit<KitEvent, 'action' | 'target' | 'reason'> & {
  readonly action: 'invoice.refund'
  readonly target: Party & { readonly type: 'invoice' }
  readonly reason: string
}
type Login = Omit<KitEvent, 'action'> & { readonly action: 'login' }

export async function types(log: AuditLog, tenants: AuditLog<'tenant'>, catalogue: Catalogue<Refund | Login>) {
  const audit = createAudit(log, { onMissingActor: 'warn', redact: [{ name: 'k', keys: ['a', /b/] }] })
  const recorded: Recorded = await audit.record({ action: 'a', target: invoice, reason: 'r', outcome: 'denied' })
  // @ts-expect-error outcome
  audit.record({ action: 'a', outcom: 'denied' })
  // @ts-expect-error the action is missing
  audit.record({ target: invoice })
  // @ts-expect-error not declared
  audit.record({ action: 'a', tenant: 't' })
  // @ts-expect-error no such outcome
  audit.denied({ action: 'a', outcome: 'success' })
  // @ts-expect-error no such member of a context
  audit.with({ user: invoice })
  // @ts-expect-error two ways to find
  createAudit(log, { redact: [{ name: 'k', keys: ['a'], detect: ['cards'] }] })

  const id: number = await audit.withAudit(
    { action: 'a', outcome: (it) => (it > 1 ? 'success' : 'failure') },
    async () => 7,
  )
  await audit.withAudit({ action: 'a' }, (entry) => {
    entry.set({ changes: [], metadata: { a: 1 } })
    // @ts-expect-error the action is what it is
    entry.set({ action: 'b' })
    // @ts-expect-error JSON has no functions
    entry.set({ metadata: { f: () => 1 } })
  })
  const text: string = auditContext.run({ requestId: 'r' }, () => 'x')
  const bound: (a: number) => string = auditContext.bind((a: number) => `${a}`)

  const declared = createAudit(tenants)
  declared.record({ action: 'a', tenant: 't' })
  // @ts-expect-error misspelt
  declared.record({ action: 'a', tenent: 't' })

  const typed = createAudit(log, { catalogue })
  typed.record({ action: 'login' })
  typed.record({ action: 'invoice.refund', target: { type: 'invoice', id: '1' }, reason: 'broken' })
  typed.denied({ action: 'invoice.refund', target: { type: 'invoice', id: '1' }, reason: 'broken' })
  // @ts-expect-error the reason is missing
  typed.record({ action: 'invoice.refund', target: { type: 'invoice', id: '1' } })
  // @ts-expect-error another type of target
  typed.record({ action: 'invoice.refund', target: { type: 'order', id: '1' }, reason: 'broken' })
  // @ts-expect-error no such action
  typed.record({ action: 'invoice.refunded' })
  // @ts-expect-error the reason is missing
  typed.withAudit({ action: 'invoice.refund', target: { type: 'invoice', id: '1' } }, () => 1)
  const inner: Audit<Refund | Login> = typed.with({ actor: invoice })
  return [recorded, id, text, bound, inner]
}
