import serveFiles from '@fastify/static'
import { Type } from '@fastify/type-provider-typebox'
import { hideFields, type ParsedEvent, parseEvent, parseProof, printProof } from '@killick/sdk/core'
import type { FastifyReply } from 'fastify'
import { Refusal } from '../../errors.ts'
import { readProof } from '../../ledger/read/proofs.ts'
import { readTargets } from '../../ledger/registry/anchors.ts'
import { findShare, type StoredShare } from '../../ledger/registry/shares.ts'
import { baseUrl } from '../base-url.ts'
import type { App, AppDeps } from '../deps.ts'
import { filesOf, GUARDED, PAGE_PATH, pageFor, sendHtml } from '../page.ts'
import { NO_PREVIEW, previewOf } from '../preview.ts'
import { ProblemSchema } from '../schemas.ts'

/** Tries per minute and address; a visit to a link takes three. */
const LINK_LIMIT = 120

/** A link with what a mail program took into it from the sentence around it: a token has 43 characters. */
const WITH_MARKS = /^([\w-]{43})[^\w-]+$/

const Token = Type.Object({ token: Type.String({ maxLength: 64 }) })

/** The verification page: by itself, and with the proof behind a link. */
export function pageRoutes(app: App, { ledger, published, rateLimit }: AppDeps): void {
  const limited = rateLimit > 0 ? { config: { rateLimit: { max: Math.min(rateLimit, LINK_LIMIT) } } } : {}
  const hide = { hide: true, response: { 200: Type.Any(), default: ProblemSchema } }

  /** The link's share while it is open; of any other it tells the state and nothing else. */
  async function open(token: string): Promise<StoredShare> {
    const share = await findShare(ledger.db, token)
    if (share === null) throw new Refusal('share_not_found')
    if (share.state !== 'open') throw new Refusal(`share_${share.state}`)
    return share
  }

  async function shown(share: StoredShare): Promise<{ proof: string; event: ParsedEvent }> {
    const proof = parseProof(await readProof(ledger, share.leafHash).catch(withoutDetails))
    const token = hideFields(parseEvent(proof.event), share.fields)
    return { proof: printProof({ ...proof, event: token }), event: parseEvent(token) }
  }

  /** Of the policy that dropped an event the link tells nothing: it shows what its maker chose. */
  function withoutDetails(error: unknown): never {
    throw error instanceof Refusal && error.code === 'event_dropped' ? new Refusal('event_dropped') : error
  }

  const sendPage = (reply: FastifyReply, link: Parameters<typeof pageFor>[1]) =>
    sendHtml(reply, 'page', (html) => pageFor(html, link))

  /** As the log says it, not the tables that anyone who owns the database can change. */
  async function registered(source: string) {
    await ledger.registry.catchUp(ledger.db)
    return ledger.registry.source(source)
  }

  /** What the operator says to pin; a source's keys only with a link to one of its events. */
  async function trust(source?: string) {
    const known = source === undefined ? undefined : await registered(source)
    return {
      publisher: ledger.log.origin,
      sourceKeys: [...(known?.keys.values() ?? [])].map(({ jwk }) => ({ source, jwk })),
      logKeys: [ledger.log.vkey],
      logs: await readTargets(ledger.db),
      rpcs: published.rpcs,
    }
  }

  app.get(PAGE_PATH.slice(0, -1), { schema: hide }, (_request, reply) => reply.redirect(PAGE_PATH))
  app.get(PAGE_PATH, { schema: hide }, (_request, reply) =>
    sendPage(reply, { trust: `${PAGE_PATH}trust.json`, preview: NO_PREVIEW }),
  )
  app.get(`${PAGE_PATH}trust.json`, { schema: hide }, async (_request, reply) =>
    // The operator's public word, as public as the tiles: pages elsewhere may show it.
    reply.headers({ ...GUARDED, 'access-control-allow-origin': '*' }).send(await trust()),
  )

  app.register(serveFiles, filesOf('page', PAGE_PATH))
  app.get(`${PAGE_PATH}index.html`, { schema: hide }, (_request, reply) => sendHtml(reply, 'page'))

  // For bundles, which take it along.
  app.get(`${PAGE_PATH}alone.html`, { schema: hide }, (_request, reply) => sendHtml(reply, 'alone'))

  app.register(serveFiles, filesOf('console', '/console/'))
  app.get('/console', { schema: hide }, (_request, reply) => reply.redirect('/console/'))
  for (const path of ['/console/', '/console/index.html'])
    app.get(path, { schema: hide }, (_request, reply) => sendHtml(reply, 'console'))

  app.get('/p/:token/', { ...limited, schema: { ...hide, params: Token } }, ({ params }, reply) =>
    reply.redirect(`/p/${encodeURIComponent(params.token)}`),
  )
  app.get('/p/:token', { ...limited, schema: { ...hide, params: Token } }, async (request, reply) => {
    const { params } = request
    const [, meant] = WITH_MARKS.exec(params.token) ?? []
    if (meant !== undefined) return reply.redirect(`/p/${meant}`)
    const path = `/p/${encodeURIComponent(params.token)}`
    const base = baseUrl(request, published)
    const link = { trust: `${path}/trust.json`, proof: `${path}/proof`, preview: NO_PREVIEW }
    try {
      const { event } = await shown(await open(params.token))
      const seen = { url: base + path, picture: `${base}${PAGE_PATH}preview.png`, preview: previewOf(event) }
      return await sendPage(reply, { ...link, ...seen })
    } catch (error) {
      // The page comes in any case: it says in words what became of the link.
      if (!(error instanceof Refusal) || !/^(share|event)_/.test(error.code)) throw error
      return sendPage(reply.code(error.code === 'share_not_found' ? 404 : 410), link)
    }
  })

  app.get(
    '/p/:token/proof',
    {
      ...limited,
      schema: {
        operationId: 'readSharedProof',
        summary: 'The proof behind a link, with the fields that the link shows',
        tags: ['shares'],
        params: Token,
        response: { 200: Type.Unknown({ description: 'killick-proof/1' }), default: ProblemSchema },
      },
    },
    async ({ params }, reply) => {
      const { proof } = await shown(await open(params.token))
      return reply.headers(GUARDED).type('application/json; charset=utf-8').serializer(String).send(proof)
    },
  )

  app.get('/p/:token/trust.json', { ...limited, schema: { ...hide, params: Token } }, async ({ params }, reply) => {
    const { event } = await shown(await open(params.token))
    return reply.headers(GUARDED).send(await trust(event.source))
  })
}
