import { Type } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Refusal } from '../../errors.ts'
import { bearerOf, judge, requireToken } from '../auth.ts'
import { baseUrl } from '../base-url.ts'
import type { App, AppDeps } from '../deps.ts'
import { ProblemSchema, Time } from '../schemas.ts'
import { newSession, sealSession, setCookie } from '../session.ts'
import { keepSignInLinks } from '../sign-in-links.ts'

/** Logins per minute and address. */
const LOGIN_LIMIT = 20

const Role = Type.Union([Type.Literal('reader'), Type.Literal('admin')])

export const SessionSchema = Type.Object({
  role: Type.Union([Role, Type.Null()], { description: 'null: there is no session' }),
  origin: Type.String({ description: 'the log’s' }),
  approvals: Type.Array(Type.String(), {
    description: 'origins that the console links to where a call waits for a person; empty without a session',
  }),
})

/** Sessions of the console, which needs no more of its own beside the API that everyone uses. */
export function sessionRoutes(app: App, { ledger, tokens, rateLimit, published }: AppDeps): void {
  const common = { tags: ['console'] }
  const limited = rateLimit > 0 ? { config: { rateLimit: { max: Math.min(rateLimit, LOGIN_LIMIT) } } } : {}

  const links = keepSignInLinks()

  // Behind a proxy that ends TLS, only the operator's own address tells.
  const isHttps = (request: FastifyRequest) =>
    request.protocol === 'https' || (published.url?.startsWith('https:') ?? false)

  app.post(
    '/console/session',
    {
      ...limited,
      schema: {
        ...common,
        operationId: 'openSession',
        summary: 'Open a session with a token, or with a link that signs in once; the answer sets its cookie',
        body: Type.Union([
          Type.Object({ token: Type.String({ maxLength: 512 }) }, { additionalProperties: false }),
          Type.Object(
            { link: Type.String({ maxLength: 512, description: 'what stands behind #/sign-in/ of the link' }) },
            { additionalProperties: false },
          ),
        ]),
        response: { 200: Type.Object({ role: Role }), default: ProblemSchema },
      },
    },
    async (request, reply) => {
      const { body } = request
      const isLink = 'link' in body
      const linked = isLink ? links.use(body.link) : null
      const given = isLink ? linked && { role: linked, person: null } : bearerOf(tokens, body.token)
      const wrong = isLink
        ? 'This link signs nobody in: its time is over, or the service was started anew since.'
        : 'That is not a token of this service.'
      try {
        const { role } = judge(tokens, request.ip, given, wrong)
        if (role === 'eraser') throw new Refusal('forbidden', 'The token for erasures opens no session.')
        const session = newSession(role)
        await tokens.sessions.begin(session, request.ip, isLink ? 'link' : 'token')
        setCookie(reply, sealSession(tokens, session), isHttps(request))
        return { role }
      } catch (error) {
        // Or whoever tries again would be told that somebody has signed in with it.
        if (linked !== null) links.giveBack((body as { link: string }).link)
        throw error
      }
    },
  )

  app.post(
    '/console/sign-in-links',
    {
      ...limited,
      onRequest: requireToken(tokens, 'reader'),
      schema: {
        ...common,
        operationId: 'makeSignInLink',
        summary: 'Make a link that signs in to the console once, soon, with the role of the token that asks',
        security: [{ reader: [] }],
        response: { 201: Type.Object({ url: Type.String(), until: Time }), default: ProblemSchema },
      },
    },
    async (request, reply) => {
      // A session that could make others would never end.
      if (request.headers.authorization === undefined)
        throw new Refusal('unauthorized', 'It takes a token to make such a link; a session will not do.')
      const { secret, until } = links.make(request.role!)
      reply.code(201)
      // Behind #, so that no server, log or proxy is told of it.
      return { url: `${baseUrl(request, published)}/console/#/sign-in/${secret}`, until: until.toISOString() }
    },
  )

  app.get(
    '/console/session',
    {
      schema: {
        ...common,
        operationId: 'readSession',
        summary: 'Whose session this is',
        response: { 200: SessionSchema, default: ProblemSchema },
      },
    },
    async (request) => {
      const role = (await tokens.sessions.of(request))?.role ?? null
      return { role, origin: ledger.log.origin, approvals: role === null ? [] : published.approvals }
    },
  )

  app.delete(
    '/console/session',
    {
      schema: {
        ...common,
        operationId: 'endSession',
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
