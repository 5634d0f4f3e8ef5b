// One process at a time owns the spool. The operating system holds the lock for the process (fcntl, through SQLite's own
// locking), so the lock ends with the process however that ends, and there are no stale locks to recognise by pid or age.
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { KillickError } from '../core/errors.ts'

/**
 * Locks `dir` until the returned function is called or the process ends.
 * @throws KillickError `spool_locked` when a live process (or another log in this one) holds it.
 */
export function lockDirectory(dir: string): () => void {
  const database = new DatabaseSync(join(dir, 'lock'), { timeout: 0 })
  try {
    database.exec('PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if ((error as { errcode?: number }).errcode !== 5) throw error // 5 = SQLITE_BUSY
    throw new KillickError(
      'spool_locked',
      `Another recorder is using the spool ${dir}; give each recorder a directory of its own`,
      { dir },
    )
  }
  return () => database.close()
}
