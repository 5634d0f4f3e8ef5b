// What the compiler takes and refuses of a catalogue; `npm run check` compiles it, and define.test.ts runs nothing of it.
import * as v from 'valibot'
import { defineActions, type EventOf } from '../../../sdk/src/actions/index.ts'
import type { AuditLog } from '../../../sdk/src/client/index.ts'
import { createAudit } from '../../../sdk/src/kit/index.ts'

const actions = defineActions(
  {
    'invoice.refund': {
      target: 'invoice',
      requires: ['reason', 'changes'],
      metadata: v.object({ amount: v.number(), note: v.optional(v.string()) }),
      severity: 'high',
    },
    'invoice.view': { target: ['invoice', 'draft'], metadata: v.object({ page: v.optional(v.number()) }) },
    'session.start': { target: null },
    'anything.else': {},
  },
  { version: '1' },
)
type Event = EventOf<NonNullable<Parameters<typeof takes>[0]>>
declare function takes(definitions?: { readonly 'session.start': { readonly target: null } }): void
export const session: Event = { action: 'session.start', actor: { type: 'user', id: 'ada' } }

const actor = { type: 'user', id: 'ada' }
const refund = {
  action: 'invoice.refund',
  target: { type: 'invoice', id: '42' },
  reason: 'damaged',
  metadata: { amount: 1 },
  changes: [{ path: '/status' }],
} as const

export async function record(log: AuditLog): Promise<void> {
  const audit = createAudit(log, { catalogue: actions })
  await audit.record(refund)
  await audit.record({ ...refund, target: undefined, targets: [{ type: 'invoice', id: '42' }] })
  await audit.record({ action: 'invoice.view', target: { type: 'draft', id: '1' } })
  await audit.record({ action: 'session.start' })
  await audit.record({ action: 'anything.else', target: { type: 'x', id: 'y' }, metadata: { any: 1 } })
  // @ts-expect-error: no such action
  await audit.record({ action: 'invoice.refnd' })
  // @ts-expect-error: another type of target
  await audit.record({ ...refund, target: { type: 'invoce', id: '42' } })
  // @ts-expect-error: no target
  await audit.record({ ...refund, target: undefined })
  // @ts-expect-error: a target where there is none
  await audit.record({ action: 'session.start', target: { type: 'x', id: 'y' } })
  // @ts-expect-error: no reason
  await audit.record({ ...refund, reason: undefined })
  const { changes: _, ...unchanged } = refund
  // @ts-expect-error: no changes
  await audit.record(unchanged)
  // @ts-expect-error: metadata of another form
  await audit.record({ ...refund, metadata: { amount: '1' } })
  const { metadata: __, ...bare } = refund
  // @ts-expect-error: no metadata
  await audit.record(bare)

  // A denial changes nothing and knows no result.
  await audit.record({ ...bare, changes: undefined, outcome: 'denied' })
  await audit.denied({ action: 'invoice.refund', target: { type: 'invoice', id: '42' }, reason: 'not yours' })
  // @ts-expect-error: but it has a reason
  await audit.denied({ action: 'invoice.refund', target: { type: 'invoice', id: '42' } })
  // @ts-expect-error: and a target of the right type
  await audit.denied({ action: 'invoice.refund', target: { type: 'invoce', id: '42' }, reason: 'not yours' })

  const plain = actions.over(log)
  await plain.record({ ...refund, actor })
  // @ts-expect-error: no actor
  await plain.record(refund)
  // @ts-expect-error: no such action
  await plain.record({ action: 'invoice.refnd', actor })
}

// @ts-expect-error: no such severity
defineActions({ a: { severity: 'huge' } })
// @ts-expect-error: no such member
defineActions({ a: { targets: ['x'] } })
// @ts-expect-error: no Standard Schema
defineActions({ a: { metadata: { type: 'object' } } })
