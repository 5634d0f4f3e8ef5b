// Kills emitters, their collector, the service and PostgreSQL under load at random, in every combination. Every event that was
// answered with 200 must be in the ledger, once for each id of its sender.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { makeEmitterKey } from '@killick/gateway'
import { generateKey, openAuditLog, publicJwk, writeKeyFile } from '@killick/sdk'
import { freePort } from '../lib/free-port.ts'
import { startNode } from '../lib/processes.ts'
import { checkPresence, readEvents } from './check.ts'
import { anchorService, type Part, postgres, supervised } from './parts.ts'
import { seeded } from './random.ts'
import {
  ADMIN,
  type CrashOptions,
  type CrashReport,
  combinations,
  grown,
  READER,
  ready,
  registerSource,
} from './rounds.ts'

const COLLECTOR = fileURLToPath(new URL('../../gateway/src/main.ts', import.meta.url))
const EMITTER = fileURLToPath(new URL('emitter.ts', import.meta.url))
const SOURCE = 'crash-edge'

/** @throws if an event that was answered is lost, doubled or out of place, or if the deployment stays down */
export async function crashCollector({ rounds, seed, say = () => {}, signal }: CrashOptions): Promise<CrashReport> {
  const random = seeded(seed)
  const folder = await mkdtemp(join(tmpdir(), 'killick-crash-'))
  const parts: Part[] = []
  /** By sender's id, and by place in the stream. */
  const answered = new Map<string, string>()
  const places = new Map<number, string>()
  const kills: CrashReport['kills'] = {}
  let fault: Error | null = null
  try {
    const database = postgres(join(folder, 'database'))
    await database.start()
    parts.push(database)
    await mkdir(join(folder, 'data'))
    const [servicePort, port] = [await freePort(), await freePort()]
    const url = `http://127.0.0.1:${servicePort}`
    const env = {
      ...{ DATABASE_URL: await database.databaseUrl(), KILLICK_DATA: join(folder, 'data'), PORT: String(servicePort) },
      ...{
        KILLICK_ADMIN_TOKEN: ADMIN,
        KILLICK_READER_TOKEN: READER,
        KILLICK_RATE_LIMIT: '0',
        KILLICK_LOG_LEVEL: 'error',
      },
    }
    parts.push(anchorService('serve', env))
    await parts.at(-1)!.start()
    await ready(url)
    const signing = generateKey()
    await writeKeyFile(join(folder, 'key.json'), signing)
    await registerSource(url, SOURCE, publicJwk(signing))
    const { key, entry } = makeEmitterKey()
    const file = join(folder, 'collector.json')
    const config = {
      ...{ url, source: SOURCE, key: 'key.json', spool: 'spool', logLevel: 'silent', listen: { port } },
      emitters: [{ name: 'crash', keys: [entry] }],
    }
    await writeFile(file, JSON.stringify(config))
    parts.push(supervised('collector', () => startNode([COLLECTOR, 'collect', '--config', file])))
    const note = (line: string) => {
      const [seq, id, name] = line.split(' ') as [string, string, string]
      if ((answered.get(name) ?? id) !== id)
        fault = new Error(`${name} was answered with ${answered.get(name)} and ${id}`)
      answered.set(name, id)
      places.set(Number(seq), id)
    }
    parts.push(emitter([`http://127.0.0.1:${port}`, key], note))
    for (const part of parts.slice(-2)) await part.start()

    for (const [round, kinds] of combinations(rounds, parts, random).entries()) {
      signal?.throwIfAborted()
      say(`round ${round + 1}: ${kinds.join(', ')}`)
      await sleep(random.int(400))
      await Promise.all(
        parts
          .filter(({ kind }) => kinds.includes(kind))
          .map(async (part) => {
            await sleep(random.int(150))
            await part.kill()
            kills[part.kind] = (kills[part.kind] ?? 0) + 1
            await sleep(random.int(400))
            await part.start()
          }),
      )
      await grown([url])
      if (fault !== null) throw fault
    }

    for (const part of parts) if (part.kind === 'emitter' || part.kind === 'collector') await part.kill()
    const log = await openAuditLog({
      url,
      source: SOURCE,
      spool: join(folder, 'spool'),
      key: signing,
      onError: () => {},
    })
    await log.flush()
    await log.close()
    const access = { url, token: READER, rpc: '', trust: {} }
    const events = await checkPresence(access, new Map([[SOURCE, places]]))
    const names = new Map<string, string>()
    for (const { id, fields } of await readEvents(access, SOURCE)) {
      const { id: name } = fields.collected as { id: string }
      if (names.has(name)) throw new Error(`${name} is there twice: ${names.get(name)} and ${id}`)
      names.set(name, id)
    }
    for (const [name, id] of answered) if (names.get(name) !== id) throw new Error(`${name} (${id}) is lost`)
    return { acknowledged: answered.size, events, kills }
  } finally {
    for (const part of parts.reverse()) await part.stop().catch(() => {})
    await rm(folder, { recursive: true, force: true })
  }
}

/** @param note called with each line that it prints */
function emitter(args: readonly string[], note: (line: string) => void): Part {
  return supervised('emitter', async () => {
    const child = await startNode([EMITTER, ...args])
    let rest = ''
    child.process.stdout!.on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop()!
      for (const line of lines) note(line)
    })
    return child
  })
}
