// Spools of many processes that share a folder, such as the workers of a cluster: `./spool/{worker}`. A process takes the lowest
// number whose spool no live process holds. So no number has to be handed out, and a process that follows a dead one goes on with
// its stream. What is in the folders that nobody holds is sent by the others, which look at their start and every minute, but for programs
// that are told of it (`onFound`).
import { readdir, readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { KillickError } from '../core/errors.ts'

const PLACE = '{worker}'
const MAX_WORKERS = 1000

/** Whether a spool's path has a place for the number of a worker. */
export const hasPlace = (spool: string): boolean => spool.includes(PLACE)

/** Whether it has one, in the name of the last folder. */
export const isTemplate = (spool: string): boolean =>
  basename(spool).split(PLACE).length === 2 && !hasPlace(dirname(spool))

const folderOf = (template: string, worker: number): string =>
  join(dirname(template), basename(template).replace(PLACE, String(worker)))

/** Opens the first spool that no live process holds. */
export async function openFirst<S>(
  template: string,
  open: (dir: string) => Promise<S>,
): Promise<{ spool: S; worker: number }> {
  for (let worker = 0; worker < MAX_WORKERS; worker++) {
    try {
      return { spool: await open(folderOf(template, worker)), worker }
    } catch (error) {
      if (!isLocked(error)) throw error
    }
  }
  throw new KillickError('spool_locked', `All ${MAX_WORKERS} spools of ${template} are in use`, { dir: template })
}

export const isLocked = (error: unknown): boolean => error instanceof KillickError && error.code === 'spool_locked'

/**
 * The spools of other workers in which there is more than a stream that was closed when all was accepted. This only looks: whoever
 * means to send what is there has to open the spool.
 */
export async function leftBehind(template: string, own: number): Promise<string[]> {
  const [before, after] = basename(template).split(PLACE) as [string, string]
  const names = await readdir(dirname(template))
  const dirs = names
    .filter((name) => name.startsWith(before) && name.endsWith(after))
    .map((name) => name.slice(before.length, name.length - after.length))
    .filter((number) => /^(0|[1-9]\d{0,2})$/.test(number) && Number(number) !== own)
    .map((number) => folderOf(template, Number(number)))
  const isLeft = await Promise.all(dirs.map((dir) => holdsMore(dir).catch(() => true)))
  return dirs.filter((_, i) => isLeft[i])
}

/** Whether a spool holds more than the line with which its one segment begins. */
async function holdsMore(dir: string): Promise<boolean> {
  const segments = (await readdir(dir)).filter((name) => name.endsWith('.log'))
  if (segments.length !== 1) return segments.length > 1
  const text = await readFile(join(dir, segments[0]!), 'latin1')
  return text.indexOf('\n') !== text.length - 1
}
