// The example of each web framework, driven as its users would: success, denial, throw, a client that hangs up, and kill -9.
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { openAuditLog } from '@killick/sdk'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { installBeside } from '../../scripts/lib/install-beside.ts'
import { generateKey, publicJwk, writeKeyFile } from '../../sdk/src/client/key.ts'
import { call, register, type TestService, testService } from '../anchor-service/support/service.ts'
import { packed } from '../support/packed.ts'
import { type ChildHandle, startChild } from '../support/processes.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const examples = join(root, 'examples')
const key = generateKey()
let folder: string
let service: TestService

beforeAll(async () => {
  const cache = join(root, 'node_modules/.cache')
  await mkdir(cache, { recursive: true })
  folder = await mkdtemp(join(cache, 'frameworks-'))
  service = await testService()
  await writeKeyFile(join(folder, 'key.json'), key)
  expect((await register(service.url, 'invoices', [{ jwk: publicJwk(key) }])).status).toBe(201)
}, 60_000)

afterAll(async () => {
  await service?.stop()
  await rm(folder, { recursive: true, force: true })
})

/**
 * How each is installed and started, and what it has of its own. `refusedAs`: the action of what is refused before the handler, by what the
 * framework knows then.
 */
type App = {
  install(): void | Promise<void>
  args: string[]
  cwd?: string
  env?: Record<string, string>
  refusedAs: string
  reason?: false
}

const nest: App = {
  async install() {
    installBeside(join(examples, 'nest'))
    // As tsc would with its tsconfig.json, in a tenth of the time.
    await build({ entryPoints: [join(examples, 'nest/app.ts')], outdir: join(examples, 'nest/dist'), format: 'esm' })
  },
  args: [join(examples, 'nest/dist/app.js')],
  refusedAs: 'invoice.approve',
  // Its exceptions are not the kit's.
  reason: false,
}

const nextFolder = join(examples, 'next')
const nextCommand = join(nextFolder, 'node_modules/next/dist/bin/next')
/** Its environment holds what `start` in the example's package.json sets, and what a killick.json would say. */
const next: App = {
  async install() {
    installBeside(nextFolder)
    await placePacked(nextFolder)
    const env = { PATH: process.env.PATH, NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: 'production' }
    await promisify(execFile)(process.execPath, [nextCommand, 'build'], { cwd: nextFolder, env })
  },
  args: [nextCommand, 'start', '--hostname', '127.0.0.1'],
  cwd: nextFolder,
  env: { KILLICK_SOURCE: 'invoices', NEXT_MANUAL_SIG_HANDLE: 'true', NEXT_TELEMETRY_DISABLED: '1' },
  // By its proxy, which has no pattern.
  refusedAs: 'POST',
}

/** The SDK as it is published: bundlers take no links to TypeScript for a package to leave alone. */
async function placePacked(application: string): Promise<void> {
  const to = join(application, 'node_modules/@killick/sdk')
  await rm(to, { recursive: true, force: true })
  await cp(join((await packed()).folder, 'sdk'), to, { recursive: true })
  await mkdir(join(to, 'node_modules'))
  await symlink(join(root, 'sdk/node_modules/@noble'), join(to, 'node_modules/@noble'))
}

const APPS: Record<string, App> = {
  express: { install: () => installBeside(examples), args: [join(examples, 'express/app.js')], refusedAs: 'POST' },
  fastify: {
    install: () => installBeside(examples),
    args: [join(examples, 'fastify/app.js')],
    refusedAs: 'invoice.approve',
  },
  hono: {
    install: () => installBeside(examples),
    args: [join(examples, 'hono/app.js')],
    refusedAs: 'POST /invoices/:id/approve',
  },
  nest,
  'nest-fastify': { ...nest, env: { PLATFORM: 'fastify' } },
  next,
}

const spoolOf = (name: string) => join(folder, `${name}.spool`)

async function start(name: string): Promise<{ app: ChildHandle; url: string }> {
  const { args, cwd = folder, env: own } = APPS[name]!
  const { PATH = '' } = process.env
  const env = { PATH, KILLICK_URL: service.url, KILLICK_KEY: join(folder, 'key.json'), KILLICK_LOG_KEY: service.vkey }
  const app = await startChild(process.execPath, args, {
    cwd,
    env: { ...env, ...own, KILLICK_SPOOL: spoolOf(name), PORT: '0' },
  })
  const [, url] = await app.printed(/(?:Invoices at|Local:) +(http:\S+)/)
  return { app, url: url!.replace('localhost', '127.0.0.1') }
}

async function approve(url: string, invoice: string, user?: string): Promise<number> {
  const headers = { connection: 'close', ...(user && { 'x-user': user }) }
  const response = await fetch(`${url}/invoices/${invoice}/approve`, { method: 'POST', headers })
  await response.text()
  return response.status
}

type Event = { id: string; stream: string; fields: { [name: string]: unknown; targets: { id: string }[] } }

/** Everything of the stream in an application's spool, once the ledger has what the application left there. */
async function eventsOf(name: string): Promise<Event['fields'][]> {
  const options = { url: service.url, source: 'invoices', key, logKey: service.vkey, spool: spoolOf(name) }
  const log = await openAuditLog(options)
  await log.close({ strict: true })
  const { json } = await call(service.url, `/v1/events?source=invoices&stream=${log.status.stream}&limit=500`)
  return (json.events as Event[]).map(({ fields }) => fields).reverse()
}

