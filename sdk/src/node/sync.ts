import { fdatasync, fsync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { promisify } from 'node:util'

const [all, data] = [promisify(fsync), promisify(fdatasync)]

/**
 * What is open. Under Yarn's Plug'n'Play, which puts a `FileHandle` of its own in the place of Node's, one has no `sync()`; under
 * `node --permission` there is no other way, since numbers of files are refused.
 */
type Open = Pick<FileHandle, 'fd' | 'sync' | 'datasync'>

/** Makes what was written durable, and the file's size and times. */
export const syncFile = (file: Open): Promise<void> => (isRestricted() ? file.sync() : all(file.fd))

/** Makes what was written durable. */
export const syncData = (file: Open): Promise<void> => (isRestricted() ? file.datasync() : data(file.fd))

const isRestricted = (): boolean => process.permission !== undefined
