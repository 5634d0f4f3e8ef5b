import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { type LockOptions, lockDirectory } from '../../../sdk/src/node/lock.ts'
import { tempDir } from './support.ts'

const script = fileURLToPath(new URL('./lock-child.ts', import.meta.url))

type Holder = { child: ChildProcess; pid: number; end: () => Promise<void>; says: (text: RegExp) => Promise<void> }

/** A process of its own that holds the lock. */
async function holder(dir: string, options: LockOptions = {}, how = '', prefix: string[] = []): Promise<Holder> {
  const [command, ...args] = [...prefix, process.execPath, script, dir, JSON.stringify(options), how]
  const child = spawn(command!, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'close')
  let said = ''
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const end = async () => {
    child.kill('SIGKILL')
    await ended
  }
  onTestFinished(end)
  const says = (text: RegExp) => expect.poll(() => said).toMatch(text)
  await says(/locked \d+\n/)
  return { child, pid: Number(/locked (\d+)/.exec(said)![1]), end, says }
}

const beacons = (dir: string) => readdirSync(dir).filter((name) => name.startsWith('lock-'))

test('a lock is held by a process, named in the refusal, until it is killed', async () => {
  const dir = tempDir()
  const { pid, end } = await holder(dir)
  await expect(lockDirectory(dir)).rejects.toMatchObject({
    code: 'spool_locked',
    message: expect.stringContaining(`(process ${pid})`),
    details: { dir },
  })
  await end()
  // What a killed process leaves is removed by the next.
  expect(beacons(dir)).toHaveLength(1)
  const release = await lockDirectory(dir)
  expect(beacons(dir)).toHaveLength(1)
  // As when a development server loads the module again that opens the log.
  await expect(lockDirectory(dir)).rejects.toMatchObject({
    code: 'spool_locked',
    message: expect.stringContaining('is open in this process already; open the log once'),
  })
  release()
  expect(beacons(dir)).toEqual([])
})

test('a process that is stopped, and answers nothing, holds it still', async () => {
  const dir = tempDir()
  const { child, end } = await holder(dir)
  child.kill('SIGSTOP')
  await expect(lockDirectory(dir)).rejects.toMatchObject({ code: 'spool_locked' })
  await end()
  ;(await lockDirectory(dir))()
})

test('of many that come at once one gets it, over what killed ones left behind', async () => {
  const dir = tempDir()
  for (let round = 0; round < 20; round++) {
    if (round % 5 === 0) await (await holder(dir)).end()
    const calls = await Promise.allSettled(Array.from({ length: 12 }, () => lockDirectory(dir)))
    const [got, ...more] = calls.filter((call) => call.status === 'fulfilled')
    expect(more).toEqual([])
    for (const call of calls)
      if (call.status === 'rejected') expect(call.reason).toMatchObject({ code: 'spool_locked' })
    await expect(lockDirectory(dir)).rejects.toMatchObject({ code: 'spool_locked' })
    got!.value()
    expect(beacons(dir)).toEqual([])
  }
})

test('of processes that come at once one gets it', async () => {
  const dir = tempDir()
  const children = Array.from({ length: 6 }, () =>
    spawn(process.execPath, [script, dir, '{}'], { stdio: ['ignore', 'pipe', 'ignore'] }),
  )
  let locked = 0
  const ends = children.map((child) => {
    child.stdout.on('data', () => locked++)
    return once(child, 'close')
  })
  onTestFinished(async () => {
    for (const child of children) child.kill('SIGKILL')
    await Promise.all(ends)
  })
  // The others end with spool_locked.
  await expect.poll(() => children.filter(({ exitCode }) => exitCode === 1).length).toBe(5)
  expect(locked).toBe(1)
})

test('a worker of a cluster holds it itself, so it ends with the worker and not with the primary', async () => {
  const dir = tempDir()
  const { pid, says } = await holder(dir, {}, 'cluster')
  await expect(lockDirectory(dir)).rejects.toMatchObject({ message: expect.stringContaining(`(process ${pid})`) })
  process.kill(pid, 'SIGKILL')
  await says(/worker ended/)
  ;(await lockDirectory(dir))()
})

test('containers that share a folder see each other, though they share neither processes nor network', async ({
  skip,
}) => {
  const container = ['unshare', '--pid', '--net', '--fork', '--kill-child']
  try {
    execFileSync(container[0]!, [...container.slice(1), 'true'], { stdio: 'ignore' })
  } catch {
    return skip('This user cannot make namespaces: run as root to test containers')
  }
  const dir = tempDir()
  const { pid, end } = await holder(dir, {}, '', container)
  // Its number in its own container, which says nothing out here.
  expect(pid).toBeLessThan(10)
  await expect(lockDirectory(dir)).rejects.toMatchObject({ code: 'spool_locked' })
  await end()
  ;(await lockDirectory(dir))()
})

test('a process on another machine holds it while its beacon moves, and no longer', async () => {
  const dir = tempDir()
  const here = { machine: 'aaaaaaaa', beatMs: 50 }
  const release = await lockDirectory(dir, { machine: 'bbbbbbbb', beatMs: 50 })
  await expect(lockDirectory(dir, here)).rejects.toMatchObject({ code: 'spool_locked' })
  release()
  const { end } = await holder(dir, { machine: 'bbbbbbbb', beatMs: 50 })
  await expect(lockDirectory(dir, here)).rejects.toMatchObject({ code: 'spool_locked' })
  await end()
  const started = performance.now()
  const mine = await lockDirectory(dir, here)
  expect(performance.now() - started).toBeGreaterThan(3 * 50)
  expect(beacons(dir)).toHaveLength(1)
  mine()
})

test('the path of a folder may be longer than a socket may have', async () => {
  const dir = join(tempDir(), 'x'.repeat(120), 'y'.repeat(120))
  mkdirSync(dir, { recursive: true })
  const { end } = await holder(dir)
  await expect(lockDirectory(dir)).rejects.toMatchObject({ code: 'spool_locked' })
  await end()
  const release = await lockDirectory(dir)
  await expect(lockDirectory(dir)).rejects.toMatchObject({ code: 'spool_locked' })
  release()
})

test('a beacon that is no socket, as a copy of the folder may hold, is no process', async () => {
  const dir = tempDir()
  const release = await lockDirectory(dir)
  const [name] = beacons(dir)
  release()
  writeFileSync(join(dir, name!), '')
  ;(await lockDirectory(dir))()
  expect(beacons(dir)).toEqual([])
})

test('a folder that was renamed is locked under its new name', async () => {
  const parent = tempDir()
  const dir = join(parent, 'a')
  mkdirSync(dir)
  await holder(dir)
  renameSync(dir, join(parent, 'b'))
  await expect(lockDirectory(join(parent, 'b'))).rejects.toMatchObject({ code: 'spool_locked' })
})
