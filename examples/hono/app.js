// A Hono application that records what its users do: what succeeded, what failed, and what was denied.
import { serve } from '@hono/node-server'
import { openAuditLog } from '@killick/sdk'
import { audited, auditRequests, requestEvent } from '@killick/sdk/hono'
import { createAudit, DeniedError } from '@killick/sdk/kit'
import { Hono } from 'hono'

const log = await openAuditLog({
  url: process.env.KILLICK_URL ?? 'http://127.0.0.1:8787',
  source: 'invoices',
  key: process.env.KILLICK_KEY ?? './invoices.key.json',
  logKey: process.env.KILLICK_LOG_KEY, // from the ledger's operator
  spool: process.env.KILLICK_SPOOL ?? './spool',
})
const audit = createAudit(log)

const invoices = new Map([['2026-0042', { id: '2026-0042', state: 'open', amount: 1200 }]])

const app = new Hono()

// First of all, so that what other middleware refuses is recorded too. No answer leaves before its event is on disk.
app.use(
  auditRequests(audit, {
    actor: (c) => c.get('user'),
    record: ({ outcome }) => outcome === 'denied',
    responseWaits: true,
  }),
)

// In place of a session: who is asking.
app.use(async (c, next) => {
  const [id, role = 'clerk'] = (c.req.header('x-user') ?? '').split(':')
  if (!id) throw new DeniedError('not signed in', 401)
  c.set('user', { type: 'user', id, role })
  await next()
})

const invoice = (c) => ({ type: 'invoice', id: c.req.param('id') })

app.post('/invoices/:id/approve', audited({ action: 'invoice.approve', target: invoice }), (c) => {
  const invoice = invoices.get(c.req.param('id'))
  if (!invoice) throw Object.assign(new Error('there is no such invoice'), { status: 404 })
  if (c.get('user').role !== 'manager') throw new DeniedError('only managers approve invoices')
  const before = invoice.state
  invoice.state = 'approved'
  requestEvent().set({ changes: [{ path: '/state', before, after: invoice.state }] })
  return c.json(invoice)
})

app.get('/export', audited({ action: 'invoice.export' }), async (c) => {
  await new Promise((resolve) => setTimeout(resolve, 200))
  return c.json([...invoices.values()])
})

app.onError((error, c) => c.json({ error: error.message }, error.status ?? 500))

const address = { port: Number(process.env.PORT ?? 3000), hostname: '127.0.0.1' }
const server = serve({ fetch: app.fetch, ...address }, ({ port }) => {
  console.log(`Invoices at http://127.0.0.1:${port}`)
})

// Nothing is lost without this, but it would be sent at the next start only.
process.on('SIGTERM', () => {
  server.close(async () => {
    const { pending } = await log.close()
    console.log(`${pending} events left in the spool`)
  })
})
