// What users run where they have no collector: a plain fastify that appends each event to a file, unsigned and without an fsync.
//
//   node append-server.ts <file>
import { createWriteStream } from 'node:fs'
import Fastify from 'fastify'

const file = createWriteStream(process.argv[2]!)
const app = Fastify({ bodyLimit: 16 << 20 })
app.post('/v1/events', async (request) => {
  const events = Array.isArray(request.body) ? request.body : [request.body]
  const lines = events.map((event) => `${JSON.stringify(event)}\n`).join('')
  await new Promise<void>((resolve, reject) => file.write(lines, (error) => (error ? reject(error) : resolve())))
  return { recorded: events.length }
})
process.stdout.write(`listens on ${await app.listen({ port: 0, host: '127.0.0.1' })}\n`)
