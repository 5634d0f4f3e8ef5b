// Several processes of one application. A spool belongs to one process, so each worker has its own, and with it a stream of its own.
// A worker that is started in the place of one that died takes over its spool, and with it what had not been sent.
import cluster from 'node:cluster'
import { createServer } from 'node:http'
import { openAuditLog } from '@killick/sdk'

if (cluster.isPrimary) {
  const places = new Map()
  const fork = (place) => places.set(cluster.fork({ PLACE: place }).id, place)
  for (let place = 0; place < 2; place++) fork(place)
  let isStopping = false
  cluster.on('exit', ({ id }) => {
    if (!isStopping) fork(places.get(id))
  })
  cluster.on('message', (_worker, line) => console.log(line))
  process.on('SIGTERM', () => {
    isStopping = true
    for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGTERM')
  })
} else {
  const place = process.env.PLACE
  const audit = await openAuditLog({
    url: process.env.KILLICK_URL ?? 'http://127.0.0.1:8787',
    source: 'tickets',
    key: process.env.KILLICK_KEY ?? './tickets.key.json',
    logKey: process.env.KILLICK_LOG_KEY,
    spool: `${process.env.KILLICK_SPOOL ?? './spool'}/${place}`,
  })
  const server = createServer(async (request, response) => {
    const actor = { type: 'user', id: request.headers['x-user'] ?? 'nobody' }
    await audit.record({ action: 'ticket.open', actor, targets: [], metadata: { worker: place } })
    response.end(`worker ${place}\n`)
  })
  server.listen(process.env.PORT ?? 3000, '127.0.0.1', () => {
    process.send(`worker ${place} (${process.pid}) at http://127.0.0.1:${server.address().port}`)
  })
  process.on('SIGTERM', () => {
    server.close()
    server.closeAllConnections()
    audit.close().then(({ pending }) => {
      process.send(`worker ${place} leaves ${pending} events`, () => process.exit())
    })
  })
}
