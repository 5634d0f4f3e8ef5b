import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { call, register, type TestService, testService } from './anchor-service/support/service.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const killick = join(root, 'sdk/src/cli/main.ts')
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

test('the example of the README records an event, and its commands prove it', async () => {
  const example = /```ts\n([\s\S]*?)```/.exec(readme)![1]!
  expect(example.trim().split('\n').length).toBeLessThanOrEqual(16)
  await run(process.execPath, [killick, 'keygen', '--out', 'billing-api.key.json'], { cwd: folder })
  const jwk = JSON.parse(await readFile(join(folder, 'billing-api.pub.json'), 'utf8'))
  expect((await register(service.url, 'billing-api', [{ jwk }])).status).toBe(201)

  await writeFile(
    join(folder, 'example.mjs'),
    `${example
      .replace('http://127.0.0.1:8787', service.url)
      .replace(/ledger\.example\.com\+[^']+/, service.vkey)}console.log(id, pending)\n`,
  )
  const { stdout } = await run(process.execPath, ['example.mjs'], { cwd: folder })
  const [id = '', pending] = stdout.trim().split(' ')
  expect(pending).toBe('0')
  const found = await call(service.url, '/v1/events?action=invoice.approve&target=2026-0042')
  expect(found.json.events.map((event: { id: string }) => event.id)).toEqual([id])

  const env = { ...process.env, KILLICK_URL: service.url, KILLICK_TOKEN: service.tokens.reader }
  await run(process.execPath, [killick, 'proof', id, '--out', 'proof.json'], { cwd: folder, env })
  // Nothing is anchored or pinned here, so the verdict must stay open: 3, as the README says.
  const verdict = run(process.execPath, [killick, 'verify', 'proof.json'], { cwd: folder })
  await expect(verdict).rejects.toMatchObject({ code: 3, stdout: expect.stringContaining('not anchored yet') })
})

test('everything that the README points to exists', async () => {
  const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  for (const [, script] of readme.matchAll(/^npm (?:run )?([a-z]+)/gm)) expect(scripts).toHaveProperty(script!)
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
