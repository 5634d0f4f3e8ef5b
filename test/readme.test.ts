import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { call, type TestService, testService } from './anchor-service/support/service.ts'
import { killick } from './sdk/cli/support.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const readme = await readFile(join(root, 'README.md'), 'utf8')

let service: TestService
let folder: string

beforeAll(async () => {
  service = await testService()
  // Where Node finds the workspace's packages, as it would in an application that has installed them.
  const cache = join(root, 'node_modules/.cache')
  await mkdir(cache, { recursive: true })
  folder = await mkdtemp(join(cache, 'readme-'))
})

afterAll(async () => {
  await service.stop()
  await rm(folder, { recursive: true, force: true })
})

test('the commands and the example of the README record an event, and prove it', async () => {
  const example = /```ts\n([\s\S]*?)```/.exec(readme)![1]!
  expect(example.trim().split('\n').length).toBeLessThanOrEqual(16)
  // Nothing is anchored here, so the verdict of init stays open.
  const access = ['--url', service.url, '--token', service.tokens.admin]
  const inFolder = { cwd: folder, env: { KILLICK_URL: service.url, KILLICK_TOKEN: service.tokens.reader } }
  const init = await killick(['init', '--source', 'billing-api', '--yes', '--wait', '0', ...access], inFolder)
  expect(init).toMatchObject({ code: 3, err: expect.stringContaining('An event is recorded and accepted') })

  await writeFile(join(folder, 'example.mjs'), `${example}console.log(id, pending)\n`)
  const { stdout } = await run(process.execPath, ['example.mjs'], { cwd: folder })
  const [id = '', pending] = stdout.trim().split(' ')
  expect(pending).toBe('0')
  // The example that init wrote is the same but for its last lines.
  const made = await run(process.execPath, ['audit-example.mjs'], { cwd: folder })
  const found = await call(service.url, '/v1/events?action=invoice.approve&target=2026-0042')
  expect(found.json.events.map((event: { id: string }) => event.id)).toEqual([made.stdout.trim(), id])

  const shown = [...readme.matchAll(/^npx killick ([^#\n]+)/gm)].map(([, args]) => args!.trim())
  expect(shown.map((args) => args.split(' ')[0])).toEqual(['init', 'proof', 'verify', 'search'])
  for (const args of shown.slice(1)) {
    // What is not anchored is not waited for, and its verdict stays open: 3, as the README says.
    const real = args
      .replace('<id>', id)
      .replace('--wait 60', '--wait 0')
      .replace('proof.json', join(folder, 'proof.json'))
    const ran = await killick(real.split(' '), inFolder)
    expect([ran.code, ran.err], args).toEqual([args.startsWith('verify') ? 3 : 0, expect.any(String)])
    if (args.startsWith('verify')) expect(ran.out).toContain('not anchored yet')
  }
})

test('everything that the README points to exists', async () => {
  const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  for (const [, script] of readme.matchAll(/^npm (?:run )?(?!install)([a-z]+)/gm))
    expect(scripts).toHaveProperty(script!)
  for (const [, path] of readme.matchAll(/\]\((docs\/[^)#]+)/g)) await readFile(join(root, path!))
})

test('each line of its trust table names tests that exist', async () => {
  const rows = readme.slice(readme.indexOf('## Who is trusted with what')).match(/^\|.*\|$/gm)!
  const table = rows.slice(
    2,
    rows.findIndex((row) => row.startsWith('| folder')),
  )
  expect(table.length).toBeGreaterThan(10)
  for (const row of table) {
    const named = [
      ...row
        .split('|')
        .at(-2)!
        .matchAll(/`([^`]+)`/g),
    ].map(([, name]) => `test/${name}.test.ts`)
    expect(named, row).not.toEqual([])
    for (const file of named) expect((await readFile(join(root, file), 'utf8')).length, file).toBeGreaterThan(0)
  }
})
