// Kills the parts of a deployment under load at random, in every combination, and checks what must hold at the end.
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { generateKey, openAuditLog, publicJwk, type Trust, writeKeyFile } from '@killick/sdk'
import type { PinnedLog } from '@killick/sdk/verify'
import { freePort } from '../lib/free-port.ts'
import { startChain } from '../lib/local-chain.ts'
import { checkAudit, checkPresence, checkProof, type LedgerAccess } from './check.ts'
import { openEraser } from './eraser.ts'
import { anchorService, type Part, type PartKind, postgres, recorder, redis } from './parts.ts'
import { seeded } from './random.ts'

export type CrashOptions = {
  rounds: number
  seed: number
  /** Called in every round with what it kills. */
  say?: (line: string) => void
  /** Ends the run between two rounds. */
  signal?: AbortSignal
}

export type CrashReport = {
  acknowledged: number
  events: number
  /** Of how many events fields were erased, each order whole; absent where nobody orders erasures. */
  erased?: number
  kills: Partial<Record<PartKind, number>>
}

export const ADMIN = 'admin-token-of-the-crash-test'
export const READER = 'reader-token-of-the-crash-test'
const ERASER = 'eraser-token-of-the-crash-test'
const SOURCES = ['crash-a', 'crash-b']
/** How many anchor workers run at once. */
const WORKERS = 2
/** How long the log may take to grow again, which ends a round; a deployment that needs longer will not recover. */
const RECOVERY_MS = 60_000

