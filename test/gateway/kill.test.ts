import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openAuditLog } from '@killick/sdk'
import { expect, test, vi } from 'vitest'
import { seeded } from '../../scripts/crash/random.ts'
import { type ChildHandle, startNode } from '../../scripts/lib/processes.ts'
import { startLog } from '../sdk/client/support.ts'
import { post, prepare, sample } from './support.ts'

const MAIN = fileURLToPath(new URL('../../gateway/src/main.ts', import.meta.url))
const EMITTERS = 4

test('killed at any moment, each id that was answered is in the ledger once', { timeout: 120_000 }, async () => {
  const seed = Math.floor(Math.random() * 2 ** 32)
  const random = seeded(seed)
  const log = await startLog()
  const { folder, keys, config } = await prepare(log.url)
  const file = join(folder, 'collector.json')
  const headers = { authorization: `Bearer ${keys.payroll}`, 'content-type': 'application/json' }
  writeFileSync(file, JSON.stringify(config))
  let url = ''
  let child: ChildHandle
  const start = async () => {
    child = await startNode([MAIN, 'collect', '--config', file])
    url = (await child.printed(/listens on (\S+)/))[1]!
  }
  const answered = new Map<string, string>()
  const sent = new Set<string>()
  let isOver = false
  /** Sends arrays and single events until each is answered, as an emitter must. */
  async function emit(emitter: number): Promise<void> {
    for (let n = 0; !isOver; n++) {
      const ids = Array.from({ length: n % 3 === 0 ? 5 : 1 }, (_, i) => `${emitter}-${n}-${i}`)
      const body = JSON.stringify(ids.map((id, i) => sample(n, { id, metadata: { i } })))
      for (const id of ids) sent.add(id)
      for (;;) {
        const answer = await post(`${url}/v1/events`, body, headers).catch(() => null)
        if (answer?.status === 200) {
          const events = answer.json.events as { id: string }[]
          for (const [i, { id }] of events.entries()) {
            expect(answered.get(ids[i]!) ?? id, `seed ${seed}`).toBe(id)
            answered.set(ids[i]!, id)
          }
          // Often an answer is lost on its way, and the same is sent again.
          if (random.int(4) > 0) break
        } else if (answer !== null) expect(answer.status, answer.text).toBeGreaterThanOrEqual(500)
        if (isOver && answer !== null) break
        await sleep(5)
      }
      await sleep(3)
    }
  }
  try {
    await start()
    const emitters = Array.from({ length: EMITTERS }, (_, i) => emit(i))
    for (let round = 0; round < 3; round++) {
      await sleep(100 + random.int(400))
      await child!.kill9()
      await start()
    }
    // On a slow disk the collector may hardly have answered in between.
    await vi.waitUntil(() => answered.size > 50, 60_000)
    isOver = true
    await Promise.all(emitters)
    await child!.stop()
    const spool = await openAuditLog({
      url: log.url,
      source: 'edge-1',
      key: join(folder, 'key.json'),
      spool: join(folder, 'spool'),
    })
    await spool.flush()
    await spool.close()
    const events = log.batches.flatMap((batch) => batch.events)
    const names = events.map(({ id, fields }) => [(fields.collected as { id: string }).id, id] as const)
    const inLedger = new Map(names)
    expect(inLedger.size, `seed ${seed}: some are there twice`).toBe(names.length)
    for (const [name, id] of answered) expect(inLedger.get(name), `seed ${seed}: ${name} is lost`).toBe(id)
    expect(new Set(inLedger.keys())).toEqual(sent)
  } finally {
    isOver = true
    await child!.kill9()
    rmSync(folder, { recursive: true, force: true })
  }
})
