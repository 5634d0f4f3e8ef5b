import { normalizeIP } from '@fastify/rate-limit'
import { Type } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { roleOf } from '../auth.ts'
import type { App, AppDeps } from '../deps.ts'
import { ProblemSchema } from '../schemas.ts'
import { newSession, sealSession, setCookie } from '../session.ts'

/** Logins per minute and address. */
const LOGIN_LIMIT = 20

const Role = Type.Union([Type.Literal('reader'), Type.Literal('admin')])

export const SessionSchema = Type.Object({
  role: Type.Union([Role, Type.Null()], { description: 'null: there is no session' }),
  origin: Type.String({ description: 'the log’s' }),
})

/** Sessions of the console, which needs no more of its own beside the API that everyone uses. */
export function sessionRoutes(app: App, { ledger, tokens, rateLimit, published }: AppDeps): void {
  const common = { tags: ['console'] }
  const limited = rateLimit > 0 ? { config: { rateLimit: { max: Math.min(rateLimit, LOGIN_LIMIT) } } } : {}

  // Behind a proxy that ends TLS, only the operator's own address tells.
  const isHttps = (request: FastifyRequest) =>
    request.protocol === 'https' || (published.url?.startsWith('https:') ?? false)

  app.post(
    '/console/session',
    {
      ...limited,
      schema: {
        ...common,
        summary: 'Open a session with a token; the answer sets its cookie',
        body: Type.Object({ token: Type.String({ maxLength: 512 }) }, { additionalProperties: false }),
        response: { 200: Type.Object({ role: Role }), default: ProblemSchema },
      },
    },
    async (request, reply) => {
      const given = roleOf(tokens, request.body.token)
      const role = tokens.guesses.judge(normalizeIP(request.ip), given, 'That is not a token of this service.')
      const session = newSession(role)
      await tokens.sessions.begin(session, request.ip)
      setCookie(reply, sealSession(tokens, session), isHttps(request))
      return { role }
    },
  )

  app.get(
    '/console/session',
    {
      schema: { ...common, summary: 'Whose session this is', response: { 200: SessionSchema, default: ProblemSchema } },
    },
    async (request) => ({
      role: (await tokens.sessions.of(request))?.role ?? null,
      origin: ledger.log.origin,
    }),
  )

  app.delete(
    '/console/session',
    {
      schema: {
        ...common,
        summary: 'End the session of this browser, for whoever has its cookie',
        response: { 200: Type.Object({}), default: ProblemSchema },
      },
    },
    async (request, reply) => {
      const session = await tokens.sessions.of(request)
      if (session !== null) await tokens.sessions.end(session)
      setCookie(reply, null, isHttps(request))
      return {}
    },
  )
}
