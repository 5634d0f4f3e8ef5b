// What must compile and what must not, for `npm run check`: a marked line that compiles is an error, as is any other that does not.
import { type AuditLog, type AuditLogOptions, type EventInput, openAuditLog } from '../../../sdk/src/index.ts'

const event = { action: 'invoice.approve', actor: { type: 'user', id: 'ada' } }

export async function types(audit: AuditLog, tenants: AuditLog<'tenant'>, options: AuditLogOptions): Promise<void> {
  audit.record({ ...event, targets: undefined, outcome: 'denied', occurredAt: new Date() })
  audit.record({
    ...event,
    metadata: { at: new Date(), list: [1, { a: null }] },
    changes: [{ path: '/a', after: new Date() }],
  })
  // @ts-expect-error outcome
  audit.record({ ...event, outcom: 'failure' })
  // @ts-expect-error context
  audit.record({ ...event, contxt: {} })
  // @ts-expect-error metadata
  audit.record({ ...event, meta_data: {} })
  // @ts-expect-error not declared
  audit.record({ ...event, tenant: 't-1' })
  // @ts-expect-error no such outcome
  audit.record({ ...event, outcome: 'ok' })
  // @ts-expect-error an actor has a type
  audit.record({ action: 'a', actor: { id: '1' } })
  // @ts-expect-error JSON has no functions
  audit.record({ ...event, metadata: { f: () => 1 } })
  tenants.record({ ...event, tenant: 't-1' })
  // @ts-expect-error tenant
  tenants.record({ ...event, tenent: 't-1' })
  // @ts-expect-error action
  audit.record({ actoin: 'a', actor: event.actor })

  // A wrapper that fills in the actor keeps every check.
  const wrap = (rest: Omit<EventInput, 'actor'>) => audit.record({ ...rest, actor: event.actor })
  wrap({ action: 'a', outcome: 'success' })
  // @ts-expect-error the action is missing
  wrap({ outcome: 'success' })
  // @ts-expect-error outcome
  wrap({ action: 'a', outcom: 'success' })

  const declared = await openAuditLog({ ...options, fields: ['tenant'] })
  declared.record({ ...event, tenant: { id: 1 } })
  // @ts-expect-error not declared
  declared.record({ ...event, tenent: 1 })
  const plain: AuditLog = declared
  plain.record(event)
}
