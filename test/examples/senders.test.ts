// The senders of examples/collector/, one in each language of the guide, against one collector with a service behind it.
import { execFile } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type ClientRequest, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type Collector, checkCollectorConfig, makeEmitterKey, startCollector } from '@killick/gateway'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool, type TOOLS } from '../../scripts/lib/tools.ts'
import { call, register, type TestService, testService } from '../anchor-service/support/service.ts'
import { post, prepare } from '../gateway/support.ts'
import { type ChildHandle, startChild } from '../support/processes.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const example = (file: string) => join(root, 'examples/collector', file)
/** A Java machine that compiles quickly: each run here is a short one. */
const QUICK = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC']

/** Each is an emitter of its own. `command` begins what the guide says to run. */
const SENDERS = [
  { file: 'send.sh', language: 'sh', tool: 'curl', command: () => ['sh', example('send.sh')] },
  { file: 'send.py', language: 'python', tool: 'python3', command: (python) => [python, example('send.py')] },
  { file: 'send.php', language: 'php', tool: 'php', command: (php) => [php, example('send.php')] },
  // `java Send.java` compiles it at each start.
  {
    file: 'Send.java',
    language: 'java',
    tool: 'javac',
    command: (javac) => [join(dirname(javac), 'java'), ...QUICK, '-cp', folder, 'Send'],
  },
] as const satisfies {
  file: string
  language: string
  tool: keyof typeof TOOLS
  command: (program: string) => string[]
}[]
type Sender = (typeof SENDERS)[number]
const isThere = ({ tool }: Sender) => findTool(tool) !== null
const present = SENDERS.filter(isThere)

test.each(SENDERS)('the guide shows $file as it is', ({ file, language }) => {
  const guide = readFileSync(join(root, 'docs/guides/collector.md'), 'utf8')
  expect(guide).toContain(
    `\n\`\`\`${language} examples/collector/${file}\n${readFileSync(example(file), 'utf8')}\`\`\`\n`,
  )
})

const OTHERS = ['other-1', 'other-2']
const keys = new Map([...SENDERS.map(({ file }) => file), ...OTHERS].map((name) => [name, makeEmitterKey()]))
let service: TestService
let collector: Collector
let start: () => Promise<void>
let url: string
let folder: string

beforeAll(async () => {
  service = await testService()
  const prepared = await prepare(service.url, {
    // Two emitters with a request each under way are all that it takes.
    limits: { requests: 2, drainMs: 0 },
    emitters: [...keys].map(([name, { entry }]) => ({ name, keys: [entry] })),
  })
  folder = prepared.folder
  expect((await register(service.url, 'edge-1', [{ jwk: prepared.jwk }])).status).toBe(201)
  let port = 0
  start = async () => {
    collector = await startCollector(checkCollectorConfig({ ...prepared.config, listen: { port } }, folder))
    url = collector.url!
    port = Number(new URL(url).port)
  }
  await start()
  const javac = findTool('javac')
  if (javac !== null) await run(javac, [...QUICK.map((flag) => `-J${flag}`), '-d', folder, example('Send.java')])
})
afterAll(async () => {
  await collector?.close()
  await service?.stop()
  rmSync(folder, { recursive: true, force: true })
})

const NAME = 'run 17, #42'

function sender(who: Sender, amount: number, name: string, at = url): Promise<ChildHandle> {
  const event = join(folder, `${who.file}.json`)
  const fields = { action: 'salary.pay', actor: { type: 'user', id: 'zoë' }, metadata: { amount } }
  writeFileSync(event, JSON.stringify(fields))
  const [program, ...args] = who.command(findTool(who.tool)!)
  const { PATH } = process.env
  return startChild(program!, [...args, event, name], {
    env: { PATH, COLLECTOR_URL: at, COLLECTOR_KEY: keys.get(who.file)!.key },
  })
}

/** What a sender that succeeds prints last: the answer. */
async function answerOf(child: ChildHandle): Promise<{ id: string; state: string }> {
  expect({ ...(await child.exited), output: child.output() }).toMatchObject({ code: 0 })
  return JSON.parse(child.output().trim().split('\n').at(-1)!)
}

