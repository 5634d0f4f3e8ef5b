import { cp } from 'node:fs/promises'
import { buildPage } from '../../scripts/page.ts'
import { onceInRun } from './once.ts'

/** The page and what a service has beside it, where services look for them. */
export async function builtPage(): Promise<void> {
  await onceInRun('page', () => buildPage())
}

/** The page alone, in a folder of the caller's. */
export async function buildAlone(folder: string): Promise<void> {
  const built = await onceInRun('page-alone', (made) => buildPage(made, { alone: true }))
  await cp(built, folder, { recursive: true })
}
