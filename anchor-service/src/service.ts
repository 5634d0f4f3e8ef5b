import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { Anchoring, AnchoringDeps } from './anchor/anchoring.ts'
import { type Auditing, keepAuditing } from './audit/index.ts'
import { type Bundles, openBundles } from './bundles/bundles.ts'
import type { Config } from './config.ts'
import { type Erasing, keepErasing } from './erasure/erasing.ts'
import { type Expiring, keepExpiring } from './erasure/expiring.ts'
import { keepOrders } from './erasure/kept-orders.ts'
import { askSecondPerson } from './erasure/second-person.ts'
import { StartError } from './errors.ts'
import { buildApp } from './http/app.ts'
import { openAccess, type Tokens } from './http/auth.ts'
import type { App } from './http/deps.ts'
import { makeMetrics } from './http/metrics.ts'
import { buildWorkerApp } from './http/worker-app.ts'
import { startCheckers } from './intake/checkers.ts'
import { type Intake, makeIntake } from './intake/intake.ts'
import { rememberRefusals } from './intake/refusals.ts'
import type { WentBack } from './ledger/head-memory.ts'
import { type Indexing, keepIndex } from './ledger/index/indexing.ts'
import { readLength } from './ledger/index/runs.ts'
import type { Ledger } from './ledger/ledger.ts'
import { readLastGone } from './ledger/registry/erasures.ts'
import { loadSigner } from './ledger/signing-keys.ts'
import { type Silence, type SilenceWatch, watchSilence } from './ledger/silence.ts'
import { openStore } from './open-store.ts'
import { loadTokens } from './tokens.ts'

export type Service = {
  /** Where it listens, with the port that was taken. */
  url: string
  origin: string
  /** The log's C2SP verifier key. */
  vkey: string
  tokens: Tokens
  databaseUrl: string
  /** Stops listening, finishes open requests, closes the database. */
  close(): Promise<void>
}

const CLOSE_PATIENCE_MS = 10_000
const CLOSE_IDLE_MS = 50

/**
 * Starts everything that `killick-anchor-service serve` runs.
 * @param startAnchoring the worker to run in this process, if any
 * @throws StartError with a sentence that says what to do
 */
