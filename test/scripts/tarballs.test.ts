import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pack } from '../../scripts/tarballs.ts'

const run = promisify(execFile)

/** A stranger's project: nothing but the packed SDK, installed from its tarball as npm would from the registry. */
describe('the published packages', () => {
  let project: string
  // What `npm test` tells its children about this repository must not reach the npm of the other project.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^npm_(?!config_(registry|cache|userconfig)$)|^INIT_CWD$/i.test(name),
    ),
  )
  const inProject = (command: string, ...args: string[]) => run(command, args, { cwd: project, env })

  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), 'killick-pack-'))
    const [sdk] = await pack(join(project, 'dist'))
    await writeFile(join(project, 'package.json'), '{ "private": true, "type": "module" }')
    await inProject('npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', sdk!)
  }, 120_000)
  afterAll(() => rm(project, { recursive: true, force: true }))

  test('@killick/sdk records and @killick/sdk/verify verifies, from JavaScript', async () => {
    await writeFile(
      join(project, 'use.js'),
      `import { openAuditLog } from '@killick/sdk'
       import { treeRoot } from '@killick/sdk/core'
       import { leafHash, printHash, verifyInclusion } from '@killick/sdk/verify'
       const leaf = leafHash(new Uint8Array())
       console.log(typeof openAuditLog, verifyInclusion({ leafHash: leaf, index: 0, size: 1, path: [], root: leaf }), printHash(treeRoot([leaf])))`,
    )
    const { stdout } = await inProject(process.execPath, 'use.js')
    expect(stdout).toBe('function true bjQLnP-zepicpUTmu3gKLHiQHT-zNzh2hRGjBhevoB0\n')
  })

  test('TypeScript finds the declarations', async () => {
    await writeFile(
      join(project, 'use.ts'),
      `import { leafHash, type Verdict } from '@killick/sdk/verify'
       export const outcome = (verdict: Verdict): 'verified' | 'failed' | 'undecided' => verdict.outcome
       // @ts-expect-error bytes, not text
       leafHash('text')`,
    )
    const tsc = join(import.meta.dirname, '../../node_modules/typescript/bin/tsc')
    const flags = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2024', '--types', '']
    const { stdout } = await inProject(process.execPath, tsc, ...flags, 'use.ts')
    expect(stdout).toBe('')
  })

  test('npx killick runs', async () => {
    const killick = async (option: string) => (await inProject('npx', '--no-install', 'killick', option)).stdout
    expect(await killick('--help')).toContain('Usage: killick')
    expect(await killick('--version')).toBe('0.1.0\n')
    // What the anchor service does, it asks for in one sentence.
    await expect(killick('deploy')).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('npm install @killick/anchor-service'),
    })
  })

  test('no TypeScript source is shipped, and the licence is', async () => {
    const { stdout } = await inProject(
      'tar',
      '-tzf',
      (await readFile(join(project, 'package.json'), 'utf8')).match(/file:([^"]+)/)![1]!,
    )
    const files = stdout.trim().split('\n')
    expect(files.filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))).toEqual([])
    expect(files).toContain('package/LICENSE')
  })
})
