import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Installs the package in `folder`, which is outside the workspaces and has its own lock file, unless it is already installed as
 * the lock file says. Large tools are in such packages, so that nobody who does not need them has to wait for them. Another process
 * that installs the same is waited for.
 * @throws what npm ends with; it has printed why
 */
export function installBeside(folder: string): void {
  const lock = join(folder, 'package-lock.json')
  const installed = join(folder, 'node_modules/.installed.json')
  const isInstalled = () => existsSync(installed) && readFileSync(installed).equals(readFileSync(lock))
  if (isInstalled()) return
  const turn = join(tmpdir(), `killick-install-${createHash('sha256').update(folder).digest('hex').slice(0, 12)}`)
  while (!takeTurn(turn)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100)
  try {
    if (isInstalled()) return
    const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
    const args = ['ci', '--prefer-offline', '--no-audit', '--no-fund', '--silent']
    execFileSync(npm, args, { cwd: folder, stdio: ['ignore', 2, 'inherit'] })
    // Last, so that an install that was interrupted is begun again.
    copyFileSync(lock, installed)
  } finally {
    rmSync(turn)
  }
}

/**
 * Installs the package in `from` at its first use, into a folder of `cache/` that is its own as long as package and lock file are the same.
 * @param name what the folder's name begins with
 * @returns its `node_modules`; null where the packages are not here and cannot be had, unless this is CI
 */
export function installCached(name: string, from: string): string | null {
  const files = ['package.json', 'package-lock.json']
  const wanted = createHash('sha256')
  for (const file of files) wanted.update(readFileSync(join(from, file)))
  const folder = join(import.meta.dirname, '../../cache', `${name}-${wanted.digest('hex').slice(0, 12)}`)
  mkdirSync(folder, { recursive: true })
  for (const file of files) copyFileSync(join(from, file), join(folder, file))
  try {
    installBeside(folder)
    return join(folder, 'node_modules')
  } catch (error) {
    if (process.env.CI) throw error
    return null
  }
}

/** Whether nobody else has the turn: it is a file with the id of a process that lives. */
function takeTurn(file: string): boolean {
  try {
    writeFileSync(file, `${process.pid}`, { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  try {
    const pid = Number(readFileSync(file, 'utf8'))
    if (pid > 0) process.kill(pid, 0)
  } catch (error) {
    // Whoever had it has given it back, or was killed.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') rmSync(file, { force: true })
  }
  return false
}
