// One audit in a process of its own, as `killick audit` and the service's thread run it, that tells what it took.
//   auditing.ts own | outside | registry, with the rest in KILLICK_BENCH as JSON
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Profiler } from 'node:inspector'
import { Session } from 'node:inspector/promises'
import type { PublicJwk } from '@killick/sdk'
import { type AuditPins, auditLedger, auditOutcome, lookUp, type OwnCheck, openApi } from '@killick/sdk/audit'
import { ownChecks } from '../../anchor-service/src/audit/checks.ts'
import { NOTING_READERS } from '../../anchor-service/src/audit/noted.ts'
import { openPool } from '../../anchor-service/src/database/pool.ts'
import { keepRegistry } from '../../anchor-service/src/ledger/registry/registry.ts'
import { loadSigner } from '../../anchor-service/src/ledger/signing-keys.ts'
import { logKey } from '../../anchor-service/src/ledger/tree/checkpoints.ts'

export type Task = {
  audit: 'own' | 'outside' | 'registry'
  url: string
  token: string
  vkey: string
  origin: string
  systemKey: PublicJwk
  databaseUrl: string
  /** Where the keys of log and ledger are. */
  keys: string
  /** Whether to tell what each check took, which takes time itself. */
  isProfiled: boolean
}

/** `cpu`: ms of this process in what belongs to the check. `queries`, `rows`, `waited`: what it asked of the database, and ms until the answers came. */
export type Cost = { cpu: number; queries: number; rows: number; waited: number; detail: string }
export type Took = {
  seconds: number
  cpuSeconds: number
  /** Most resident memory of the process, and before it began, in bytes. */
  memory: number
  memoryBefore: number
  events: number
  size: number
  costs: Record<string, Cost>
}

/** Which files are which check, and what every check rests on. */
const FILES: Readonly<Record<string, string>> = {
  'audit/keys.ts': 'registry',
  'audit/records.ts': 'records',
  'audit/anchors-told.ts': 'anchors.told',
  'audit/lookups.ts': 'lookups',
  'audit/columns.ts': 'columns',
  'audit/runs.ts': 'columns',
  'index/write-run.ts': 'columns',
  'audit/log-rows.ts': 'rows',
  'audit/told.ts': 'told',
  'audit/anchor-rows.ts': 'anchors.rows',
  'audit/identity.ts': 'identity',
  'audit/schema.ts': 'schema',
  'audit/readings.ts': 'parsing',
  'audit/stretches.ts': 'downloading',
  'audit/tree.ts': 'tree and tiles',
  'core/batch.ts': 'parsing',
  'core/event.ts': 'parsing',
  'audit/api.ts': 'downloading',
  'audit/ledger.ts': 'the walk itself',
  'audit/audit.ts': 'the walk itself',
}

const task = JSON.parse(process.env.KILLICK_BENCH!) as Task
const memoryBefore = process.memoryUsage.rss()
process.send?.({ took: await (task.audit === 'registry' ? walkRegistry() : audit()) })
process.disconnect?.()

