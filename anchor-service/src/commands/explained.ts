import { InvariantError } from '@killick/sdk/core'
import { breaksConstraint, isOutage } from '../database/outage.ts'
import { Refusal, StartError } from '../errors.ts'

/** Says of which target a chain, its node or a key has spoken. @throws StartError */
export async function explained<T>(name: string, work: () => Promise<T>): Promise<T> {
  return work().catch((error: Error) => {
    throw new StartError(`Target ${name}: ${error.message}.`)
  })
}

/** Says in a sentence that the database went away amid a command, or contradicts itself, or what a disk refuses. @throws StartError; whatever else `work` throws */
export async function explainFault<T>(work: () => Promise<T>): Promise<T> {
  return work().catch((error: Error) => {
    if (isOutage(error))
      throw new StartError(
        `The database has gone away, or is not ready: ${error.message}. Run the command again when it is back; it goes on from what it finds.`,
      )
    if (error instanceof InvariantError || breaksConstraint(error))
      throw new StartError(
        `The database contradicts itself: ${error.message}. Parts of it are missing, or are others: it was not restored as a whole, or somebody has altered it. Nothing can be added to such a log. Restore all of it from one copy.`,
      )
    if (error instanceof Refusal) {
      const { cause } = error.details
      throw new StartError(`${error.message}${cause === undefined ? '' : ` ${cause}.`} ${AGAIN}`)
    }
    if (DISK.has((error as NodeJS.ErrnoException).code ?? '')) throw new StartError(`${error.message}. ${AGAIN}`)
    throw error
  })
}

/** What systems say of a disk that is full or read-only, and of files of another user. */
const DISK = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EPERM'])
const AGAIN = 'Run the command again when that is mended; it goes on from what it finds.'
