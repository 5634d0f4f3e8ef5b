// Commands that were run unrecorded, counted beside the spools: a line each, with when and why. Lines are only ever added.
import { appendFileSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const FILE = 'unrecorded'

/** @param why a code. @returns false if it cannot be counted either */
export function countUnrecorded(folder: string, why: string): boolean {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    appendFileSync(join(folder, FILE), `${new Date().toISOString()} ${why}\n`, { mode: 0o600 })
    return true
  } catch {
    return false
  }
}

/** How many there were, ever. */
export function unrecordedCommands(folder: string): number {
  try {
    return readFileSync(join(folder, FILE), 'latin1').split('\n').length - 1
  } catch {
    return 0
  }
}