async function audit(): Promise<Took> {
  const { url, token, vkey, systemKey, databaseUrl } = task
  const api = openApi(url, token)
  const sourceKeys = [{ source: 'killick', jwk: systemKey }]
  const pins: AuditPins = { logKeys: [vkey], sourceKeys, logs: [], urls: [] }
  const costs: Record<string, Cost> = {}
  const costOf = (id: string) => {
    costs[id] ??= { cpu: 0, queries: 0, rows: 0, waited: 0, detail: '' }
    return costs[id]
  }
  const pool = openPool(databaseUrl, true, 2)
  const asking = new AsyncLocalStorage<string>()
  const count = (db: Pick<typeof pool, 'query'>) => ({
    async query(sql: string, values?: unknown[]) {
      const cost = costOf(asking.getStore()!)
      const start = performance.now()
      const result = await db.query(sql, values)
      cost.queries += 1
      cost.rows += result.rows?.length ?? 0
      cost.waited += performance.now() - start
      return result
    },
  })
  const counted = {
    ...count(pool),
    async connect() {
      const client = await pool.connect()
      return { ...count(client), release: (error?: Error) => client.release(error) }
    },
  }
  const named = (check: OwnCheck): OwnCheck => {
    const { id, title, isApart = false } = check
    return {
      ...{ id, title, isApart },
      ...(check.batch && { batch: (batch) => asking.run(id, () => check.batch!(batch)) }),
      ...(check.entry && { entry: (entry) => asking.run(id, () => check.entry!(entry)) }),
      finish: () => asking.run(id, () => check.finish()),
    }
  }
  const db = task.isProfiled ? (counted as unknown as typeof pool) : pool
  const own = task.audit === 'own' ? ownChecks(db, vkey, true).map(task.isProfiled ? named : (check) => check) : []
  return measured(
    async () => {
      const readers = task.audit === 'own' ? { readers: NOTING_READERS } : {}
      const result = await auditLedger(api, pins, { ...readers, own: [...own, lookUp(api, 1_000, pins)] })
      await pool.end()
      if (auditOutcome(result, ['anchors.chain']) !== 'passed')
        throw new Error(
          `the audit does not pass: ${JSON.stringify(result.checks.filter(({ status }) => status !== 'passed'))}`,
        )
      for (const { id, detail } of result.checks) costOf(id).detail = detail ?? ''
      return result
    },
    costOf,
    costs,
  )
}

/** What a service does when it starts. */
async function walkRegistry(): Promise<Took> {
  const log = logKey(task.origin, await loadSigner(`${task.keys}/log.json`))
  const registry = keepRegistry(log, await loadSigner(`${task.keys}/system.json`))
  const pool = openPool(task.databaseUrl, true, 1)
  return measured(async () => {
    await registry.catchUp(pool)
    const { rows } = await pool.query(`select count(*)::int as n from batches where source = 'killick'`)
    await pool.end()
    return { events: rows[0].n as number, size: registry.version() }
  })
}

async function measured(
  run: () => Promise<{ events: number; size: number }>,
  costOf?: (id: string) => Cost,
  costs: Took['costs'] = {},
): Promise<Took> {
  const session = new Session()
  session.connect()
  if (costOf && task.isProfiled) {
    await session.post('Profiler.enable')
    await session.post('Profiler.setSamplingInterval', { interval: 1_000 })
    await session.post('Profiler.start')
  }
  const [start, cpu] = [performance.now(), process.cpuUsage()]
  const { events, size } = await run()
  const { user, system } = process.cpuUsage(cpu)
  const seconds = (performance.now() - start) / 1000
  if (costOf && task.isProfiled) attribute((await session.post('Profiler.stop')).profile, costOf)
  session.disconnect()
  const memory = 1024 * process.resourceUsage().maxRSS
  return { seconds, cpuSeconds: (user + system) / 1e6, memory, memoryBefore, events, size, costs }
}

/** Adds each sample to the check whose code is nearest above it on the stack. */
function attribute({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile, costOf: (id: string) => Cost): void {
  const parents = new Map<number, number>()
  const byId = new Map(nodes.map((node) => [node.id, node]))
  for (const { id, children = [] } of nodes) for (const child of children) parents.set(child, id)
  const known = new Map<number, string>()
  const checkOf = (id: number): string => {
    const found = known.get(id)
    if (found !== undefined) return found
    const { callFrame } = byId.get(id)!
    const own = Object.entries(FILES).find(([file]) => callFrame.url.endsWith(`/${file}`))?.[1]
    const parent = parents.get(id)
    const idle =
      callFrame.functionName === '(idle)'
        ? 'idle'
        : callFrame.functionName === '(garbage collector)'
          ? 'garbage collection'
          : null
    const check = own ?? idle ?? (parent === undefined ? 'all else' : checkOf(parent))
    known.set(id, check)
    return check
  }
  for (const [i, id] of samples.entries()) {
    const check = checkOf(id)
    if (check !== 'idle') costOf(check).cpu += timeDeltas[i]! / 1000
  }
}
