// What applications run and are built with, and this repository does not need: installed at the first use, into cache/, by
// test/outside/package.json and its lock file.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, readFile, rename, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { packed } from '../support/packed.ts'

const run = promisify(execFile)
export const ROOT = join(import.meta.dirname, '../..')
const FILES = ['package.json', 'package-lock.json']

/** What `npm test` tells its children about this repository must not reach the npm of another project. */
export const ENV = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^npm_(?!config_(registry|cache|userconfig)$)|^INIT_CWD$/i.test(name),
  ),
)

/** The folder of the tools; null where they are not here and cannot be had, unless this is CI, where that is an error. */
export async function installTools(): Promise<string | null> {
  const wanted = createHash('sha256')
  for (const name of FILES) wanted.update(await readFile(join(import.meta.dirname, name)))
  const folder = join(ROOT, 'cache', `outside-${wanted.digest('hex').slice(0, 12)}`)
  if (existsSync(folder)) return folder
  const half = `${folder}.${process.pid}`
  await mkdir(half, { recursive: true })
  try {
    for (const name of FILES) await copyFile(join(import.meta.dirname, name), join(half, name))
    // Nothing here needs a script of its own to be installed.
    await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'], { cwd: half, env: ENV })
    // Another file of the same run may have been faster.
    await rename(half, folder).catch(async (error) => {
      if (!existsSync(folder)) throw error
      await rm(half, { recursive: true, force: true })
    })
    return folder
  } catch (error) {
    await rm(half, { recursive: true, force: true })
    if (process.env.CI) throw error
    return null
  }
}

/** A runtime of the tools for this machine; null where they have none. */
export function runtime(tools: string, name: 'node18' | 'node22' | 'deno' | 'bun'): string | null {
  const { platform, arch } = process
  const places = {
    node18: `node18-${platform}-${arch}/bin/node`,
    node22: `node22-${platform}-${arch}/bin/node`,
    deno: `@deno/${platform}-${arch}-glibc/deno`,
    bun: `@oven/bun-${platform}-${arch === 'arm64' ? 'aarch64' : arch}/bin/bun`,
  }
  const path = join(tools, 'node_modules', places[name])
  return existsSync(path) ? path : null
}

/** A stranger's project in `folder`, with the packed SDK and what it depends on as its only dependencies. */
export async function makeProject(folder: string): Promise<void> {
  const { sdk } = await packed()
  const modules = join(folder, 'node_modules')
  await mkdir(join(modules, '@killick/sdk'), { recursive: true })
  await run('tar', ['-xzf', sdk, '-C', join(modules, '@killick/sdk'), '--strip-components=1'])
  await symlink(join(ROOT, 'sdk/node_modules/@noble'), join(modules, '@noble'))
}
