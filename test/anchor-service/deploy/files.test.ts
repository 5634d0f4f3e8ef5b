import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadConfig } from '@killick/anchor-service'
import { describe, expect, onTestFinished, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { readNames, readSettings } from '../../../scripts/lib/settings.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const read = (file: string) => readFile(join(root, 'anchor-service/deploy', file), 'utf8')
const documented = readSettings().flatMap(({ settings }) => settings.map(({ name }) => name))

/** What the image itself sets. */
const imageEnv = async () => {
  const [, pairs] = (await read('Containerfile')).match(/^ENV (.*KILLICK_DATA.*)$/m)!
  return Object.fromEntries(pairs!.split(' ').map((pair) => pair.split('=') as [string, string]))
}

/** Every variable is one that the service reads, and it accepts the values. NODE_ENV is read by libraries. */
function expectSettings({ NODE_ENV: _, ...env }: Record<string, string>): void {
  expect(documented).toEqual(expect.arrayContaining(Object.keys(env)))
  expect(loadConfig(env)).toMatchObject({ databaseUrl: expect.stringMatching(/^postgres:/) })
}

test('the manual in the comments describes every variable that the service reads, and no other', () => {
  expect(documented.toSorted()).toEqual(readNames().toSorted())
  for (const { name, says } of readSettings().flatMap(({ settings }) => settings)) expect(says, name).toMatch(/\w{3}/)
})

test('image: runs as nobody in particular, writes to its volume, and is asked for its health where it answers', async () => {
  const file = await read('Containerfile')
  const env = await imageEnv()
  expectSettings({ ...env, DATABASE_URL: 'postgres://database/killick' })
  expect(file).toMatch(/^USER 1000:1000$/m)
  expect(file).toMatch(new RegExp(`^EXPOSE ${env.PORT}$`, 'm'))
  expect(file).toMatch(new RegExp(`^VOLUME ${env.KILLICK_DATA}$`, 'm'))
})

test('what a checkout holds beside the sources, passwords and keys too, goes neither into git nor to a build', async () => {
  const secret = [
    'anchor-service/deploy/.env',
    'anchor-service/deploy/anchoring.env',
    'admin.token',
    'data/keys/log.json',
  ]
  expect(
    execFileSync('git', ['check-ignore', ...secret], { cwd: root, encoding: 'utf8' })
      .trim()
      .split('\n'),
  ).toEqual(secret)
  const [all, ...taken] = (await readFile(join(root, '.dockerignore'), 'utf8'))
    .trim()
    .split('\n')
    .filter((line) => !line.startsWith('#'))
  expect(all).toBe('*')
  const copied = (await read('Containerfile')).matchAll(/^COPY (?!--from)(.*) \S+$/gm)
  const sources = [...copied].flatMap(([, names]) => names!.split(' '))
  const packages = ['anchor-service', 'gateway']
  const each = sources.flatMap((name) => packages.map((own) => name.replace(/\$\{PACKAGE\}/, own)))
  expect(taken.toSorted()).toEqual([...new Set(each)].map((name) => `!${name}`).toSorted())
})

test('compose: the settings are real, and the service keeps its data and nothing else', async () => {
  const { services, volumes } = parse(await read('compose.yaml'))
  const service = services['anchor-service']
  const filled = Object.entries(service.environment as Record<string, string>).map(([name, value]) => {
    return [name, value.replace(/\$\{POSTGRES_PASSWORD:\?[^}]*\}/, 'secret').replace(/\$\{\w+:-([^}]*)\}/, '$1')]
  })
  const env = await imageEnv()
  expectSettings({ ...env, ...Object.fromEntries(filled) })
  const { hostname, username, pathname } = new URL(Object.fromEntries(filled).DATABASE_URL)
  expect(services[hostname].environment).toMatchObject({ POSTGRES_USER: username, POSTGRES_DB: pathname.slice(1) })
  expect(services).toHaveProperty(new URL(Object.fromEntries(filled).REDIS_URL).hostname)
  expect(service.volumes).toEqual([`keys:${env.KILLICK_DATA}`])
  expect(Object.keys(volumes)).toEqual(expect.arrayContaining(['keys', 'ledger']))
  expect(service.ports).toEqual([`127.0.0.1:8787:${env.PORT}`])
  expect(service).toMatchObject({ read_only: true, cap_drop: ['ALL'] })
})

