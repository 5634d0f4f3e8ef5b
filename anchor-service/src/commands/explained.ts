import { isOutage } from '../database/outage.ts'
import { StartError } from '../errors.ts'

/** Says of which target a chain, its node or a key has spoken. @throws StartError */
export async function explained<T>(name: string, work: () => Promise<T>): Promise<T> {
  return work().catch((error: Error) => {
    throw new StartError(`Target ${name}: ${error.message}.`)
  })
}

/** Says in a sentence that the database went away amid a command. @throws StartError; whatever else `work` throws */
export async function explainOutage<T>(work: () => Promise<T>): Promise<T> {
  return work().catch((error: Error) => {
    if (!isOutage(error)) throw error
    throw new StartError(
      `The database has gone away, or is not ready: ${error.message}. Run the command again when it is back; it goes on from what it finds.`,
    )
  })
}
