import { access, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inject } from 'vitest'

/**
 * Has something made once for all test files of a run: by the first that asks, while the others wait.
 * @param make puts it into the folder, which is not there yet
 * @returns the folder, which goes with the run
 */
export async function onceInRun(name: string, make: (folder: string) => Promise<unknown>): Promise<string> {
  const folder = join(inject('folder'), name)
  const [done, failed] = [`${folder}.done`, `${folder}.failed`]
  const isThere = (path: string) =>
    access(path).then(
      () => true,
      () => false,
    )
  const isFirst = await mkdir(`${folder}.begun`).then(
    () => true,
    () => false,
  )
  if (isFirst) {
    try {
      await make(folder)
      await writeFile(done, '')
    } catch (error) {
      await writeFile(failed, String((error as Error).message))
      throw error
    }
  }
  // Other processes: there is nothing to wait on but the file.
  while (!(await isThere(done))) {
    if (await isThere(failed)) throw new Error(`another test file has tried to make ${name}, and failed`)
    await sleep(100)
  }
  return folder
}