describe('kubernetes', async () => {
  const documents = parseAllDocuments(await read('kubernetes.yaml'), { strict: true })
  const objects = documents.map((document) => document.toJS())
  const kind = (name: string) => objects.find((object) => object.kind === name)
  const pod = kind('StatefulSet').spec.template.spec
  const [container] = pod.containers

  test('parses, and every object selects the pods', () => {
    for (const { errors, warnings } of documents) expect([...errors, ...warnings]).toEqual([])
    const { labels } = kind('StatefulSet').spec.template.metadata
    const selectors = [kind('Service').spec.selector, kind('PodDisruptionBudget').spec.selector.matchLabels]
    for (const selector of [...selectors, kind('StatefulSet').spec.selector.matchLabels])
      expect(labels).toMatchObject(selector)
  })

  test('the settings are real, also those of the secret and those that are commented out', async () => {
    const text = await read('kubernetes.yaml')
    const secret = Object.fromEntries(
      [...text.matchAll(/--from-literal=(\w+)/g)].map(([, name]) => [name, 'x'.repeat(16)]),
    )
    // Else each pod makes a token of its own, which the other refuses.
    const tokens = documented.filter((name) => /^KILLICK_\w+_TOKEN$/.test(name))
    expect(Object.keys(secret)).toEqual(expect.arrayContaining(tokens))
    const later = [...text.matchAll(/^ {2}# (KILLICK_\w+):/gm)].map(([, name]) => name)
    const urls = { DATABASE_URL: 'postgres://database/killick', REDIS_URL: 'redis://queue' }
    expectSettings({ ...(await imageEnv()), ...kind('ConfigMap').data, ...secret, ...urls })
    expect(documented).toEqual(expect.arrayContaining(later))
    expect(container.envFrom[0].configMapRef.name).toBe(kind('ConfigMap').metadata.name)
    expect(container.envFrom[1].secretRef.name).toBe(text.match(/create secret generic (\S+) \\$/m)![1])
  })

  test('what is mounted is a volume, the keys are where the settings say, and the root is read-only', async () => {
    const claims = kind('StatefulSet').spec.volumeClaimTemplates
    const volumes = [...pod.volumes.map(({ name }: { name: string }) => name), claims[0].metadata.name]
    const mounts = new Map<string, string>(
      container.volumeMounts.map((mount: { name: string; mountPath: string }) => [mount.mountPath, mount.name]),
    )
    expect([...mounts.values()].toSorted()).toEqual(volumes.toSorted())
    expect(mounts.get((await imageEnv()).KILLICK_DATA!)).toBe('data')
    for (const file of ['KILLICK_LOG_KEY', 'KILLICK_SYSTEM_KEY'])
      expect(kind('ConfigMap').data[file]).toMatch(/^\/keys\/\w+\.json$/)
    expect(container.securityContext).toMatchObject({ readOnlyRootFilesystem: true, allowPrivilegeEscalation: false })
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000, fsGroup: 1000 })
    expect(String(container.ports[0].containerPort)).toBe((await imageEnv()).PORT)
  })
})

test('systemd: what the guide writes the settings with needs no folder beforehand, and names the log for ever', async () => {
  const guide = await readFile(join(root, 'docs/guides/deploy.md'), 'utf8')
  const [command] = /^.*\binstall -D .*$/m.exec(guide)!
  const folder = await mkdtemp(join(tmpdir(), 'killick-etc-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  execFileSync('bash', ['-c', command.replace('/etc/', `${folder}/`)])
  expect(await readFile(join(folder, 'killick/anchor-service.env'), 'utf8')).toBe(
    'DATABASE_URL=postgres://…\nKILLICK_ORIGIN=audit.example.com/log\n',
  )
})

test('systemd: the settings are real, and the data folder is the one that it may write', async () => {
  const unit = await read('killick-anchor-service.service')
  const lines = unit.split('\n').filter((line) => line !== '' && !/^[#[]/.test(line))
  for (const line of lines) expect(line).toMatch(/^[A-Z]\w+=/)
  const values = (name: string) =>
    lines.filter((line) => line.startsWith(`${name}=`)).map((line) => line.slice(name.length + 1))
  const env = Object.fromEntries(values('Environment').map((pair) => pair.split('=') as [string, string]))
  expectSettings({ ...env, DATABASE_URL: 'postgres://database/killick' })
  expect(env.KILLICK_DATA).toBe(`/var/lib/${values('StateDirectory')[0]}`)
  expect(values('ExecStart')[0]).toMatch(/\/killick-anchor-service serve$/)
  expect(Number(values('LimitNOFILE')[0])).toBeGreaterThan(loadConfig(env).maxConnections)
})