/** @throws if an acknowledged event is lost, doubled, out of place or unproven, or if the deployment stays down */
export async function crash({ rounds, seed, say = () => {}, signal }: CrashOptions): Promise<CrashReport> {
  const random = seeded(seed)
  const folder = await mkdtemp(join(tmpdir(), 'killick-crash-'))
  const chain = await startChain({ blockTimeMs: 500 })
  const parts: Part[] = []
  const acknowledged = new Map(SOURCES.map((source) => [source, new Map<number, string>()]))
  const kills: CrashReport['kills'] = {}
  try {
    const chainKey = await chain.newKey()
    const database = postgres(join(folder, 'database'))
    await database.start()
    parts.push(database)
    const bell = await redis(folder)
    if (bell) parts.push(bell)
    const env = {
      DATABASE_URL: await database.databaseUrl(),
      ...(bell && { REDIS_URL: bell.url }),
      KILLICK_DATA: join(folder, 'data'),
      KILLICK_ADMIN_TOKEN: ADMIN,
      KILLICK_READER_TOKEN: READER,
      KILLICK_ERASER_TOKEN: ERASER,
      KILLICK_RATE_LIMIT: '0',
      KILLICK_LOG_LEVEL: 'error',
      KILLICK_RPC_URL: chain.url,
      KILLICK_CONTRACT: await chain.deployAnchorLog(chainKey),
      KILLICK_CHAIN_KEY: chainKey,
      KILLICK_ANCHOR_INTERVAL_MS: '1000',
      KILLICK_CONFIRMATIONS: '1',
      KILLICK_WORKER: 'off',
    }
    const ports = [await freePort(), await freePort()]
    const urls = ports.map((port) => `http://127.0.0.1:${port}`)
    for (const port of ports) parts.push(anchorService('serve', { ...env, PORT: String(port) }))
    for (let i = 0; i < WORKERS; i++) parts.push(anchorService('worker', env))
    await mkdir(join(folder, 'data'))
    for (const part of parts) if (part !== database) await part.start()
    for (const url of urls) await ready(url)

    const spools = SOURCES.map((source) => join(folder, source))
    const keys = SOURCES.map((source) => join(folder, `${source}.json`))
    const sourceKeys = []
    for (const [i, source] of SOURCES.entries()) {
      const key = generateKey()
      await writeKeyFile(keys[i]!, key)
      await registerSource(urls[i]!, source, publicJwk(key))
      sourceKeys.push({ source, jwk: publicJwk(key) })
      const mine = acknowledged.get(source)!
      const note = (seq: number, id: string) => void mine.set(seq, id)
      parts.push(recorder([urls[i]!, source, spools[i]!, keys[i]!], note))
      await parts.at(-1)!.start()
    }

    const eraser = openEraser(urls, ERASER, acknowledged)
    for (const [round, kinds] of combinations(rounds, parts, random).entries()) {
      signal?.throwIfAborted()
      const victims = kinds.flatMap((kind) => {
        const twins = random.shuffle(parts.filter((part) => part.kind === kind))
        return twins.slice(0, 1 + random.int(twins.length))
      })
      say(`round ${round + 1}: ${victims.map(({ kind }) => kind).join(', ')}`)
      const ordered = eraser.order(round)
      // Its failure is told when it is awaited.
      ordered.catch(() => {})
      await sleep(random.int(400))
      await Promise.all(
        victims.map(async (part) => {
          await sleep(random.int(150))
          await part.kill()
          kills[part.kind] = (kills[part.kind] ?? 0) + 1
          await sleep(random.int(400))
          await part.start()
        }),
      )
      await ordered
      await grown(urls)
    }

    for (const part of parts) if (part.kind === 'recorder') await part.kill()
    for (const [i, source] of SOURCES.entries()) {
      const log = await openAuditLog({ url: urls[i]!, source, spool: spools[i]!, key: keys[i]!, onError: () => {} })
      await log.flush()
      await log.close()
    }
    const { vkey, targets } = await published(urls[0]!)
    const trust: Trust = { sourceKeys, logKeys: [vkey], logs: targets, confirmations: 1 }
    const access: LedgerAccess = { url: urls[0]!, token: READER, rpc: chain.url, trust }
    const events = await checkPresence(access, acknowledged)
    const erased = await eraser.check(access)
    for (const names of acknowledged.values()) {
      const ids = [...names.values()]
      for (const id of new Set([ids[0]!, ids.at(-1)!, ...random.shuffle(ids).slice(0, 20)]))
        await checkProof(access, id)
    }
    await checkAudit(access)
    return {
      acknowledged: [...acknowledged.values()].reduce((sum, names) => sum + names.size, 0),
      events,
      erased,
      kills,
    }
  } finally {
    for (const part of parts.reverse()) await part.stop().catch(() => {})
    await chain.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

/** Every combination of kinds, in random order, again and again. */
export function combinations(rounds: number, parts: readonly Part[], random: ReturnType<typeof seeded>): PartKind[][] {
  const kinds = [...new Set(parts.map(({ kind }) => kind))]
  const all = Array.from({ length: 2 ** kinds.length - 1 }, (_, i) => kinds.filter((_, k) => (i + 1) & (1 << k)))
  const out: PartKind[][] = []
  while (out.length < rounds) out.push(...random.shuffle(all))
  return out.slice(0, rounds)
}

export async function registerSource(url: string, source: string, jwk: unknown): Promise<void> {
  const response = await fetch(`${url}/v1/sources`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ADMIN}`, 'content-type': 'application/json' },
    body: JSON.stringify({ source, keys: [{ jwk }] }),
  })
  if (!response.ok) throw new Error(`registering ${source}: ${await response.text()}`)
}

/** What the service tells verifiers to pin, once it has anchored something. */
async function published(url: string): Promise<{ vkey: string; targets: PinnedLog[] }> {
  let log = { vkey: '', targets: [] as PinnedLog[] }
  await within('nothing was anchored', async () => {
    log = (await (await fetch(`${url}/v1/log`)).json()) as typeof log
    return log.targets.length > 0
  })
  return log
}

export async function ready(url: string): Promise<void> {
  await within(`${url} is not ready`, async () => (await fetch(`${url}/readyz`)).ok)
}

/** Both services answer, and the log grows. */
export async function grown(urls: readonly string[]): Promise<void> {
  for (const url of urls) {
    const before = await logSize(url)
    await within(`the log does not grow at ${url}`, async () => (await logSize(url)) > before)
  }
}

async function logSize(url: string): Promise<number> {
  let size = -1
  await within(`${url} shows no checkpoint`, async () => {
    const response = await fetch(`${url}/checkpoint`, { cache: 'no-store' })
    if (response.ok) size = Number((await response.text()).split('\n')[1])
    return response.ok
  })
  return size
}

async function within(otherwise: string, check: () => Promise<boolean>): Promise<void> {
  for (const until = Date.now() + RECOVERY_MS; ; await sleep(50)) {
    if (await check().catch(() => false)) return
    if (Date.now() > until) throw new Error(`${otherwise} after ${RECOVERY_MS / 1000} s`)
  }
}
