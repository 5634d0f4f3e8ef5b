// A Fastify application that records what its users do: what succeeded, what failed, and what was denied.
import { openAuditLog } from '@killick/sdk'
import { audited, auditRequests, requestEvent } from '@killick/sdk/fastify'
import { createAudit, DeniedError } from '@killick/sdk/kit'
import fastify from 'fastify'

const log = await openAuditLog({
  url: process.env.KILLICK_URL ?? 'http://127.0.0.1:8787',
  source: 'invoices',
  key: process.env.KILLICK_KEY ?? './invoices.key.json',
  logKey: process.env.KILLICK_LOG_KEY, // from the ledger's operator
  spool: process.env.KILLICK_SPOOL ?? './spool',
})
const audit = createAudit(log)

const invoices = new Map([['2026-0042', { id: '2026-0042', state: 'open', amount: 1200 }]])

const app = fastify()

// First of all, so that what the hooks of others refuse is recorded too. No answer leaves before its event is on disk.
await app.register(
  auditRequests(audit, {
    actor: (request) => request.user,
    record: ({ outcome }) => outcome === 'denied',
    responseWaits: true,
  }),
)

// In place of a session: who is asking.
app.decorateRequest('user', null)
app.addHook('onRequest', async (request) => {
  const [id, role = 'clerk'] = (request.headers['x-user'] ?? '').split(':')
  if (!id) throw new DeniedError('not signed in', 401)
  request.user = { type: 'user', id, role }
})

const approval = audited({
  action: 'invoice.approve',
  target: ({ params }) => ({ type: 'invoice', id: params.id }),
})

app.post('/invoices/:id/approve', { config: approval }, async ({ params, user }) => {
  const invoice = invoices.get(params.id)
  if (!invoice) throw Object.assign(new Error('there is no such invoice'), { statusCode: 404 })
  if (user.role !== 'manager') throw new DeniedError('only managers approve invoices')
  const before = invoice.state
  invoice.state = 'approved'
  requestEvent().set({ changes: [{ path: '/state', before, after: invoice.state }] })
  return invoice
})

app.get('/export', { config: audited({ action: 'invoice.export' }) }, async () => {
  await new Promise((resolve) => setTimeout(resolve, 200))
  return [...invoices.values()]
})

// The log is closed last, once every request is answered.
app.addHook('onClose', async () => {
  const { pending } = await log.close()
  console.log(`${pending} events left in the spool`)
})
process.on('SIGTERM', () => app.close())

console.log(`Invoices at ${await app.listen({ port: Number(process.env.PORT ?? 3000), host: '127.0.0.1' })}`)
