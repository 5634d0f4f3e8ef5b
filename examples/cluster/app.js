// Several processes of one application. A spool belongs to one process, so each worker has its own, and with it a stream of its own.
// A worker that is started in the place of one that died takes over its spool, and with it what had not been sent.
import cluster from 'node:cluster'
import { createServer } from 'node:http'
import { openAuditLog } from '@killick/sdk'

if (cluster.isPrimary) {
  for (let i = 0; i < 2; i++) cluster.fork()
  let isStopping = false
  // Not at once: a worker that cannot begin, for want of its key, would be started without end.
  cluster.on('exit', () => setTimeout(() => isStopping || cluster.fork(), 1_000))
  cluster.on('message', (_worker, line) => console.log(line))
  process.on('SIGTERM', () => {
    isStopping = true
    for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGTERM')
  })
} else {
  const audit = await openAuditLog({
    url: process.env.KILLICK_URL ?? 'http://127.0.0.1:8787',
    source: 'tickets',
    key: process.env.KILLICK_KEY ?? './tickets.key.json',
    logKey: process.env.KILLICK_LOG_KEY,
    spool: `${process.env.KILLICK_SPOOL ?? './spool'}/{worker}`,
  })
  const { worker } = audit.status
  const server = createServer(async (request, response) => {
    const actor = { type: 'user', id: request.headers['x-user'] ?? 'nobody' }
    await audit.record({ action: 'ticket.open', actor, metadata: { worker } })
    response.end(`worker ${worker}\n`)
  })
  server.listen(process.env.PORT ?? 3000, '127.0.0.1', () => {
    process.send(`worker ${worker} (${process.pid}) at http://127.0.0.1:${server.address().port}`)
  })
  process.on('SIGTERM', () => {
    server.close()
    server.closeAllConnections()
    audit.close().then(({ pending }) => {
      process.send(`worker ${worker} leaves ${pending} events`, () => process.exit())
    })
  })
}
