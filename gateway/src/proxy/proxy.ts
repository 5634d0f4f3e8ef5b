// `killick-gateway http`: puts the parts of the proxy together, and takes them apart.
import { METHODS } from 'node:http'
import Fastify, { type FastifyInstance } from 'fastify'
import { addCertificateMetric } from '../certificates.ts'
import { GatewayStartError } from '../errors.ts'
import { openRecorderThread } from '../sessions/thread.ts'
import { sparing } from '../sparing.ts'
import { takeTurns } from '../turns.ts'
import { addressesOf } from './addresses.ts'
import { HTTP_FIELDS, type HttpConfig } from './config.ts'
import { HttpRefusal } from './errors.ts'
import { exchange } from './exchange.ts'
import { type Listener, listenAll } from './listeners.ts'
import { type HttpMetrics, makeHttpMetrics } from './metrics.ts'
import type { ProxyParts } from './parts.ts'
import { makeRouter } from './routes.ts'
import { upgrade } from './upgrade.ts'
import { openUpstream } from './upstream.ts'
import { makeVouching } from './who.ts'

/** A proxy that runs. */
export type HttpProxy = {
  /** Where it listens, with the port that was taken; null if only on the socket. */
  readonly url: string | null
  /** Path of the unix socket; null if there is none. */
  readonly socket: string | null
  /** Where the admin address is; null if there is none. */
  readonly admin: string | null
  /** Takes no more requests, gives those under way `limits.graceMs`, records their outcomes, and drains the spool for `limits.drainMs`. */
  close(): Promise<void>
}

/** CONNECT asks for a tunnel, of which nothing could be recorded but its bytes. */
const REFUSED_METHODS = new Set(['CONNECT'])

/**
 * Starts everything that `killick-gateway http` runs. Neither the anchor service nor the upstream need be reachable.
 * @param tell tells people something: a line on stderr
 * @throws GatewayStartError with a sentence that says what to do; KillickError, e.g. `spool_locked`, `key_unsafe`
 */
export async function startHttpProxy(config: HttpConfig, tell: (text: string) => void): Promise<HttpProxy> {
  const { listen, limits, who } = config
  const say = sparing(tell)
  const isBelieved = addressesOf(who.header?.from ?? [], () => {})
  const vouch = makeVouching({ who, actor: config.actor, isBelieved, say })
  const upstream = openUpstream(config.upstream, limits.upstreamConnections)
  const recorder = await openRecorderThread({ kind: 'http', settings: config, fields: HTTP_FIELDS, say })
  const underWay = new Set<Promise<unknown>>()
  let isDraining = false
  let open = 0
  const stop = new AbortController()
  const metrics = makeHttpMetrics(
    () => recorder.status(),
    () => open,
  )
  const parts: ProxyParts = {
    ...{ config, recorder, upstream, vouch, isBelieved, metrics, say, stop: stop.signal },
    router: makeRouter(config.routes, config.unmatched === 'record', () => {}),
    isTrusted: addressesOf(config.trustedProxies, () => {}),
    methods: new Set(METHODS.filter((each) => !REFUSED_METHODS.has(each))),
    isDraining: () => isDraining,
    track(work) {
      underWay.add(work)
      work.finally(() => underWay.delete(work))
    },
    internal(error) {
      say(`a request failed here: ${(error as Error).stack ?? error}`)
      return new HttpRefusal('http_internal')
    },
  }
  const counted = (work: Promise<void> | null): void => {
    if (work === null) return
    open += 1
    const done = work.catch((error) => void parts.internal(error))
    parts.track(
      done.then(() => {
        open -= 1
      }),
    )
  }
  const refuseBusy = (): boolean => open >= limits.openRequests
  const inTurn = takeTurns(() => metrics.refusals.inc({ code: 'http_busy' }))
  let listeners: Listener[] = []
  let admin: Admin | null = null
  try {
    listeners = await listenAll(
      config,
      {
        exchange(req, res) {
          const isBusy = refuseBusy()
          counted(inTurn(req, isBusy, () => exchange(req, res, parts, isBusy)))
        },
        upgrade(req, socket, head) {
          const isBusy = refuseBusy()
          counted(inTurn(req, isBusy, () => upgrade(req, socket, head, parts, isBusy)))
        },
        refused: (code) => metrics.refusals.inc({ code }),
        dropped: () => metrics.dropped.inc(),
      },
      say,
    )
    for (const { renewed } of listeners) if (renewed !== null) addCertificateMetric(metrics.registry, 'http', renewed)
    admin = config.admin && (await startAdmin(config.admin, recorder, metrics, () => isDraining))
  } catch (error) {
    await Promise.all(listeners.map((each) => each.close()))
    upstream.close()
    await recorder.close()
    throw error
  }
  const shut = async (): Promise<void> => {
    isDraining = true
    const closed = Promise.all(listeners.map((each) => each.close()))
    const patience = setTimeout(() => {
      stop.abort()
      for (const each of listeners) each.cut()
    }, limits.graceMs)
    while (underWay.size > 0) await Promise.allSettled(underWay)
    clearTimeout(patience)
    for (const each of listeners) each.cut()
    await closed
    upstream.close()
    await recorder.close()
    await admin?.app.close()
  }
  let closing: Promise<void> | null = null
  return {
    url: listeners.find((each) => each.url !== null)?.url ?? null,
    socket: listen.socket,
    admin: admin === null ? null : admin.url,
    close() {
      closing ??= shut()
      return closing
    },
  }
}

type Admin = { readonly app: FastifyInstance; readonly url: string }

async function startAdmin(
  { host, port }: NonNullable<HttpConfig['admin']>,
  recorder: ProxyParts['recorder'],
  metrics: HttpMetrics,
  isDraining: () => boolean,
): Promise<Admin> {
  const app = Fastify()
  app.get('/healthz', () => ({ status: 'ok' }))
  app.get('/readyz', async (_request, reply) => {
    const { state, pending } = await recorder.status()
    // A ledger that is away is no reason to send requests elsewhere: the spool takes their events.
    const isReady = !isDraining() && state !== 'halted' && state !== 'closed'
    return reply
      .code(isReady ? 200 : 503)
      .send({ status: isReady ? 'ready' : isDraining() ? 'draining' : state, pending })
  })
  app.get('/metrics', async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  )
  try {
    return { app, url: await app.listen({ host, port }) }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new GatewayStartError(
      'gateway_start_failed',
      `Cannot listen on ${host}:${port} (${code}). Set another admin.port.`,
    )
  }
}
