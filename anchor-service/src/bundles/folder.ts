/** The folder of bundles: for each a state file `<id>.json`, and `<id>.bundle` once it is made. Each file changes as a whole. */
import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { lockFile } from '../file-lock.ts'
import type { BundleJob } from './job.ts'

const STATE = /^([0-9a-f-]{36})\.json$/
/** The name of this folder's queue: other services may share the Redis, and have other folders. */
const QUEUE = 'queue'

/**
 * Takes the first folder in `parent` that no living process holds: of processes with one data folder, each has its own bundles, and the
 * next one takes over what a dead one has left.
 */
export async function openFolder(parent: string) {
  await mkdir(parent, { recursive: true, mode: 0o700 })
  const lock = (number: string) => lockFile(join(parent, `${number}.lock`))
  let number = 0
  let release = lock('0')
  while (release === null) release = lock(`${++number}`)
  const own = `${number}`
  await mkdir(join(parent, own), { recursive: true, mode: 0o700 })
  return {
    ...filesIn(join(parent, own)),
    close: release,

    /**
     * Removes what dead processes have left: half files, and jobs of which `isPast` is true. It may take long until a process takes their
     * folders over, or none ever does.
     */
    async removeLeft(isPast: (job: BundleJob) => boolean): Promise<void> {
      const others = (await readdir(parent)).filter((name) => /^\d+$/.test(name) && name !== own)
      for (const other of others) {
        const leave = lock(other)
        if (leave === null) continue
        try {
          const left = filesIn(join(parent, other))
          for (const job of await left.load()) if (isPast(job)) await left.remove(job.id)
        } finally {
          leave()
        }
      }
    },
  }
}

function filesIn(folder: string) {
  const statePath = (id: string) => join(folder, `${id}.json`)
  const filePath = (id: string) => join(folder, `${id}.bundle`)

  /** It is on the disk, whole, once this resolves; until then the file is what it was. */
  async function write(path: string, text: string): Promise<void> {
    const next = `${path}.next`
    const handle = await open(next, 'w', 0o600)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(next, path)
    await sync()
  }

  async function sync(): Promise<void> {
    const handle = await open(folder, 'r')
    await handle.sync().catch(() => {})
    await handle.close()
  }

  /** Null: it is none, or its file is not there as it was made. */
  async function readJob(name: string): Promise<BundleJob | null> {
    const id = STATE.exec(name)?.[1]
    if (id === undefined) return null
    try {
      const job = JSON.parse(await readFile(statePath(id), 'utf8')) as BundleJob
      if (job.id !== id) return null
      if (job.state === 'done' && (await stat(filePath(id))).size !== job.bytes) return null
      return job
    } catch {
      return null
    }
  }

  return {
    file: filePath,
    save: (job: BundleJob) => write(statePath(job.id), JSON.stringify(job)),

    /** The state goes first: a file without one is nobody's, and removed at the next start. */
    async remove(id: string): Promise<void> {
      await rm(statePath(id), { force: true })
      await rm(filePath(id), { force: true })
      await rm(`${filePath(id)}.part`, { force: true })
    },

    /** All jobs, oldest first. What was left behind by a process that was killed is removed. */
    async load(): Promise<BundleJob[]> {
      const names = await readdir(folder)
      const jobs = (await Promise.all(names.map(readJob))).filter((job) => job !== null)
      const known = new Set(
        jobs.flatMap(({ id, state }) => [`${id}.json`, ...(state === 'done' ? [`${id}.bundle`] : [])]),
      )
      for (const name of names) if (name !== QUEUE && !known.has(name)) await rm(join(folder, name), { force: true })
      return jobs.sort((a, b) => (a.askedAt < b.askedAt ? -1 : 1))
    },

    async queueName(): Promise<string> {
      const known = await readFile(join(folder, QUEUE), 'utf8').catch(() => '')
      if (/^[0-9a-f]{16}$/.test(known)) return known
      const made = randomBytes(8).toString('hex')
      await write(join(folder, QUEUE), made)
      return made
    },
  }
}
