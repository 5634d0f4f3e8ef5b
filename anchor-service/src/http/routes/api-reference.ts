import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import serveFiles from '@fastify/static'
import type { App } from '../deps.ts'
import { type KeptBody, keepBody, keepForGood, sendKept } from '../kept-body.ts'
import { API_PATH, filesOf, sendHtml } from '../page.ts'

/** Swagger UI's files, by the names that they have here. They come from the installed package, and from nobody else. */
const VIEWER = {
  'viewer.js': ['swagger-ui-bundle.js', 'text/javascript; charset=utf-8'],
  'viewer.css': ['swagger-ui.css', 'text/css; charset=utf-8'],
} as const

/** The API reference, with a form to try each operation. */
export function apiReferenceRoutes(app: App): void {
  const hide = { schema: { hide: true } }
  app.register(serveFiles, filesOf('api', API_PATH))
  app.get(API_PATH.slice(0, -1), hide, (_request, reply) => reply.redirect(API_PATH))
  app.get(API_PATH, hide, (_request, reply) => sendHtml(reply, 'api'))

  // Read and compressed for the first who asks, since few do.
  const kept = new Map<string, Promise<KeptBody>>()
  for (const [name, [file, type]] of Object.entries(VIEWER)) {
    app.get(`${API_PATH}${name}`, hide, async (request, reply) => {
      const known = kept.get(name) ?? read(file)
      kept.set(name, known)
      known.catch(() => kept.delete(name))
      const body = await known
      reply.type(type).header('cache-control', 'public, max-age=300')
      return sendKept(request, reply, body)
    })
  }
}

async function read(file: string): Promise<KeptBody> {
  const path = createRequire(import.meta.url).resolve(`@fastify/swagger-ui/static/${file}`)
  return keepForGood(await keepBody(await readFile(path), ['br', 'gzip']))
}
