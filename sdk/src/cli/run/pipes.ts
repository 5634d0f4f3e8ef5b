// Pipes between this program and the command. What Node makes for a child are sockets, and a command that opens /dev/stdout or
// /dev/stderr fails on a socket; so these are named pipes, which lose their names before the command starts.
import { spawnSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Both ends, as file descriptors. Each is an opening of its own, so that one may be non-blocking and the other not. */
export type Pipe = { readonly read: number; readonly write: number }

/** @returns null where there are no named pipes */
export function openPipes(count: number): Pipe[] | null {
  let folder: string
  try {
    folder = mkdtempSync(join(tmpdir(), 'killick-run-'))
  } catch {
    return null
  }
  const pipes: Pipe[] = []
  try {
    const files = Array.from({ length: count }, (_, i) => join(folder, `${i}`))
    if (spawnSync('mkfifo', ['-m', '600', ...files], { stdio: 'ignore' }).status !== 0) return null
    for (const file of files) {
      // Opening one end waits for the other one. One that has both waits for nobody.
      const both = openSync(file, constants.O_RDWR)
      pipes.push({ read: openSync(file, constants.O_RDONLY), write: openSync(file, constants.O_WRONLY) })
      closeSync(both)
    }
    return pipes
  } catch {
    for (const { read, write } of pipes) for (const end of [read, write]) closeSync(end)
    return null
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
