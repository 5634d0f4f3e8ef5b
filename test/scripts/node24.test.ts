import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

const NODE24 = join(import.meta.dirname, '../../scripts/node24.mjs')

/** A repository like this one, but with nothing to install. */
describe('scripts/node24.mjs', () => {
  let repository: string
  const file = (path: string) => join(repository, path)
  const needed = { dependencies: { y: 'file:y' }, devDependencies: { z: 'file:z' } }
  const lock = (version: string) =>
    writeFile(
      file('package-lock.json'),
      JSON.stringify({
        ...{ name: 'x', version: '1.0.0', lockfileVersion: 3 },
        packages: {
          '': { name: 'x', version: '1.0.0', hasInstallScript: true, ...needed },
          'node_modules/y': { resolved: 'y', link: true },
          'node_modules/z': { resolved: 'z', link: true, dev: true },
          y: { version },
          z: { version: '1.0.0', dev: true },
        },
      }),
    )

  beforeEach(async () => {
    repository = await mkdtemp(join(tmpdir(), 'killick-node24-'))
    await mkdir(file('scripts'))
    for (const name of ['y', 'z']) {
      await mkdir(file(name))
      await writeFile(file(`${name}/package.json`), JSON.stringify({ name, version: '1.0.0' }))
    }
    await copyFile(NODE24, file('scripts/node24.mjs'))
    const scripts = { postinstall: 'node scripts/node24.mjs --installed' }
    await writeFile(
      file('package.json'),
      JSON.stringify({ name: 'x', version: '1.0.0', type: 'module', ...needed, scripts }),
    )
    await writeFile(
      file('scripts/hello.ts'),
      `const words: string[] = process.argv.slice(2)
       console.log(JSON.stringify({ words, main: import.meta.main, cwd: process.cwd() }))
       process.exitCode = 7`,
    )
    await lock('1.0.0')
  })
  afterEach(() => rm(repository, { recursive: true, force: true }))

  const run = (args: string[], env: NodeJS.ProcessEnv = {}) =>
    new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
      const options = { cwd: tmpdir(), env: { ...process.env, npm_config_cache: file('cache'), ...env } }
      const child = execFile(
        process.execPath,
        [file('scripts/node24.mjs'), ...args],
        options,
        (_error, stdout, stderr) => resolve({ code: child.exitCode!, stdout, stderr }),
      )
    })

  test('installs once, then runs the script as the main module, in the root, with its arguments unchanged', async () => {
    const words = ['--once', 'two words', '$HOME', '"', '']
    const first = await run(['scripts/hello.ts', ...words])
    expect(first.stderr).toMatch(/^Installing the dependencies \(npm ci\) …\nInstalled in [\d.]+ s\n$/)
    expect(JSON.parse(first.stdout)).toMatchObject({ words, main: true })
    expect(JSON.parse(first.stdout).cwd).toContain('killick-node24-')
    expect(first.code).toBe(7)
    expect(await run(['scripts/hello.ts'])).toMatchObject({ code: 7, stderr: '' })
  })

  test('installs again when the lock has changed', async () => {
    await run(['scripts/hello.ts'])
    await writeFile(file('y/package.json'), JSON.stringify({ name: 'y', version: '1.1.0' }))
    await lock('1.1.0')
    expect((await run(['scripts/hello.ts'])).stderr).toContain('Installing')
    expect((await run(['scripts/hello.ts'])).stderr).toBe('')
  })

  test('installs for what runs Killick what that needs, and later adds the rest without touching it', async () => {
    await copyFile(file('scripts/hello.ts'), file('scripts/start.ts'))
    expect((await run(['scripts/start.ts'])).stderr).toContain('(npm ci)')
    expect([existsSync(file('node_modules/y')), existsSync(file('node_modules/z'))]).toEqual([true, false])
    await writeFile(file('node_modules/.in-use'), '')
    expect((await run(['scripts/hello.ts'])).stderr).toMatch(
      /^Installing the dependencies \(npm install\) …\nInstalled in [\d.]+ s\n$/,
    )
    expect([existsSync(file('node_modules/z')), existsSync(file('node_modules/.in-use'))]).toEqual([true, true])
    expect((await run(['scripts/start.ts'])).stderr).toBe('')
  })

  test('shows what npm said and what to do when an install fails', async () => {
    await writeFile(file('package-lock.json'), '{')
    const { code, stdout, stderr } = await run(['scripts/hello.ts'])
    expect(code).toBe(1)
    expect(stdout).toBe('')
    expect(stderr).toMatch(/npm error[\s\S]*npm ci failed \(its output is above\)\. Install Node 24/)
  })

  test('reports that install scripts were left out, instead of starting with half an install', async () => {
    const { code, stderr } = await run(['scripts/hello.ts'], { npm_config_ignore_scripts: 'true' })
    expect(code).toBe(1)
    expect(stderr).toContain('run `npm ci --ignore-scripts=false` once')
  })

  test('reports that there is no npm', async () => {
    const { code, stderr } = await run(['scripts/hello.ts'], { PATH: '', npm_execpath: '' })
    expect(code).toBe(1)
    expect(stderr).toContain('npm was not found beside Node or on the PATH')
  })

  test('remembers where this Node 24 is, so that an older Node finds it', async () => {
    await run(['scripts/hello.ts'])
    expect(JSON.parse(await readFile(file('node_modules/.killick.json'), 'utf8'))).toEqual({
      platform: `${process.platform}-${process.arch}`,
      node: process.execPath,
    })
  })
})
