// Sealed fields on the command line: read with a store of keys if one is given, and told in words where they cannot be read.
import { statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { sealedIn } from '../core/sealed.ts'
import type { FieldReading, SubjectKeys, UnsealedEvent } from '../sealing/index.ts'
import { UsageError } from './command.ts'

/** Reads the sealed fields of events. */
export type Unseal = (
  event: Parameters<typeof import('../sealing/index.ts')['unsealEvent']>[0],
) => Promise<UnsealedEvent>

/**
 * @param place a folder of keys, or a module whose default export is a store of keys
 * @returns null if there is none
 * @throws UsageError
 */
export async function openUnseal(place: string | undefined): Promise<Unseal | null> {
  if (place === undefined) return null
  // Loaded only here, since it needs a library that others need not have.
  const { folderSubjectKeys, unsealEvent } = await import('../sealing/index.ts').catch((error: Error) => {
    throw new UsageError(`--subject-keys needs the package jose: ${error.message}`)
  })
  const file = statSync(place, { throwIfNoEntry: false })
  if (file === undefined) throw new UsageError(`${place}: there is no such file or folder`)
  // A folder without a secret would get one.
  if (file.isDirectory() && statSync(join(place, 'secret'), { throwIfNoEntry: false }) === undefined)
    throw new UsageError(`${place} is no folder of keys with their secret; give a module that opens the store`)
  const keys = file.isDirectory() ? await folderSubjectKeys(place) : await load(place)
  return (event) => unsealEvent(event, keys)
}

async function load(module: string): Promise<SubjectKeys> {
  const exports = (await import(pathToFileURL(resolve(module)).href).catch((error: Error) => {
    throw new UsageError(`${module} cannot be loaded: ${error.message}`)
  })) as { default?: Partial<SubjectKeys> }
  if (typeof exports.default?.find === 'function') return exports.default as SubjectKeys
  throw new UsageError(`${module} has no store of keys as its default export`)
}

/** What is told in the place of a field's value; null if it is not sealed, or was read. */
export function sealedWords(
  name: string,
  value: unknown,
  readings: UnsealedEvent['sealed'] | null | undefined,
): string | null {
  const held = sealedIn(name, value)
  const reading: FieldReading | undefined =
    readings?.[name] ?? (held === null ? undefined : { state: 'sealed', keyId: held.id })
  switch (reading?.state) {
    case 'sealed':
      return `sealed, under key ${reading.keyId}`
    case 'erased':
      return `erased on ${reading.at}`
    case 'damaged':
      return 'sealed, and damaged: no key can read it'
    default:
      return null
  }
}
