import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Installs the package in `folder`, which is outside the workspaces and has its own lock file, unless it is already installed as
 * the lock file says. Large tools are in such packages, so that nobody who does not need them has to wait for them.
 * @throws what npm ends with; it has printed why
 */
export function installBeside(folder: string): void {
  const lock = join(folder, 'package-lock.json')
  const installed = join(folder, 'node_modules/.installed.json')
  if (existsSync(installed) && readFileSync(installed).equals(readFileSync(lock))) return
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
  const args = ['ci', '--prefer-offline', '--no-audit', '--no-fund', '--silent']
  execFileSync(npm, args, { cwd: folder, stdio: ['ignore', 2, 'inherit'] })
  // Last, so that an install that was interrupted is begun again.
  copyFileSync(lock, installed)
}
