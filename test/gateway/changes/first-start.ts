import { fileURLToPath } from 'node:url'
import { expect, test, vi } from 'vitest'
import { startNode } from '../../../scripts/lib/processes.ts'
import { configFile, ofAction, world } from './support.ts'

const MAIN = fileURLToPath(new URL('../../../gateway/src/main.ts', import.meta.url))

/** Kills the process when it is about to write a file through to the disk for the nth time. */
const killedAt = (n: number) => {
  const source = `
    import fs from 'node:fs'
    import { syncBuiltinESMExports } from 'node:module'
    const { fsyncSync } = fs
    let left = ${n}
    fs.fsyncSync = (file) => {
      left -= 1
      if (left === 0) process.kill(process.pid, 'SIGKILL')
      fsyncSync(file)
    }
    syncBuiltinESMExports()`
  return `data:text/javascript,${encodeURIComponent(source)}`
}

test('killed before any sync of its first start, it has missed nothing', async () => {
  let killed = 0
  for (let isKilled = true; isKilled; ) {
    const made = await world('create table a (id int primary key)')
    const first = await startNode(['--import', killedAt(killed + 1), MAIN, 'changes', '--config', configFile(made)])
    const isStreaming = async () => {
      const active = 'select from pg_replication_slots where active and slot_name = $1'
      return (await made.client.query(active, [made.slot])).rowCount === 1
    }
    const isOver = () => first.process.exitCode !== null || first.process.signalCode !== null
    await vi.waitUntil(async () => isOver() || (await isStreaming()), 20_000)
    isKilled = isOver()
    await first.kill9()
    // One that ended otherwise was not killed where it was meant to be.
    expect((await first.exited).signal, first.output()).toBe('SIGKILL')
    killed += Number(isKilled)
    await made.client.query('insert into a values (1)')
    await made.finish(await made.start())
    const events = await made.events()
    expect(ofAction(events, 'changes.insert').map(({ targets }) => targets[0].id)).toEqual(['public.a:1'])
    expect(events.filter(({ action }) => action.startsWith('changes.gap'))).toEqual([])
  }
  // What it knows is written through when it opens, and again when it knows its server.
  expect(killed).toBeGreaterThanOrEqual(2)
})
