import { randomBytes } from 'node:crypto'
import { constants, copyFile, link, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { syncFolder } from './sync-folder.ts'

/** File systems without hard links say one of these. */
const NO_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'])

/**
 * Makes a file (0600) unless there is one. It gets its name once it is whole and durable, so that neither a full disk nor a crash
 * leaves a part of it under that name, and no other process reads one.
 * @returns what the file holds, which another process may have made
 */
export async function makeOnce(path: string, text: string): Promise<string> {
  return withDraft(path, text, async (draft) => {
    try {
      await link(draft, path).catch((error: NodeJS.ErrnoException) => {
        if (!NO_LINKS.has(error.code ?? '')) throw error
        return copyFile(draft, path, constants.COPYFILE_EXCL)
      })
      await syncFolder(dirname(path))
      return text
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      return readFile(path, 'utf8')
    }
  })
}

/** Makes a file (0600), or another in the place of one: whoever reads it, whenever, finds the one or the other, whole. */
export async function replaceFile(path: string, text: string): Promise<void> {
  await withDraft(path, text, async (draft) => {
    await rename(draft, path)
    await syncFolder(dirname(path))
  })
}

async function withDraft<T>(path: string, text: string, use: (draft: string) => Promise<T>): Promise<T> {
  const draft = `${path}.${randomBytes(6).toString('hex')}.new`
  try {
    const file = await open(draft, 'wx', 0o600)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    return await use(draft)
  } finally {
    await rm(draft, { force: true })
  }
}
