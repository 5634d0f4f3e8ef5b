// An Express application that records what its users do: what succeeded, what failed, and what was denied.
import { openAuditLog } from '@killick/sdk'
import { auditErrors, audited, auditRequests, requestEvent } from '@killick/sdk/express'
import { createAudit, DeniedError } from '@killick/sdk/kit'
import express from 'express'

const log = await openAuditLog({
  url: process.env.KILLICK_URL ?? 'http://127.0.0.1:8787',
  source: 'invoices',
  key: process.env.KILLICK_KEY ?? './invoices.key.json',
  logKey: process.env.KILLICK_LOG_KEY, // from the ledger's operator
  spool: process.env.KILLICK_SPOOL ?? './spool',
})
const audit = createAudit(log)

const invoices = new Map([['2026-0042', { id: '2026-0042', state: 'open', amount: 1200 }]])

const app = express()

// First of all, so that what other middleware refuses is recorded too. No answer leaves before its event is on disk.
app.use(
  auditRequests(audit, {
    actor: (request) => request.user,
    record: ({ outcome }) => outcome === 'denied',
    responseWaits: true,
  }),
)

// In place of a session: who is asking.
app.use((request, _response, next) => {
  const [id, role = 'clerk'] = (request.get('x-user') ?? '').split(':')
  if (!id) throw new DeniedError('not signed in', 401)
  request.user = { type: 'user', id, role }
  next()
})

const invoice = ({ params }) => ({ type: 'invoice', id: params.id })

app.post(
  '/invoices/:id/approve',
  audited({ action: 'invoice.approve', target: invoice }),
  async (request, response) => {
    const invoice = invoices.get(request.params.id)
    if (!invoice) throw Object.assign(new Error('there is no such invoice'), { status: 404 })
    if (request.user.role !== 'manager') throw new DeniedError('only managers approve invoices')
    const before = invoice.state
    invoice.state = 'approved'
    requestEvent().set({ changes: [{ path: '/state', before, after: invoice.state }] })
    response.json(invoice)
  },
)

app.get('/export', audited({ action: 'invoice.export' }), async (_request, response) => {
  await new Promise((resolve) => setTimeout(resolve, 200))
  response.json([...invoices.values()])
})

app.use(auditErrors())
app.use((error, _request, response, _next) => {
  response.status(error.status ?? 500).json({ error: error.message })
})

const server = app.listen(process.env.PORT ?? 3000, '127.0.0.1', () => {
  console.log(`Invoices at http://127.0.0.1:${server.address().port}`)
})

// Nothing is lost without this, but it would be sent at the next start only.
process.on('SIGTERM', () => {
  server.close(async () => {
    const { pending } = await log.close()
    console.log(`${pending} events left in the spool`)
  })
})
