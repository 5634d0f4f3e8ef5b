// What is compared where a sender's id comes again: a hash of the content, which where fields are sealed only this collector can make.
import { createHmac, hash, randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { JsonObject } from '@killick/sdk/core'
import { contentText, HASH_BYTES, hashOfContent } from '../received.ts'
import { syncFolder } from './file.ts'

/** Hashes contents, and tells whether two are the same. */
export type Contents = {
  /** What is remembered of a content. */
  of(fields: JsonObject): Buffer
  /** @param found what was remembered, by this collector or as it was configured before */
  isSame(found: Buffer, fields: JsonObject): boolean
  /** What a text is remembered by, in hex, and then what it may be remembered by as this collector was configured before. */
  namesOf(text: string): readonly string[]
}

/** Stands for the content of an event that was found in the spool, and is sealed there. Its id alone is compared. */
export const UNKNOWN_CONTENT = Buffer.alloc(HASH_BYTES)

const KEY_BYTES = 32

/**
 * @param folder with the ids @param isSealed whether what is remembered is to say nothing to those who can guess what was sealed: then it is
 * under a key in the folder's file `content-key`, made at first
 * @throws the error of the file system
 */
export function openContents(folder: string, isSealed: boolean): Contents {
  const file = join(folder, 'content-key')
  const key = readKey(file) ?? (isSealed ? makeKey(folder, file) : null)
  const keyed = (text: string) => createHmac('sha256', key!).update(text).digest()
  const ofText = (text: string): Buffer => keyed(text).subarray(0, HASH_BYTES)
  return {
    of: (fields) => (isSealed ? ofText(contentText(fields)) : hashOfContent(fields)),
    isSame: (found, fields) =>
      found.equals(UNKNOWN_CONTENT) ||
      found.equals(hashOfContent(fields)) ||
      (key !== null && found.equals(ofText(contentText(fields)))),
    namesOf(text) {
      const names = [hash('sha256', text), ...(key === null ? [] : [keyed(text).toString('hex')])]
      return isSealed ? names.reverse() : names
    },
  }
}

function readKey(file: string): Buffer | null {
  try {
    const key = readFileSync(file)
    if (key.length !== KEY_BYTES) throw new Error(`${file} must have ${KEY_BYTES} bytes`)
    return key
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

function makeKey(folder: string, file: string): Buffer {
  const key = randomBytes(KEY_BYTES)
  const handle = openSync(file, 'wx', 0o600)
  writeSync(handle, key)
  fsyncSync(handle)
  closeSync(handle)
  syncFolder(folder)
  return key
}
