import { fdatasync, fsync } from 'node:fs'
import { promisify } from 'node:util'

const [all, data] = [promisify(fsync), promisify(fdatasync)]

/** What is open. Under Yarn's Plug'n'Play, which puts a `FileHandle` of its own in the place of Node's, one has no `sync()`. */
type Open = { readonly fd: number }

/** Makes what was written durable, and the file's size and times. */
export const syncFile = ({ fd }: Open): Promise<void> => all(fd)

/** Makes what was written durable. */
export const syncData = ({ fd }: Open): Promise<void> => data(fd)
