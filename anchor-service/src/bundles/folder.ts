/** The folder of bundles: for each a state file `<id>.json`, and `<id>.bundle` once it is made. Each file changes as a whole. */
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Refusal } from '../errors.ts'
import { lockFile } from '../file-lock.ts'
import { replaceFile } from '../whole-file.ts'
import { type BundleJob, DISK_FULL, isFull } from './job.ts'

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

  /** It is on the disk, whole, once this resolves; until then the file is what it was. @throws Refusal bundles_full, if the disk is */
  async function write(path: string, text: string): Promise<void> {
    try {
      await replaceFile(path, text)
    } catch (error) {
      throw isFull(error) ? new Refusal('bundles_full', DISK_FULL) : error
    }
  }

  /** Null: it is none, or its file is not there as it was made. */
  async function readJob(name: string): Promise<BundleJob | null> {
    const id = STATE.exec(name)?.[1]
    if (id === undefined) return null
    try {
      const job = JSON.parse(await readFile(statePath(id), 'utf8')) as BundleJob
      if (job.id !== id) return null
      return job.state !== 'done' || (await hasFile(job)) ? job : null
    } catch {
      return null
    }
  }

  /** Whether the file is there, as long as it was made. What a disk cannot tell just now is an error, and not gone. */
  const hasFile = ({ id, bytes }: BundleJob): Promise<boolean> =>
    stat(filePath(id)).then(
      ({ size }) => size === bytes,
      (error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error
        return false
      },
    )

  return {
    file: filePath,
    hasFile,
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
