import serveFiles from '@fastify/static'
import { readStanding } from '../../ledger/read/standing.ts'
import { readRole } from '../auth.ts'
import type { App, AppDeps } from '../deps.ts'
import { VERSION } from '../openapi.ts'
import { API_PATH, FRONT_PATH, filesOf, PAGE_PATH, sendHtml } from '../page.ts'
import { readReadiness } from '../readiness.ts'
import { FrontSchema, ProblemSchema } from '../schemas.ts'

/** However many knock, how things stand is read once in this time. ms */
const FRESH_MS = 1_000

const PATHS = {
  console: '/console/',
  verify: PAGE_PATH,
  api: API_PATH,
  openapi: '/openapi.json',
  log: '/v1/log',
  checkpoint: '/checkpoint',
  health: '/readyz',
  metrics: '/metrics',
}

/** The front door: what this is and how it is, as a page to browsers and as JSON to everything else. */
export function frontRoutes(app: App, { ledger, tokens, tiles, hasChain, anchoring, auditing }: AppDeps): void {
  app.register(serveFiles, filesOf('front', FRONT_PATH))

  async function read() {
    const { status } = await readReadiness({ ledger, anchoring, auditing })
    const standing = await readStanding(ledger.db).catch(() => null)
    return { status, standing }
  }
  let kept: { at: number; read: ReturnType<typeof read> } | null = null
  const readKept = () => {
    if (kept === null || performance.now() - kept.at > FRESH_MS) kept = { at: performance.now(), read: read() }
    return kept.read
  }

  app.get(
    '/',
    {
      schema: {
        operationId: 'readFront',
        summary: 'What this service is, how its log stands, and where to go from here; a page to browsers',
        tags: ['operation'],
        response: { 200: FrontSchema, default: ProblemSchema },
      },
    },
    async (request, reply) => {
      reply.header('vary', 'accept')
      if (/\btext\/html\b/i.test(request.headers.accept ?? ''))
        return sendHtml(reply, 'front', (html) => html.replaceAll('"./', `"${FRONT_PATH}`))
      const { status, standing } = await readKept()
      // Where tiles are private, so is what could be read from them.
      const isShown = tiles === 'public' || (await readRole(tokens, request).catch(() => null)) !== null
      return {
        ...{ service: 'killick' as const, version: VERSION, origin: ledger.log.origin, vkey: ledger.log.vkey, status },
        ...{ isPrivate: !isShown, hasChain },
        log: isShown && standing ? { ...standing, upTo: standing.upTo?.toISOString() ?? null } : null,
        paths: PATHS,
      }
    },
  )
}
