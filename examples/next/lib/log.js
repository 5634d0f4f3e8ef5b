import { subscribe } from 'node:diagnostics_channel'
import { openAuditLog } from '@killick/sdk'
import { createAudit } from '@killick/sdk/kit'

const log = await openAuditLog({
  url: process.env.KILLICK_URL ?? 'http://127.0.0.1:8787',
  source: 'invoices',
  key: process.env.KILLICK_KEY ?? './invoices.key.json',
  logKey: process.env.KILLICK_LOG_KEY, // from the ledger's operator
  spool: process.env.KILLICK_SPOOL ?? './spool',
})
// Not exported: Next gives each entry of an application a copy of its modules.
globalThis.audit = createAudit(log)

// Next hands out its server nowhere; Node names it with each request.
let server
subscribe('http.server.request.start', (message) => {
  server = message.server
})

// Nothing is lost without this, but it would be sent at the next start only. `start` in package.json leaves the signal to us.
process.on('SIGTERM', async () => {
  if (server) await new Promise((resolve) => server.close(resolve))
  const { pending } = await log.close()
  console.log(`${pending} events left in the spool`)
  process.exit()
})
