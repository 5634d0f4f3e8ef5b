// The packed SDK where applications run: in runtimes that are not this one, and inside bundles. Each records against a real service.
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { generateKey, publicJwk } from '../../sdk/src/client/key.ts'
import { parseEvent } from '../../sdk/src/core/event.ts'
import { call, register, type TestService, testService } from '../anchor-service/support/service.ts'
import { ENV, installTools, makeProject, runtime } from './tools.ts'

const run = promisify(execFile)
const key = generateKey()
let tools: string | null
let project: string
let service: TestService

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'killick-outside-'))
  ;[tools, service] = await Promise.all([installTools(), testService(), makeProject(project)])
  await register(service.url, 'app', [{ jwk: publicJwk(key) }])
  await writeFile(join(project, 'package.json'), '{ "private": true, "type": "module" }')
  await writeFile(join(project, 'app.js'), APP)
}, 300_000)
afterAll(async () => {
  await service?.stop()
  await rm(project, { recursive: true, force: true })
})

/** An application: it records one event, has it accepted, and prints what it knows. */
const APP = `
import { KillickError, openAuditLog } from '@killick/sdk'
async function main() {
  const { url, key, logKey, spool, name } = JSON.parse(process.argv.at(-1))
  const audit = await openAuditLog({ url, source: 'app', key, logKey, spool })
  const locked = await openAuditLog({ url, source: 'app', key, logKey, spool }).catch((error) => error)
  const { id } = await audit.record({ action: 'app.run', actor: { type: 'app', id: name }, targets: [] })
  const { pending } = await audit.close({ strict: true })
  console.log(JSON.stringify({ id, pending, locked: locked instanceof KillickError && locked.code }))
}
main()
`

/** Runs a program that records as APP does, and looks for its event in the ledger. */
async function records(name: string, command: string, ...args: string[]): Promise<void> {
  const settings = { url: service.url, key, logKey: service.vkey, spool: join(project, 'spools', name), name }
  const { stdout, stderr } = await run(command, [...args, JSON.stringify(settings)], { cwd: project, env: ENV })
  // No warning, of something experimental or else.
  expect(stderr).toBe('')
  const { id, ...more } = JSON.parse(stdout)
  expect(more).toEqual({ pending: 0, locked: 'spool_locked' })
  const { json } = await call(service.url, `/v1/proofs/${id}`)
  expect(parseEvent(json.event)).toMatchObject({ source: 'app', id, fields: { actor: { id: name } } })
}

/** The path of a runtime, or leaves the test out; under CI it must be there. */
function found(name: Parameters<typeof runtime>[1], skip: (why: string) => never): string {
  const path = tools && runtime(tools, name)
  if (path) return path
  if (process.env.CI) throw new Error(`${name} is not among the tools of test/outside`)
  return skip(`${name} cannot be had here: npm ci of test/outside`)
}

describe('runtimes', () => {
  test('Node 22 records', async ({ skip }) => {
    await records('node22', found('node22', skip), 'app.js')
  })

  test('an older Node says so in one sentence, wherever one begins', async ({ skip }) => {
    const node = found('node18', skip)
    const says = async (...args: string[]) =>
      (await run(node, args, { cwd: project, env: ENV }).catch((it) => it)).stderr
    const command = join(project, 'node_modules/@killick/sdk/src/killick.js')
    expect(await says(command, '--help')).toMatch(/^killick needs Node 22 or later; this is Node 18\.\d+\.\d+\.\n$/)
    for (const entry of ['', '/core', '/audit']) {
      const said = await says('--input-type=module', '-e', `import '@killick/sdk${entry}'`)
      expect(said).toMatch(/\n\[?@killick\/sdk needs Node 22 or later; this is Node 18\.\d+\.\d+\. /)
      expect(said).not.toMatch(/^ +at /m)
    }
    expect(await says('--input-type=module', '-e', `import '@killick/sdk/verify'`)).toBe('')
  })
})

describe('bundles', () => {
  const formats = [
    ['esm', 'mjs'],
    ['cjs', 'cjs'],
  ] as const
  test.each(formats)('esbuild, as %s', async (format, ending) => {
    const outfile = join(project, `esbuild.${ending}`)
    await build({
      entryPoints: [join(project, 'app.js')],
      bundle: true,
      platform: 'node',
      format,
      outfile,
      minify: true,
    })
    await records(`esbuild-${format}`, process.execPath, outfile)
  })
})
