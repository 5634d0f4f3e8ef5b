import { subscribe } from 'node:diagnostics_channel'
import { openAuditLog, readConfig } from '@killick/sdk'
import { createAudit } from '@killick/sdk/kit'

const log = await openAuditLog(readConfig()) // killick.json, or KILLICK_URL, KILLICK_SOURCE and so on
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
