import { DatabaseSync } from 'node:sqlite'

/**
 * Takes a lock that ends with the process however that ends: the operating system's (fcntl, through SQLite's own locking).
 * @returns what releases it; null: a living process has it
 */
export function lockFile(path: string): (() => void) | null {
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    database.exec('PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
    return () => database.close()
  } catch (error) {
    database.close()
    if ((error as { errcode?: number }).errcode !== 5) throw error // 5 = SQLITE_BUSY
    return null
  }
}
