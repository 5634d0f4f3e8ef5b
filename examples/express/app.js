// An Express application that records what its users do: what succeeded, what failed, and what was denied.
import { openAuditLog } from '@killick/sdk'
import express from 'express'

const audit = await openAuditLog({
  url: process.env.KILLICK_URL ?? 'http://127.0.0.1:8787',
  source: 'invoices',
  key: process.env.KILLICK_KEY ?? './invoices.key.json',
  logKey: process.env.KILLICK_LOG_KEY, // from the ledger's operator
  spool: process.env.KILLICK_SPOOL ?? './spool',
})

/** A handler whose action is recorded before its answer is sent: whoever has the answer knows that the record is on disk. */
function audited(action, handle) {
  return async (request, response) => {
    const event = {
      action,
      actor: request.user,
      targets: [{ type: 'invoice', id: request.params.id }],
      context: { ip: request.ip, userAgent: request.get('user-agent') ?? '' },
    }
    try {
      const { body, changes } = await handle(request)
      await audit.record({ ...event, outcome: 'success', changes })
      response.json(body)
    } catch (error) {
      await audit.record({
        ...event,
        outcome: error.status === 403 ? 'denied' : 'failure',
        metadata: { why: error.message },
      })
      throw error
    }
  }
}

const invoices = new Map([['2026-0042', { id: '2026-0042', state: 'open', amount: 1200 }]])
const refuse = (status, message) => Object.assign(new Error(message), { status })

const app = express()

// In place of a session: who is asking.
app.use((request, _response, next) => {
  const [id = 'nobody', role = 'clerk'] = (request.get('x-user') ?? '').split(':')
  request.user = { type: 'user', id, role }
  next()
})

app.post(
  '/invoices/:id/approve',
  audited('invoice.approve', async ({ params, user }) => {
    const invoice = invoices.get(params.id)
    if (!invoice) throw refuse(404, 'there is no such invoice')
    if (user.role !== 'manager') throw refuse(403, 'only managers approve invoices')
    const before = invoice.state
    invoice.state = 'approved'
    return { body: invoice, changes: [{ path: '/state', before, after: invoice.state }] }
  }),
)

app.use((error, _request, response, _next) => {
  response.status(error.status ?? 500).json({ error: error.message })
})

const server = app.listen(process.env.PORT ?? 3000, '127.0.0.1', () => {
  console.log(`Invoices at http://127.0.0.1:${server.address().port}`)
})

// Nothing is lost without this, but it would be sent at the next start only.
process.on('SIGTERM', () => {
  server.close(async () => {
    const { pending } = await audit.close()
    console.log(`${pending} events left in the spool`)
  })
})
