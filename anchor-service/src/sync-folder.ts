import { open } from 'node:fs/promises'

/** Makes what was renamed or made in a folder durable, where the platform can. */
export async function syncFolder(folder: string): Promise<void> {
  // Windows cannot open folders, and does not need this.
  const handle = await open(folder, 'r').catch(() => null)
  await handle?.sync().catch(() => {})
  await handle?.close()
}
