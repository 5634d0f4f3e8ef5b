import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { brotliCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { testService } from '../anchor-service/support/service.ts'
import { startChain } from '../support/local-chain.ts'
import { packed } from '../support/packed.ts'

const run = promisify(execFile)
const ROOT = join(import.meta.dirname, '../..')

/** A stranger's project: nothing but the packed SDK, installed from its tarball as npm would from the registry. */
describe('the published packages', () => {
  let project: string
  let tarballs: string[]
  // What `npm test` tells its children about this repository must not reach the npm of the other project.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^npm_(?!config_(registry|cache|userconfig)$)|^INIT_CWD$/i.test(name),
    ),
  )
  const inProject = (command: string, ...args: string[]) => run(command, args, { cwd: project, env })

  /** What the compiler of a stranger's project says. */
  async function tsc(...args: string[]): Promise<string> {
    const compiler = join(ROOT, 'node_modules/typescript/bin/tsc')
    const flags = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2024', '--types', '']
    const { stdout } = await inProject(process.execPath, compiler, ...flags, ...args).catch((failed) => failed)
    return stdout
  }

  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), 'killick-pack-'))
    const { sdk, service, gateway } = await packed()
    tarballs = [sdk, service, gateway]
    await writeFile(join(project, 'package.json'), '{ "private": true, "type": "module" }')
    await inProject('npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', tarballs[0]!)
  }, 120_000)
  afterAll(() => rm(project, { recursive: true, force: true }))

  test('@killick/sdk records and @killick/sdk/verify verifies, from JavaScript', async () => {
    await writeFile(
      join(project, 'use.js'),
      `import { openAuditLog } from '@killick/sdk'
       import { carryContext } from '@killick/sdk/bullmq'
       import { treeRoot } from '@killick/sdk/core'
       import { auditContext, createAudit } from '@killick/sdk/kit'
       import { leafHash, printHash, verifyInclusion } from '@killick/sdk/verify'
       const leaf = leafHash(new Uint8Array())
       const event = await auditContext.run({ actor: { type: 'user', id: 'ada' } }, () => {
         carryContext({ add() {}, addBulk() {} })
         return createAudit({ record: async (event) => event }).record({ action: 'a', target: { type: 't', id: '1' } })
       })
       console.log(JSON.stringify(event))
       console.log(typeof openAuditLog, verifyInclusion({ leafHash: leaf, index: 0, size: 1, path: [], root: leaf }), printHash(treeRoot([leaf])))`,
    )
    const { stdout } = await inProject(process.execPath, 'use.js')
    const [event, rest] = stdout.split(/(?<=\}\n)/)
    expect(JSON.parse(event!)).toEqual({
      action: 'a',
      actor: { type: 'user', id: 'ada' },
      targets: [{ type: 't', id: '1' }],
    })
    expect(rest).toBe('function true bjQLnP-zepicpUTmu3gKLHiQHT-zNzh2hRGjBhevoB0\n')
  })

  test('what does not know exports finds the same entry', async () => {
    const { main, exports } = JSON.parse(
      await readFile(join(project, 'node_modules/@killick/sdk/package.json'), 'utf8'),
    )
    expect(main).toBe(exports['.'].import.default)
    await stat(join(project, 'node_modules/@killick/sdk', main))
  })

  test('TypeScript finds the declarations', async () => {
    await writeFile(
      join(project, 'use.ts'),
      `import { leafHash, type Verdict } from '@killick/sdk/verify'
       export const outcome = (verdict: Verdict): 'verified' | 'failed' | 'undecided' => verdict.outcome
       // @ts-expect-error bytes, not text
       leafHash('text')`,
    )
    expect(await tsc('use.ts')).toBe('')
  })

  test('npx killick runs the command line', async () => {
    const killick = async (option: string) => (await inProject('npx', '--no-install', 'killick', option)).stdout
    expect(await killick('--help')).toContain('Usage: killick')
    expect(await killick('--version')).toBe('0.1.0\n')
    // What the anchor service does, it asks for in one sentence.
    await expect(killick('deploy')).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('npm install @killick/anchor-service'),
    })
  })

  test('the page takes at most 60 kB on its way to a browser', async () => {
    const dist = join((await packed()).folder, 'anchor-service/web/dist')
    const compressed = await Promise.all(
      ['page.js', 'page.css', 'icon.svg'].map((name) => stat(join(dist, `${name}.br`))),
    )
    const html = brotliCompressSync(await readFile(join(dist, 'index.html')))
    expect(compressed.reduce((sum, { size }) => sum + size, html.length)).toBeLessThan(60_000)
  })

  test('the manual page comes along', async () => {
    const page = (await inProject('tar', '-xzOf', tarballs[0]!, 'package/man/killick.1')).stdout
    expect(page).toMatch(/^\.TH KILLICK 1 "" "killick 0\.1\.0"/)
    const { man } = JSON.parse(await readFile(join(project, 'node_modules/@killick/sdk/package.json'), 'utf8'))
    expect(man).toBe('./man/killick.1')
  })

  test('from an empty folder to a verified proof in four commands', { timeout: 120_000 }, async () => {
    const chain = await startChain()
    const service = await testService({
      KILLICK_RPC_URL: chain.url,
      KILLICK_CONTRACT: await chain.deployAnchorLog(),
      KILLICK_CHAIN_KEY: chain.key(1),
      KILLICK_ANCHOR_INTERVAL_MS: '100',
      KILLICK_CONFIRMATIONS: '1',
    })
    try {
      // The first was npm install.
      const access = ['--url', service.url, '--token', service.tokens.admin]
      const init = await inProject('npx', '--no-install', 'killick', 'init', '--source', 'shop', '--yes', ...access)
      expect(init.stdout).toMatch(/^VERIFIED, as far as \w+: by the pins in killick\.json, taken on first use$/m)
      const { stdout: id } = await inProject(process.execPath, 'audit-example.mjs')
      expect(id).toMatch(/^[0-9a-f-]{36}\n$/)
      const { stdout } = await inProject('npx', '--no-install', 'killick', 'verify', 'killick-proof.json')
      expect(stdout).toContain('VERIFIED')
    } finally {
      await service.stop()
      await chain.stop()
    }
  })

  test('no TypeScript source is shipped; a licence and a README of its own are', async () => {
    for (const [i, name] of ['sdk', 'anchor-service', 'gateway'].entries()) {
      const { stdout } = await inProject('tar', '-tzf', tarballs[i]!)
      const files = stdout.trim().split('\n')
      expect(files.filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))).toEqual([])
      expect(files).toContain('package/LICENSE')
      const { stdout: page } = await inProject('tar', '-xzOf', tarballs[i]!, 'package/README.md')
      expect(page).toMatch(new RegExp(`^# @killick/${name}\n`))
    }
    const licences = ['LICENSE', 'sdk/LICENSE', 'anchor-service/LICENSE', 'gateway/LICENSE'].map((path) =>
      readFile(join(ROOT, path), 'utf8'),
    )
    expect(new Set(await Promise.all(licences)).size).toBe(1)
  })

  test("the commands in the sdk's README run, and its examples type-check", async () => {
    const page = await readFile(join(project, 'node_modules/@killick/sdk/README.md'), 'utf8')
    const commands = [...page.matchAll(/^npx killick ([^#\n]+)/gm)].map(([, args]) => args!.trim().split(' '))
    expect(commands.map(([name]) => name)).toEqual(['init', '--help', 'keygen', 'verify', 'audit'])
    for (const args of commands.filter(([name]) => name !== 'verify' && name !== 'init'))
      await inProject('npx', '--no-install', 'killick', ...args)
    expect(JSON.parse(await readFile(join(project, 'billing-api.pub.json'), 'utf8'))).toMatchObject({ kty: 'OKP' })
    const [record, inFunction, check] = [...page.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code!)
    await writeFile(join(project, 'record.ts'), record!)
    await writeFile(join(project, 'function.ts'), inFunction!)
    await writeFile(join(project, 'check.ts'), `declare const text: string\n${check}`)
    // Recording is for Node, whose types an application has.
    const node = ['--types', 'node', '--typeRoots', join(ROOT, 'node_modules/@types')]
    expect(await tsc(...node, 'record.ts', 'function.ts')).toBe('')
    expect(await tsc('check.ts')).toBe('')
  })
})