export async function startService(
  config: Config,
  startAnchoring?: (deps: AnchoringDeps) => Promise<Anchoring>,
): Promise<Service> {
  const metrics = makeMetrics()
  let anchoring: Anchoring | undefined
  let auditing: Auditing | undefined
  let log: FastifyBaseLogger | undefined
  let intake: Intake | undefined
  let indexing: Indexing | undefined
  let bundles: Bundles | undefined
  let erasing: Erasing | undefined
  let expiring: Expiring | undefined
  let silences: SilenceWatch | undefined
  let contracts: { close(): Promise<void> } | undefined
  const store = await openStore(config, {
    isPressed: () => intake?.isPressed() ?? false,
    failed: metrics.failed,
    wentBack: (fault) => log && tellHead(log, fault),
    registryAltered(source, detail) {
      metrics.registryAltered()
      log?.error({ source, detail }, 'the database does not hold what was registered')
    },
    grown: (events) => indexing?.grown(events),
    down: (reason) => log?.error({ reason }, 'PostgreSQL is down and is started again'),
    up() {
      metrics.up()
      log?.warn('PostgreSQL is back')
    },
    committed(seconds, outcomes) {
      metrics.committed(seconds, outcomes)
      // The doorbell may be lost; the worker looks for itself at its interval.
      if (outcomes.some((outcome) => 'isNew' in outcome && outcome.isNew)) anchoring?.ring().catch(() => {})
    },
  })
  const { ledger, pool, databaseUrl } = store
  const checkers = startCheckers(store, config.checkingThreads)
  try {
    const orders = keepOrders(pool, config.dataFolder)
    const lost = await orders.lost()
    if (lost.length > 0) throw new StartError(restored(lost.length))
    metrics.watch(ledger)
    const tokens = await loadTokens(config)
    silences = watchSilence(ledger, {
      graceMs: config.silenceGraceMs,
      isTaking: () => ledger.wentBack() === null && ledger.isWritable(),
      onChange: (silence, isSilent) => log && tellSilence(log, silence, isSilent),
      onFailure: (error) => log?.warn({ err: error }, 'it could not be seen who is silent; it is tried again'),
    })
    metrics.watchSilences(silences)
    const refusals = rememberRefusals()
    intake = makeIntake({ db: pool, submit: refusals.watch(ledger.submit), registry: ledger.registry }, checkers)
    bundles = await openBundles({
      ...{ settings: config.bundles, dataFolder: config.dataFolder, redisUrl: config.redisUrl, databaseUrl },
      ...{ token: tokens.reader, publicUrl: config.published.url, registry: metrics.registry },
      lastGone: () => readLastGone(pool),
    })
    erasing = keepErasing({
      ...{ ledger, pool, orders },
      // The database may have been restored under a service that did not stop. It takes long where many orders were settled after an
      // earlier restore, so nobody who orders waits for it.
      async guard() {
        const again = await orders.lost()
        if (again.length > 0) throw new StartError(restored(again.length))
      },
      async done({ id, count }) {
        log?.info({ erasure: id, events: count }, 'an erasure was carried out')
        await bundles?.removeOld()
      },
      failed(failure) {
        metrics.erasingFailed()
        log?.warn(failure, 'an erasure could not be carried on; it is tried again')
      },
    })
    expiring = keepExpiring({
      ...{ pool, ledger, erasing, intervalMs: config.retentionIntervalMs, most: config.retentionEvents },
      expired: (told) => log?.info(told, 'events expire by a policy'),
      async dropped(told) {
        log?.info(told, 'batches were dropped by a policy')
        await bundles?.removeOld()
      },
      failed: (err) => log?.warn({ err }, 'it could not be seen which events are due to expire; it is tried again'),
    })
    metrics.watchExpiring(expiring)
    const people = { isRequired: config.erasers.length > 0, limitMs: config.confirmMs }
    const secondPerson = askSecondPerson({ ledger, erasing, ...people })
    const app = await buildApp({
      ledger,
      bundles,
      erasing,
      expiring,
      secondPerson,
      metrics,
      tokens: openAccess(tokens, ledger, config.rateLimit),
      intake,
      refusals,
      silences,
      hasChain: config.anchor.worker === 'off' || config.anchor.targets.length > 0,
      anchoring: () => anchoring?.status(),
      auditing: () => auditing?.status(),
      tiles: config.tiles,
      published: config.published,
      rateLimit: config.rateLimit,
      trustProxy: config.trustProxy,
      maxConnections: config.maxConnections,
      requestTimeout: config.requestTimeout,
      logLevel: config.logLevel,
    })
    log = app.log
    tellMemory(log, ledger)
    // Batches wait for the walk over the system stream, so it begins now; when it ends, faults of the tables are reported.
    ledger.registry.compareAll(pool).catch((error) => app.log.warn({ err: error }, 'the registry could not be checked'))
    indexing = keepIndex(store, await readLength(pool), (failure) => {
      metrics.indexingFailed()
      app.log.warn(failure, 'the index of keys could not be extended; it is tried again')
    })
    if (config.published.url === null && (config.trustProxy.length > 0 || !isLoopback(config.host)))
      app.log.warn('KILLICK_PUBLIC_URL is not set: links and previews will name the address that requests arrive on.')
    if (!store.hasRole)
      app.log.warn('The database user may not make a role: only triggers keep the ledger append-only.')
    if (startAnchoring && config.anchor.worker === 'inline' && config.anchor.targets.length > 0) {
      anchoring = await startAnchoring({
        targets: config.anchor.targets,
        redisUrl: config.redisUrl,
        databaseUrl,
        pool,
        ledger,
        registry: metrics.registry,
        log: app.log,
      })
    }
    if (config.anchor.worker === 'off' && config.anchor.targets.length > 0) {
      // It takes a quarter of a second to load.
      const { watchContracts } = await import('./anchor/watch-contracts.ts')
      contracts = await watchContracts({ targets: config.anchor.targets, ledger, log: app.log })
    }
    const url = await listen(app, config.host, config.port, 'PORT')
    bundles.begin(url, app.log)
    if (config.audit.intervalMs > 0) {
      const { jwk: systemKey } = await loadSigner(config.systemKeyFile)
      const { audit: settings, anchor } = config
      const database = { databaseUrl, hasRole: store.hasRole }
      const own = { url, token: tokens.reader, systemKey, targets: anchor.targets, database }
      auditing = keepAuditing({ ...own, settings, ledger, registry: metrics.registry, log: app.log })
    }
    return {
      ...{ url, origin: config.origin, vkey: ledger.log.vkey, tokens, databaseUrl },
      async close() {
        await auditing?.close()
        await bundles?.close()
        await closeServer(app)
        await expiring?.close()
        await erasing?.close()
        await checkers.close()
        await silences?.close()
        await indexing?.close()
        await anchoring?.close()
        await contracts?.close()
        await store.close()
      },
    }
  } catch (error) {
    await bundles?.close()
    await expiring?.close()
    await erasing?.close()
    await checkers.close()
    await silences?.close()
    await indexing?.close()
    await anchoring?.close()
    await contracts?.close()
    await store.close()
    throw error
  }
}

