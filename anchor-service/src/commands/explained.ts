import { InvariantError } from '@killick/sdk/core'
import { breaksConstraint, isOutage } from '../database/outage.ts'
import { StartError } from '../errors.ts'

/** Says of which target a chain, its node or a key has spoken. @throws StartError */
export async function explained<T>(name: string, work: () => Promise<T>): Promise<T> {
  return work().catch((error: Error) => {
    throw new StartError(`Target ${name}: ${error.message}.`)
  })
}

/** Says in a sentence that the database went away amid a command, or contradicts itself. @throws StartError; whatever else `work` throws */
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
    throw error
  })
}