/** The events in the ledger that a sender handed in by this name, once the ledger has all. */
async function inLedger({ file }: Sender, name: string) {
  await expect.poll(() => collector.log.status.pending).toBe(0)
  const { json } = await call(service.url, '/v1/events?source=edge-1&limit=500')
  const events = json.events as { id: string; fields: { collected: { emitter: string; id: string } } }[]
  return events.filter(({ fields: { collected } }) => collected.emitter === file && collected.id === name)
}

for (const who of SENDERS)
  describe.skipIf(!isThere(who))(who.file, () => {
    test('is answered, gets the same answer for the same, and is told that changed content is refused', async () => {
      const answer = await answerOf(await sender(who, 1, NAME))
      expect(answer).toMatchObject({ state: 'durable' })
      expect(await answerOf(await sender(who, 1, NAME))).toEqual(answer)
      const changed = await sender(who, 2, NAME)
      expect((await changed.exited).code).toBe(1)
      expect(changed.output()).toContain('sender_id_reused')
      expect(changed.output()).not.toMatch(RETRYING)
      expect(await inLedger(who, NAME)).toMatchObject([
        { id: answer.id, fields: { actor: { type: 'user', id: 'zoë' }, metadata: { amount: 1 } } },
      ])
    })
  })

/** What each says before it waits; curl has words of its own. */
const RETRYING = /again in \d+ s|Will retry in \d+ seconds/

const someTest = test.skipIf(present.length === 0)

someTest('where nobody listens, each sends the same again until the collector is back', async () => {
  await collector.close()
  const children = await Promise.all(present.map((who) => sender(who, 1, 'down')))
  await Promise.all(children.map((child) => child.printed(RETRYING)))
  await start()
  for (const [i, who] of present.entries()) {
    const { id } = await answerOf(children[i]!)
    expect(await inLedger(who, 'down')).toMatchObject([{ id }])
  }
})

someTest('where the collector has no room, each waits as it was told, and sends the same again', async () => {
  const held = OTHERS.map((name) => hold(keys.get(name)!.key))
  const knock = () => post(`${url}/v1/events`, '', { authorization: `Bearer ${keys.get(present[0]!.file)!.key}` })
  await expect.poll(async () => (await knock()).status).toBe(429)
  const before = await busyAnswers()
  const begun = performance.now()
  const children = await Promise.all(present.map((who) => sender(who, 1, 'busy')))
  await Promise.all(children.map((child) => child.printed(RETRYING)))
  for (const each of held) each.destroy()
  const answers = await Promise.all(children.map(answerOf))
  const seconds = (performance.now() - begun) / 1000
  const after = await busyAnswers()
  for (const [i, who] of present.entries()) {
    expect(await inLedger(who, 'busy')).toMatchObject([{ id: answers[i]!.id }])
    // Retry-After is a second.
    const refused = after(who.file) - before(who.file)
    expect(refused).toBeGreaterThanOrEqual(1)
    expect(refused).toBeLessThanOrEqual(1 + seconds)
  }
})

someTest('a page to which an answer leads has recorded nothing, and none takes it for the collector', async () => {
  const elsewhere = createServer((asked, answer) => {
    if (asked.url === '/v1/events') answer.writeHead(302, { location: '/login' }).end('Moved')
    else answer.end('Please log in.')
  }).listen(0, '127.0.0.1')
  try {
    await new Promise((resolve) => elsewhere.once('listening', resolve))
    const at = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}`
    const children = await Promise.all(present.map((who) => sender(who, 1, 'elsewhere', at)))
    for (const child of children) {
      expect((await child.exited).code).toBe(1)
      expect(child.output()).not.toContain('log in')
    }
  } finally {
    elsewhere.closeAllConnections()
    elsewhere.close()
  }
})

/** A request whose body does not come to its end. */
function hold(key: string): ClientRequest {
  const begun = request(`${url}/v1/events`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'content-length': 100 },
  })
  begun.on('error', () => {}) // It is ended by us.
  begun.write('{')
  return begun
}

/** How often the collector told an emitter that there is no room. */
async function busyAnswers(): Promise<(emitter: string) => number> {
  const page = await (await fetch(`${url}/metrics`)).text()
  return (emitter) =>
    [...page.matchAll(/^killick_collector_refusals_total\{(.*)\} (\d+)$/gm)]
      .filter(([, labels]) => labels!.includes('code="emitter_busy"') && labels!.includes(`emitter="${emitter}"`))
      .reduce((sum, [, , count]) => sum + Number(count), 0)
}