/**
 * Starts what `killick-anchor-service worker` runs: anchoring alone, beside services with `KILLICK_WORKER=off`. Any number
 * may run.
 * @throws StartError
 */
export async function startWorker(
  config: Config,
  startAnchoring: (deps: AnchoringDeps) => Promise<Anchoring>,
): Promise<{ /** Null where it does not listen. */ url: string | null; close(): Promise<void> }> {
  const { targets, workerPort } = config.anchor
  if (targets.length === 0) {
    throw new StartError(
      'A worker needs KILLICK_RPC_URL, KILLICK_CONTRACT and KILLICK_CHAIN_KEY, or KILLICK_TARGETS: where to anchor, and with which key.',
    )
  }
  const metrics = makeMetrics()
  let anchoring: Anchoring | undefined
  let log: FastifyBaseLogger | undefined
  const store = await openStore(config, { wentBack: (fault) => log && tellHead(log, fault) })
  const { ledger, pool, databaseUrl } = store
  try {
    metrics.watch(ledger)
    const { logLevel } = config
    const app = buildWorkerApp({
      ledger,
      metrics,
      tokens: openAccess(await loadTokens(config), ledger, config.rateLimit),
      anchoring: () => anchoring?.status(),
      auditing: () => null,
      logLevel,
    })
    log = app.log
    tellMemory(log, ledger)
    const started = await startAnchoring({
      targets: config.anchor.targets,
      redisUrl: config.redisUrl,
      databaseUrl,
      pool,
      ledger,
      registry: metrics.registry,
      log: app.log,
    })
    anchoring = started
    const url = workerPort === null ? null : await listen(app, config.host, workerPort, 'KILLICK_WORKER_PORT')
    return {
      url,
      async close() {
        await closeServer(app)
        await started.close()
        await store.close()
      },
    }
  } catch (error) {
    await anchoring?.close()
    await store.close()
    throw error
  }
}

/** Requests that have arrived are answered; those that still trickle in are cut off. */
async function closeServer(app: Pick<FastifyInstance, 'server' | 'close'>): Promise<void> {
  const patience = setTimeout(() => app.server.closeAllConnections(), CLOSE_PATIENCE_MS)
  // Node closes those that have nothing to do now, and waits for those whose answer is under way until they are given up, long after it.
  const idle = setInterval(() => app.server.closeIdleConnections(), CLOSE_IDLE_MS)
  await app.close().finally(() => {
    clearTimeout(patience)
    clearInterval(idle)
  })
}

/** What the start has found of the head's memory. */
function tellMemory(log: FastifyBaseLogger, ledger: Ledger): void {
  const fault = ledger.wentBack()
  const began = ledger.memoryBegan()
  if (fault !== null) tellHead(log, fault)
  if (began !== null)
    log.warn(
      { reason: began },
      'This process knew no head of this log: it takes the log as the database has it, and will miss nothing that was cut off before. Expected once for a new data folder only.',
    )
}

function tellSilence(log: FastifyBaseLogger, { source, promised, streams, since }: Silence, isSilent: boolean): void {
  if (isSilent) log.error({ source, promised, streams, since }, 'a source is silent for longer than it promised')
  else log.info({ source }, 'a source is heard again, or promises nothing any more')
}

function tellHead(log: FastifyBaseLogger, fault: WentBack | null): void {
  if (fault === null) {
    log.info('the log in the database is what was signed again; batches are taken')
    return
  }
  const { remembered, found } = fault
  log.error(
    { code: 'log_went_back', remembered: remembered.note, found: found?.note ?? null },
    `the log in the database (${found?.size ?? 0} entries) does not continue what was signed (${remembered.size}): nothing is taken until an operator decides, see accept-head in OPERATION.md`,
  )
}

function restored(orders: number): string {
  return `This data folder knows ${orders === 1 ? 'an order' : `${orders} orders`} of erasure that the log in the database does not have. The database was restored from a copy made before that, and holds again what was erased. Before the service starts, run: killick-anchor-service erase --after-restore`
}

const isLoopback = (host: string) => host === 'localhost' || host === '::1' || host.startsWith('127.')

/** @throws StartError that names the setting to change */
function listen(app: App, host: string, port: number, setting: string): Promise<string> {
  return app.listen({ host, port }).catch((error: NodeJS.ErrnoException) => {
    throw new StartError(`Cannot listen on ${host}:${port} (${error.code}). Set another HOST or ${setting}.`)
  })
}
