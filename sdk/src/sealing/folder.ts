import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { link, mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { KillickError } from '../core/errors.ts'
import { knownOptions } from '../core/options.ts'
import { isSubjectKeyId } from '../core/sealed.ts'
import { syncFile } from '../node/sync.ts'
import {
  checkMarks,
  type Envelope,
  type ErasedKey,
  erasedError,
  KEY_BYTES,
  type KeyHolding,
  namingBy,
  STORE_OPTIONS,
  type SubjectKeys,
  storeError,
  unwrapKey,
  wrapKey,
} from './subject-keys.ts'

/** A file with the secret, one for each key, and one for each mark. */
const SECRET = 'secret'
const KEY = '.key'
const MARK = '.erased'
/** What is being made; a process that is killed leaves it behind. */
const PART = '.part'

/**
 * Keeps subjects' keys in a folder of this machine: for one host, and for tests. A mark is a file that is made once and then never written.
 * @param options `secret`: 32 random bytes; default: those in the folder's file `secret`, made at first. A copy of the folder is then all
 * that it takes to read. `envelope`: as for PostgreSQL
 * @throws KillickError `option_invalid`, also where there are keys and no secret. @throws SealingError `keys_unreachable`
 */
export async function folderSubjectKeys(
  folder: string,
  options: { readonly secret?: Uint8Array | undefined; readonly envelope?: Envelope | undefined } = {},
): Promise<SubjectKeys> {
  const { secret, envelope: given } = knownOptions(options, STORE_OPTIONS)
  const at = (name: string) => join(folder, name)
  if (secret === undefined) {
    await guarded(() => mkdir(folder, { recursive: true, mode: 0o700 }))
    await guarded(() => refuseAnotherSecret(folder))
    await guarded(() => make(folder, SECRET, randomBytes(KEY_BYTES)))
  }
  const naming = namingBy(secret ?? new Uint8Array(await guarded(() => readFile(at(SECRET)))))
  const envelope = given ?? naming

  const markOf = async (id: string): Promise<ErasedKey | null> => {
    const text = await guarded(() => readIfThere(at(id + MARK)))
    return text === null ? null : (JSON.parse(text) as ErasedKey)
  }

  async function find(id: string): Promise<KeyHolding> {
    if (!isSubjectKeyId(id)) return null
    // The key before the mark: what is erased in between has its mark by then.
    const wrapped = await guarded(() => readIfThere(at(id + KEY)))
    const mark = await markOf(id)
    if (mark !== null || wrapped === null) return mark
    return unwrapKey(envelope, id, wrapped)
  }

  return {
    idOf: async (subject) => naming.nameOf(subject),
    find,
    async toSeal(subject) {
      const id = naming.nameOf(subject)
      let found = await find(id)
      if (found === null) {
        const wrapped = await wrapKey(envelope, randomBytes(KEY_BYTES), id, (text) => unwrapKey(envelope, id, text))
        await guarded(() => mkdir(folder, { recursive: true, mode: 0o700 }))
        await guarded(() => make(folder, id + KEY, Buffer.from(wrapped)))
        found = (await find(id))!
        // Erased while it was made: the mark counts, and no key stays beside it.
        if ('at' in found) await guarded(() => destroy(folder, id + KEY))
      }
      if ('at' in found) throw erasedError(found)
      return found
    },
    async erase(marks) {
      let count = 0
      for (const { id, at: time, event } of checkMarks(marks)) {
        const text = JSON.stringify({ id, at: time, event })
        await guarded(() => mkdir(folder, { recursive: true, mode: 0o700 }))
        if (await guarded(() => make(folder, id + MARK, Buffer.from(text)))) count += 1
        await guarded(() => destroy(folder, id + KEY))
      }
      await guarded(() => syncFolder(folder))
      return count
    },
    async *erased() {
      const names = await guarded(() => readdir(folder))
      for (const name of names) {
        if (!name.endsWith(MARK)) continue
        const mark = await markOf(name.slice(0, -MARK.length))
        if (mark !== null) yield mark
      }
    },
  }
}

/** Under another secret every subject has another name, so who was erased would get a new key. */
async function refuseAnotherSecret(folder: string): Promise<void> {
  const holdsKeys = (await readdir(folder)).some((name) => name.endsWith(KEY) || name.endsWith(MARK))
  // In this order, since whoever makes a first key at the same time has made the secret before.
  if (holdsKeys && (await statIfThere(join(folder, SECRET))) === null) {
    const why = `Option secret is missing: the keys in ${folder} were made with one that is not there`
    throw new KillickError('option_invalid', why, { option: 'secret' })
  }
}

async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw storeError(error)
  }
}

const codeOf = (error: unknown): unknown => (error as NodeJS.ErrnoException).code

async function readIfThere(path: string): Promise<string | null> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return null
    throw error
  })
}

/** Makes a file that appears whole and durable, or leaves the one that is there. @returns whether it was made */
async function make(folder: string, name: string, bytes: Uint8Array): Promise<boolean> {
  const path = join(folder, name)
  const part = join(folder, `${randomBytes(8).toString('hex')}${PART}`)
  const handle = await open(part, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600)
  try {
    await handle.writeFile(bytes)
    await syncFile(handle)
    // Unlike a rename, a link never replaces what is there.
    await link(part, path)
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  } finally {
    await handle.close()
    await rm(part, { force: true })
  }
  await syncFolder(folder)
  return true
}

/** Removes a file under each of its names: whoever was killed while it was made has left it a second one. */
async function destroy(folder: string, name: string): Promise<void> {
  const file = await statIfThere(join(folder, name))
  if (file !== null && file.nlink > 1)
    for (const other of await readdir(folder)) {
      const isSame = other.endsWith(PART) && (await statIfThere(join(folder, other)))?.ino === file.ino
      if (isSame) await rm(join(folder, other), { force: true })
    }
  await rm(join(folder, name), { force: true })
}

async function statIfThere(path: string) {
  return stat(path).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return null
    throw error
  })
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await syncFile(handle)
  } finally {
    await handle.close()
  }
}