describe.each(Object.keys(APPS))('%s', { timeout: 120_000 }, (name) => {
  beforeAll(() => APPS[name]!.install(), 240_000)

  test('success, denial, throw and a client that hangs up are recorded; SIGTERM leaves nothing behind', async () => {
    const { reason, refusedAs } = APPS[name]!
    const { app, url } = await start(name)
    expect(await approve(url, '2026-0042', 'zoe:clerk')).toBe(403)
    expect(await approve(url, '2026-0042', 'ada:manager')).toBe(200)
    expect(await approve(url, '2026-0043', 'ada:manager')).toBe(404)
    expect(await approve(url, '2026-0042')).toBe(401)
    await hangUp(url, `hung-${name}`)
    const exported = () => call(service.url, '/v1/events?source=invoices&action=invoice.export&limit=500')
    await expect.poll(async () => (await exported()).text).toContain(`"hung-${name}"`)
    app.process.kill('SIGTERM')
    expect((await app.exited).signal).toBe(null)
    expect(app.output()).toContain('0 events left in the spool')

    const targets = [{ type: 'invoice', id: '2026-0042' }]
    const approval = { action: 'invoice.approve', actor: { type: 'user', id: 'ada', role: 'manager' } }
    const events = await eventsOf(name)
    for (const { context } of events) expect((context as { http: object }).http).not.toHaveProperty('unknown')
    expect(events).toMatchObject([
      {
        ...approval,
        actor: { id: 'zoe' },
        targets,
        outcome: 'denied',
        ...(reason !== false && { metadata: { reason: 'only managers approve invoices' } }),
      },
      { ...approval, targets, outcome: 'success', changes: [{ path: '/state', before: 'open', after: 'approved' }] },
      { ...approval, outcome: 'failure', targets: [{ id: '2026-0043' }], context: { http: { status: 404 } } },
      { action: refusedAs, actor: { type: 'anonymous' }, outcome: 'denied', context: { http: { status: 401 } } },
      {
        action: 'invoice.export',
        actor: { id: `hung-${name}` },
        outcome: 'success',
        context: { http: { aborted: true } },
      },
    ])
  })

  test('killed in mid-request: what was answered is in the spool or the ledger', async () => {
    const before = (await eventsOf(name)).length
    const { app, url } = await start(name)
    const answered: string[] = []
    let asked = 0
    let isEnough!: () => void
    const enough = new Promise<void>((resolve) => (isEnough = resolve))
    const clients = Array.from({ length: 8 }, async () => {
      for (;;) {
        const id = `${name}-${asked++}`
        // The connection breaks off once the process is killed.
        const status = await approve(url, id, 'ada:manager').catch(() => null)
        if (status === null) return
        expect(status).toBe(404)
        if (answered.push(id) === 50) isEnough()
      }
    })
    await enough
    await app.kill9()
    await Promise.all(clients)
    const recorded = (await eventsOf(name)).slice(before).map(({ targets }) => targets[0]!.id)
    expect(recorded).toEqual(expect.arrayContaining(answered))
    expect(new Set(recorded).size).toBe(recorded.length)
  })

  if (name === 'next')
    test('a server action is recorded, whether its form is sent without scripts or with', drivesAction)
})

async function drivesAction(): Promise<void> {
  const before = (await eventsOf('next')).length
  const { app, url } = await start('next')
  const page = await fetch(url, { headers: { connection: 'close', 'x-user': 'ada:manager' } })
  const [, action] = /name="(\$ACTION_ID_\w+)"/.exec(await page.text())!
  const cancel = async (user: string) => {
    const body = new FormData()
    body.set(action!, '')
    body.set('id', '2026-0044')
    const response = await fetch(url, { method: 'POST', headers: { connection: 'close', 'x-user': user }, body })
    return { status: response.status, text: await response.text() }
  }
  expect((await cancel('zoe:clerk')).status).toBe(500)
  expect(await cancel('ada:manager')).toMatchObject({
    status: 200,
    text: expect.stringContaining('2026-0044 cancelled'),
  })
  // With scripts the request has another form: a header names the action, and React puts the arguments into the body.
  const form = new FormData()
  form.set('_1_id', '2026-0042')
  form.set('0', '["$K1"]')
  const headers = { connection: 'close', 'x-user': 'max:manager', 'next-action': action!.slice('$ACTION_ID_'.length) }
  const called = await fetch(url, { method: 'POST', headers, body: form })
  expect([called.status, called.headers.get('content-type')]).toEqual([200, 'text/x-component'])
  await called.text()
  app.process.kill('SIGTERM')
  await app.exited
  expect(app.output()).toContain('0 events left in the spool')
  const cancelled = { action: 'invoice.cancel', targets: [{ type: 'invoice', id: '2026-0044' }] }
  const reason = 'only managers cancel invoices'
  expect((await eventsOf('next')).slice(before)).toMatchObject([
    { ...cancelled, actor: { id: 'zoe' }, outcome: 'denied', metadata: { reason } },
    { ...cancelled, actor: { id: 'ada' }, outcome: 'success', context: { http: { method: 'POST' } } },
    { ...cancelled, actor: { id: 'max' }, outcome: 'success', targets: [{ id: '2026-0042' }] },
  ])
}

/** Sends a request that takes its time, and is gone. */
async function hangUp(url: string, user: string): Promise<void> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  await once(socket, 'connect')
  const request = `GET /export HTTP/1.1\r\nhost: x\r\nx-user: ${user}\r\n\r\n`
  await new Promise((resolve) => socket.write(request, resolve))
  socket.destroy()
}
