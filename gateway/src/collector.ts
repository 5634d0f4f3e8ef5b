import { chmodSync, readFileSync, rmSync } from 'node:fs'
import { type AddressInfo, connect } from 'node:net'
import { basename, join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { type AuditLog, type KillickError, openAuditLog } from '@killick/sdk'
import type { FastifyInstance } from 'fastify'
import {
  addCertificateMetric,
  checkAuthorities,
  type ListenerPem,
  type RenewedCertificate,
  renewCertificate,
} from './certificates.ts'
import {
  COLLECTED,
  type CollectorConfig,
  type CollectorListen,
  type CollectorTls,
  type FollowedFile,
} from './config.ts'
import { authenticator } from './emitters.ts'
import { GatewayRefusal, GatewayStartError } from './errors.ts'
import { FairShare } from './fairness.ts'
import { followFile } from './file-follower.ts'
import { buildCollectorApp, type ListenerOptions, showCertificate } from './http/app.ts'
import { toGatewayProblem } from './http/problems.ts'
import type { CollectorDeps } from './http/recording-route.ts'
import { type Contents, openContents } from './ids/contents.ts'
import { SenderIds } from './ids/sender-ids.ts'
import { makeCollectorMetrics } from './metrics.ts'
import { EmitterRecording } from './recording.ts'
import { type EventSealing, openSealing } from './sealed/sealing.ts'
import { type SyslogServer, startSyslog } from './syslog/server.ts'

/** A collector that runs. */
export type Collector = {
  /** Where it listens for HTTP, with the port that was taken; null if only on the socket. */
  readonly url: string | null
  /** Path of the unix socket; null if there is none. */
  readonly socket: string | null
  /** Ports on which syslog is taken; null where it is not. */
  readonly syslog: { readonly udpPort: number | null; readonly tlsPort: number | null }
  /** Its audit log, for its state. */
  readonly log: Pick<AuditLog, 'status'>
  /**
   * Takes no more requests, answers those under way, and tries for `limits.drainMs` to have everything accepted. What is left stays
   * in the spool. @returns how many events that are
   */
  close(): Promise<number>
}

/** How long requests under way may take when the collector is stopped, ms. Those that still trickle in are then cut off. */
const CLOSE_PATIENCE_MS = 10_000

/**
 * Starts everything that `killick-gateway collect` runs. The anchor service need not be reachable.
 * @throws GatewayStartError with a sentence that says what to do; KillickError, e.g. `spool_locked`, `key_unsafe`
 */
export async function startCollector(config: CollectorConfig): Promise<Collector> {
  const { limits, listen } = config
  const proofs = config.readerToken && { url: config.url, token: readText(config.readerToken, 'readerToken').trim() }
  const pem = listen.tls && readTls(listen.tls)
  const listeners = listenersOf(config, pem)
  const ids = openIds(config)
  let apps: FastifyInstance[] = []
  let log: AuditLog
  let sealing: EventSealing | null = null
  let contents: Contents
  try {
    contents = openContents(join(config.spool, 'ids'), config.sealed !== null)
    const say = (text: string) => void apps[0]?.log.warn(text)
    sealing = config.sealed && (await openSealing(config.sealed, { source: config.source, kind: null, say }))
    log = await openAuditLog({
      url: config.url,
      source: config.source,
      key: config.key,
      spool: config.spool,
      ...(config.logKey !== null && { logKey: config.logKey }),
      fields: [COLLECTED, ...config.fields] as string[],
      ...(sealing !== null && { sealing: sealing.sealer, sealed: [...config.sealed!.fields] as 'actor'[] }),
      maxSpoolBytes: limits.spoolBytes,
      spoolWaitMs: SPOOL_WAIT_MS,
      onFound: (event) => EmitterRecording.remember(ids, event),
      // An event may leave the spool once the ledger has it; by then its sender's id must be durable elsewhere.
      fetch: async (...request) => {
        await ids.sync()
        return fetch(...request)
      },
      onError: (error, during) => {
        if (during === 'send') apps[0]?.log.warn({ code: (error as KillickError).code }, `not sent: ${error.message}`)
      },
      onPin: (logKey) =>
        apps[0]?.log.warn({ logKey }, 'took the key of the log from the service; set logKey to pin it'),
    })
  } catch (error) {
    ids.close()
    await sealing?.close()
    if (error instanceof GatewayRefusal) throw new GatewayStartError('gateway_start_failed', String(error.message))
    throw error
  }
  const metrics = makeCollectorMetrics(() => log, ids)
  const recording = new EmitterRecording(
    config.source,
    log,
    ids,
    config.fields,
    {
      recorded: (emitter, via, count) => void (count > 0 && metrics.recorded.inc({ emitter, via }, count)),
      repeated: (emitter, via, count) => void (count > 0 && metrics.repeated.inc({ emitter, via }, count)),
    },
    { contents, sealing: sealing && { check: sealing.check, nobody: sealing.nobody, names: config.sealed!.fields } },
  )
  let closing: Promise<number> | null = null
  const deps = {
    source: config.source,
    log,
    recording,
    authenticate: authenticator(config.emitters),
    requests: new FairShare(limits.requests),
    memory: new FairShare(limits.memoryBytes),
    limits,
    metrics,
    proofs: proofs || null,
    logLevel: config.logLevel,
    emitters: config.emitters,
    mappings: config.mappings,
    otlp: config.otlp && { mapping: config.mappings[config.otlp.mapping]!, declared: new Set(config.fields) },
    isDraining: () => closing !== null,
  }
  let syslog: SyslogServer | null = null
  let followers: { stop(): Promise<void> }[] = []
  let renewed: RenewedCertificate | null = null
  async function stop(): Promise<number> {
    renewed?.stop()
    await Promise.all([syslog?.close(), ...followers.map((follower) => follower.stop())])
    const patience = setTimeout(() => {
      for (const app of apps) (app.server as { closeAllConnections?(): void }).closeAllConnections?.()
    }, CLOSE_PATIENCE_MS)
    await Promise.all(apps.map((app) => app.close()))
    clearTimeout(patience)
    const { pending } = await log.close({ timeoutMs: limits.drainMs })
    ids.close()
    await sealing?.close()
    return pending
  }
  try {
    apps = listeners.map((options) => buildCollectorApp(deps, options))
    let url: string | null = null
    for (const [i, app] of apps.entries()) {
      if (listeners[i]!.isSocket) await listenOnSocket(app, listen.socket!, listen.socketMode)
      else url = await listenOnPort(app, listen)
    }
    const say = (text: string) => apps[0]!.log.warn(text)
    followers = config.files.map((file) => follow(config, file, deps, contents, say))
    if (config.syslog !== null) syslog = await listenForSyslog(config, pem, deps)
    if (pem !== null) {
      renewed = renewCertificate(pem, {
        read: () => readTls(listen.tls!),
        use(next) {
          for (const [i, app] of apps.entries()) if (listeners[i]!.tls !== null) showCertificate(app, next)
          syslog?.renew(next)
        },
        say,
      })
      addCertificateMetric(metrics.registry, 'collector', renewed)
    }
    return {
      url,
      socket: listen.socket,
      syslog: { udpPort: syslog?.udpPort ?? null, tlsPort: syslog?.tlsPort ?? null },
      log,
      close() {
        closing ??= stop()
        return closing
      },
    }
  } catch (error) {
    await Promise.all([syslog?.close(), ...followers.map((follower) => follower.stop())])
    await Promise.all(apps.map((app) => app.close()))
    await log.close({ timeoutMs: 0 })
    ids.close()
    await sealing?.close()
    throw error
  }
}

function follow(
  { mappings, emitters, spool, limits, sealed }: CollectorConfig,
  file: FollowedFile,
  deps: CollectorDeps,
  contents: Contents,
  say: (text: string) => void,
) {
  return followFile({
    file,
    mapping: file.mapping === null ? null : mappings[file.mapping]!,
    who: { emitter: emitters.find(({ name }) => name === file.emitter)!, auth: 'file', credential: null },
    recording: deps.recording,
    folder: join(spool, 'ids'),
    maxBytes: limits.bodyBytes,
    namesOf: contents.namesOf,
    isSealed: sealed !== null,
    refused(error) {
      deps.metrics.refusals.inc({ code: toGatewayProblem(error).code, emitter: file.emitter, via: 'file' })
    },
    fault(fault, sentence) {
      deps.metrics.fileFaults.inc({ emitter: file.emitter, fault })
      if (sentence !== null) say(sentence)
    },
  })
}

async function listenForSyslog(
  { syslog, mappings, emitters }: CollectorConfig,
  pem: ListenerPem | null,
  deps: CollectorDeps,
) {
  const { host, udpPort, tlsPort, mapping, udpEmitter } = syslog!
  try {
    return await startSyslog({
      config: syslog!,
      mapping: mapping === null ? null : mappings[mapping]!,
      tls: pem,
      udp: { emitter: emitters.find(({ name }) => name === udpEmitter)!, auth: 'none', credential: null },
      authenticate: deps.authenticate,
      recording: deps.recording,
      refused(error, emitter) {
        deps.metrics.refusals.inc({ code: toGatewayProblem(error).code, emitter, via: 'syslog' })
      },
    })
  } catch (error) {
    if (error instanceof GatewayStartError) throw error
    const { code } = error as NodeJS.ErrnoException
    const ports = [udpPort, tlsPort].filter((port) => port !== null).join(' and ')
    throw new GatewayStartError('gateway_start_failed', `Cannot listen for syslog on ${host}, port ${ports} (${code}).`)
  }
}

/** How long a request waits for room in the spool before it is refused: emitters know how to wait themselves. */
const SPOOL_WAIT_MS = 1_000

function openIds({ spool, limits }: CollectorConfig): SenderIds {
  try {
    return new SenderIds(join(spool, 'ids'), { days: limits.idDays, count: limits.ids })
  } catch (error) {
    throw new GatewayStartError(
      'gateway_start_failed',
      `The ids of senders cannot be kept in ${spool}: ${(error as Error).message}`,
    )
  }
}

function listenersOf({ listen: { port, tls, socket } }: CollectorConfig, pem: ListenerPem | null): ListenerOptions[] {
  const listeners: ListenerOptions[] = []
  if (port !== null)
    listeners.push({ isSocket: false, tls: pem && { ...pem, rejectUnauthorized: tls!.clientRequired } })
  if (socket !== null) listeners.push({ isSocket: true, tls: null })
  return listeners
}

function readTls({ cert, key, clientCa }: CollectorTls): ListenerPem {
  const read = {
    cert: readText(cert, 'listen.tls.cert'),
    key: readText(key, 'listen.tls.key'),
    ...(clientCa !== null && { ca: readText(clientCa, 'listen.tls.clientCa') }),
  }
  try {
    if (read.ca !== undefined) checkAuthorities(read.ca)
  } catch (error) {
    const { message } = error as Error
    throw new GatewayStartError('gateway_start_failed', `listen.tls.clientCa: ${clientCa}: ${message}`)
  }
  try {
    createSecureContext(read)
  } catch (error) {
    throw new GatewayStartError(
      'gateway_start_failed',
      `listen.tls: ${key} is not the key of ${cert}, or one of them is no PEM: ${(error as Error).message}`,
    )
  }
  return read
}

function readText(path: string, setting: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    // Who puts a token itself in the place of its file must not find it in a log.
    const fault = /^[\w-]{24,}$/.test(basename(path))
      ? 'there is no file of that name, which is not shown, since it may be a token'
      : `${path} cannot be read: ${(error as Error).message}`
    throw new GatewayStartError('gateway_start_failed', `${setting}: ${fault}`)
  }
}

/** @returns the address, with the port that was taken */
async function listenOnPort(app: FastifyInstance, { host, port, tls }: CollectorListen): Promise<string> {
  try {
    // Fastify takes a server that it did not make for one without TLS.
    const listenTextResolver = (address: string) =>
      `Server listening at ${tls === null ? address : address.replace(/^http:/, 'https:')}`
    await app.listen({ host, port: port!, listenTextResolver })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new GatewayStartError(
      'gateway_start_failed',
      `Cannot listen on ${host}:${port} (${code}). Set another listen.host or listen.port.`,
    )
  }
  const { port: taken } = app.server.address() as AddressInfo
  return `${tls === null ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${taken}`
}

/** A socket that nobody listens on is what a killed collector leaves behind. */
async function listenOnSocket(app: FastifyInstance, path: string, mode: number): Promise<void> {
  if (await answers(path))
    throw new GatewayStartError('gateway_start_failed', `Somebody listens on ${path}. Set another listen.socket.`)
  rmSync(path, { force: true })
  try {
    await app.listen({ path })
    chmodSync(path, mode)
  } catch (error) {
    throw new GatewayStartError('gateway_start_failed', `Cannot listen on ${path}: ${(error as Error).message}`)
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
