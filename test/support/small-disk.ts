import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type SmallDisk = {
  folder: string
  /** Takes all the space that is left. */
  fill(): void
  /** Gives back what `fill` took. */
  free(): void
  /** Lets nobody write to it any more; `remove` takes it all the same. */
  protect(): void
  /** Unmounts it; nothing may use it any more. */
  remove(): void
}

/**
 * A disk of its own, small enough to fill: a tmpfs. Mounting takes root, or a sudo that does not ask; without either the
 * test fails, because what it is for would go unseen.
 */
export function smallDisk(mebibytes: number, home: string = tmpdir()): SmallDisk {
  const folder = mkdtempSync(join(home, 'killick-small-disk-'))
  const asRoot = process.getuid?.() === 0 ? [] : ['sudo', '-n']
  const run = (...command: string[]) => {
    const [program, ...args] = [...asRoot, ...command]
    execFileSync(program!, args, { stdio: 'pipe' })
  }
  run('mount', '-t', 'tmpfs', '-o', `size=${mebibytes}m,mode=1777`, 'tmpfs', folder)
  const ballast = join(folder, 'ballast')
  return {
    folder,
    fill() {
      const file = openSync(ballast, 'a')
      // Whole blocks first, then the crumbs.
      for (const size of [1 << 20, 4096, 1]) {
        const block = Buffer.alloc(size)
        try {
          while (writeSync(file, block) === size);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
        }
      }
      closeSync(file)
    },
    free: () => rmSync(ballast, { force: true }),
    protect: () => run('mount', '-o', 'remount,ro', folder),
    remove() {
      run('umount', folder)
      rmSync(folder, { recursive: true })
    },
  }
}
