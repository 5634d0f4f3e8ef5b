// PostgreSQL servers run in sessions of their own and outlive the process that started them. Programs that only try something out
// end theirs.
import './processes.ts'
import { globSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'

/**
 * Makes this process, however it ends (an error, a signal), stop every PostgreSQL that keeps its data under `folder`, whoever
 * started it. Services are killed first (./processes.ts), so that none restarts one. Only SIGKILL leaves them running.
 */
export function endClustersOnExit(folder: string): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => process.exit(128 + constants.signals[signal]))
  // At the exit, because a cluster of this process would be started again as well.
  process.on('exit', () => {
    for (const path of globSync('**/postgres/postmaster.pid', { cwd: folder })) end(join(folder, path))
  })
}

/** A fast shutdown: it disconnects everybody, and does not wait for them. */
function end(path: string): void {
  try {
    const [pid, data] = readFileSync(path, 'utf8').split('\n')
    if (join(data!, 'postmaster.pid') === path) process.kill(Number(pid), 'SIGINT')
  } catch (error) {
    // It has ended by itself.
    if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}
