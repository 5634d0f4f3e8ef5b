// The packed SDK where applications run: in runtimes that are not this one, and inside bundles. Each records against a real service.
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { generateKey, publicJwk } from '../../sdk/src/client/key.ts'
import { parseEvent } from '../../sdk/src/core/event.ts'
import { call, register, type TestService, testService } from '../anchor-service/support/service.ts'
import { ENV, installTools, makeProject, ROOT, runtime } from './tools.ts'

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
  await writeFile(join(project, 'app.cjs'), REQUIRED)
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

/** The same in CommonJS: a bundler takes all of the SDK then, and not only what is used. */
const REQUIRED = APP.replace(/import (.*) from (.*)/, 'const $1 = require($2)')

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

describe('runtimes', { timeout: 120_000 }, () => {
  test('Node 22 records', async ({ skip }) => {
    await records('node22', found('node22', skip), 'app.js')
  })

  test('Node 22 and this Node require() it', async ({ skip }) => {
    await Promise.all([
      records('require', process.execPath, 'app.cjs'),
      records('require22', found('node22', skip), 'app.cjs'),
    ])
  })

  test('Deno records', async ({ skip }) => {
    await records('deno', found('deno', skip), 'run', '--allow-all', 'app.js')
  })

  test('Bun records', async ({ skip }) => {
    await records('bun', found('bun', skip), 'app.js')
  })

  test.for(['deno', 'bun'] as const)(
    'on %s a thread answers and ends, and nothing is said of it',
    async (name, { skip }) => {
      const from = `from './node_modules/@killick/sdk/src/node/thread.js'`
      await writeFile(join(project, 'asking.js'), `import { keepThread } ${from}\n${ASKING}`)
      await writeFile(join(project, 'answering.js'), `import { answerQuestions } ${from}\n${ANSWERING}`)
      const args = name === 'deno' ? ['run', '--allow-all', 'asking.js'] : ['asking.js']
      const said = await run(found(name, skip), args, { cwd: project, env: ENV })
      expect(said).toEqual({ stdout: '42\n', stderr: '' })
    },
  )

  test.for(['deno', 'bun'] as const)(
    'on %s nobody else may write to the .gitignore of init',
    async (name, { skip }) => {
      const path = found(name, skip)
      const folder = await mkdtemp(join(project, 'ignoring-'))
      await writeFile(join(project, 'ignoring.js'), IGNORING)
      await run(path, [...(name === 'deno' ? ['run', '--allow-all'] : []), 'ignoring.js', folder], {
        cwd: project,
        env: ENV,
      })
      expect((await stat(join(folder, '.gitignore'))).mode & 0o002).toBe(0)
    },
  )

  test.for(['deno', 'bun'] as const)('on %s killick run refuses, and runs nothing', async (name, { skip }) => {
    const args = ['node_modules/@killick/sdk/src/killick.js', 'run', '--', 'echo', 'ran']
    const options = { cwd: project, env: ENV, timeout: 20_000, killSignal: 'SIGKILL' } as const
    const how = name === 'deno' ? ['run', '--allow-all'] : []
    const said = await run(found(name, skip), [...how, ...args], options).catch((failed) => failed)
    expect(said).toMatchObject({ code: 125, stdout: '', stderr: expect.stringContaining('takes Node') })
  })

  test('an older Node says so in one sentence, wherever one begins', async ({ skip }) => {
    const node = found('node18', skip)
    const says = async (...args: string[]) =>
      (await run(node, args, { cwd: project, env: ENV }).catch((it) => it)).stderr
    const command = join(project, 'node_modules/@killick/sdk/src/killick.js')
    expect(await says(command, '--help')).toMatch(/^killick needs Node 22 or later; this is Node 18\.\d+\.\d+\.\n$/)
    for (const entry of ['', '/core', '/audit', '/actions', '/testing']) {
      const said = await says('--input-type=module', '-e', `import '@killick/sdk${entry}'`)
      expect(said).toMatch(/\n\[?@killick\/sdk needs Node 22 or later; this is Node 18\.\d+\.\d+\. /)
      expect(said).not.toMatch(/^ +at /m)
    }
    expect(await says('--input-type=module', '-e', `import '@killick/sdk/verify'`)).toBe('')
  })
})

/** A program that has a thread answer, and ends it. */
const ASKING = `
const thread = keepThread(new URL('./answering.js', import.meta.url), { data: null })
console.log(await thread.ask(6))
await thread.end()
`
const ANSWERING = 'answerQuestions(async (n) => ({ answer: n * 7 }), async () => {})'

const IGNORING = `
import { ignoreFiles } from './node_modules/@killick/sdk/src/cli/init-files.js'
const folder = process.argv.at(-1)
ignoreFiles(folder, [folder + '/app.key.json'])
`

/** What a test of an application does with jest's expect, which is given as an argument. */
const JEST = `
import { openTestLog } from '@killick/sdk/testing'
const { expect } = await import(process.argv.at(-1))
globalThis.expect = expect
await import('@killick/sdk/testing/jest')
const log = await openTestLog()
await log.record({ action: 'invoice.refund', actor: { type: 'user', id: 'ada' }, metadata: { amount: 12 } })
expect(log).toHaveRecorded({ action: 'invoice.refund', metadata: { amount: expect.any(Number) } })
expect(log).not.toHaveRecorded({ action: 'invoice.refund', metadata: { amount: expect.any(String) } })
expect(log).toHaveRecordedNothingElse()
try {
  expect(log).toHaveRecorded({ action: 'invoice.void' })
} catch (error) {
  console.log(error.message)
}
`

test('the matchers of the packed SDK are taken by jest’s expect', { timeout: 120_000 }, async ({ skip }) => {
  if (tools === null) return skip('expect cannot be had here: npm ci of test/outside')
  await writeFile(join(project, 'jest.js'), JEST)
  const expectJs = createRequire(join(tools, 'package.json')).resolve('expect')
  const { stdout } = await run(process.execPath, ['jest.js', expectJs], { cwd: project, env: ENV })
  expect(stdout).toMatch(/^No event like this was recorded:\n {2}\{ action: 'invoice.void' \}\n/)
})

describe('bundles', { timeout: 120_000 }, () => {
  const formats = [
    ['esm', 'mjs'],
    ['cjs', 'cjs'],
  ] as const
  const entry = () => join(project, 'app.js')

  test.each(formats)('esbuild, as %s', async (format, ending) => {
    const outfile = join(project, `esbuild.${ending}`)
    await build({ entryPoints: [entry()], bundle: true, platform: 'node', format, outfile, minify: true })
    await records(`esbuild-${format}`, process.execPath, outfile)
  })

  test('esbuild, of what require()s it', async () => {
    const outfile = join(project, 'esbuild-required.cjs')
    const entryPoints = [join(project, 'app.cjs')]
    await build({ entryPoints, bundle: true, platform: 'node', format: 'cjs', outfile, minify: true })
    await records('esbuild-required', process.execPath, outfile)
  })

  test.each(formats)('Vite for SSR, as %s', async (format, ending) => {
    const { build } = await import('vite')
    await build({
      ...{ root: project, configFile: false, logLevel: 'warn', ssr: { noExternal: true } },
      build: {
        ...{ ssr: entry(), outDir: `vite-${format}`, emptyOutDir: true },
        rollupOptions: { output: { format, entryFileNames: `app.${ending}` } },
      },
    })
    await records(`vite-${format}`, process.execPath, join(project, `vite-${format}`, `app.${ending}`))
  })

  test.each([...formats.map((format) => [...format, 'app.js'] as const), ['cjs', 'cjs', 'app.cjs'] as const])(
    'webpack, as %s: %s of %s',
    async (format, ending, app) => {
      const webpack = createRequire(join(tools!, 'package.json'))('webpack')
      const filename = `webpack-${app}.${ending}`
      const stats = await promisify(webpack)({
        ...{ mode: 'production', target: 'node22', entry: join(project, app), context: project },
        output: { path: project, filename, ...(format === 'esm' && { module: true, chunkFormat: 'module' }) },
        // Making it small takes ten times as long as making it.
        optimization: { minimize: false },
        experiments: { outputModule: format === 'esm' },
      })
      expect(stats.toJson({ all: false, errors: true, warnings: true })).toMatchObject({ errors: [], warnings: [] })
      await records(`webpack-${format}-${app}`, process.execPath, join(project, filename))
    },
  )

  test.each(formats)('rollup, as %s', async (format, ending) => {
    const from = createRequire(join(tools!, 'package.json'))
    const { rollup } = from('rollup')
    const plugins = [
      from('@rollup/plugin-node-resolve').default({ exportConditions: ['node'] }),
      from('@rollup/plugin-commonjs').default(),
    ]
    const warnings: string[] = []
    const bundle = await rollup({
      ...{ input: entry(), plugins, external: /^node:/ },
      onwarn: ({ message }: { message: string }) => warnings.push(message),
    })
    const file = join(project, `rollup.${ending}`)
    await bundle.write({ file, format })
    expect(warnings).toEqual([])
    await records(`rollup-${format}`, process.execPath, file)
  })
})

describe('types', { timeout: 120_000 }, () => {
  const compilers: { name: string; resolutions: string[] }[] = [
    { name: 'typescript54', resolutions: ['node16'] },
    { name: 'typescript6', resolutions: ['bundler'] },
    { name: 'typescript', resolutions: ['node16', 'nodenext', 'bundler'] },
  ]

  /** A processor that is written in its place, where BullMQ's types say what a job is. */
  const JOBS = `
import { restoreContext } from '@killick/sdk/bullmq'
type Worker = (name: string, processor?: string | null | ((job: { id?: string }, token?: string) => Promise<unknown>)) => void
export const startWorker = (worker: Worker) => worker('mails', restoreContext(async (job) => job.id))
`

  /** All that must compile and must not, and every entry. */
  async function writeUses(): Promise<void> {
    const uses = await readFile(join(ROOT, 'test/sdk/client/field-types.ts'), 'utf8')
    const names = ['core', 'verify', 'words', 'audit', 'kit', 'node-http', 'express', 'fastify', 'hono', 'nest', 'next']
    const entries = names.map((it) => `export * as ${it.replace('-', '_')} from '@killick/sdk/${it}'\n`)
    const text = uses.replace(/'[^']*index\.ts'/, "'@killick/sdk'") + entries.join('') + JOBS
    // As an ES module, as CommonJS, and as what a bundler reads.
    for (const ending of ['mts', 'cts', 'ts']) await writeFile(join(project, `use.${ending}`), text)
  }

  test.each(compilers)(
    '$name, strict and with the declarations checked: $resolutions',
    async ({ name, resolutions }) => {
      await writeUses()
      const isOwn = name === 'typescript'
      const compiler = join(isOwn ? ROOT : tools!, 'node_modules', name, isOwn ? 'bin/tsc' : 'lib/tsc.js')
      const strict = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--skipLibCheck', 'false']
      // The compiler's own declarations are left out.
      strict.push('--lib', 'es2022', '--skipDefaultLibCheck')
      const node = ['--target', 'es2022', '--types', 'node', '--typeRoots', join(ROOT, 'node_modules/@types')]
      for (const resolution of resolutions) {
        const isBundler = resolution === 'bundler'
        const how = ['--moduleResolution', resolution, '--module', isBundler ? 'esnext' : resolution]
        const args = [compiler, ...strict, ...node, ...how, ...(isBundler ? ['use.ts'] : ['use.mts', 'use.cts'])]
        const { stdout } = await run(process.execPath, args, { cwd: project, env: ENV }).catch((failed) => failed)
        expect(stdout, resolution).toBe('')
      }
    },
  )
})
