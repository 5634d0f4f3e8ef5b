// Calls that wait for a person, who decides by the link that the recorder says.
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { checkMcpConfig, makeEmitterKey, recordHttp } from '@killick/gateway'
import type { JsonObject } from '@killick/sdk/core'
import { readStep } from '@killick/sdk/words'
import { expect, onTestFinished, test, vi } from 'vitest'
import { startChild } from '../../../scripts/lib/processes.ts'
import { wordsIn } from '../sealed/support.ts'
import { begin, find, type Session, type World, world } from './support.ts'

const MAIN = fileURLToPath(new URL('../../../gateway/src/main.ts', import.meta.url))
const { key, entry } = makeEmitterKey()

const policy: JsonObject = {
  approve: ['echo'],
  rules: [
    { name: 'large', tools: ['fail'], argument: '/amount', matches: '^\\d{4,}$', effect: 'approve' },
    { name: 'never', tools: ['*'], argument: '/never', equals: true, effect: 'deny' },
  ],
}
const waits = (more: JsonObject = {}): Promise<World> =>
  world({ policy, approvals: { approvers: [{ name: 'ada@example.com', key: entry }], ...more } })

/** The links that have been said, newest last. */
const links = (said: readonly string[]) => said.flatMap((line) => line.match(/http:\S+\/approve\/[\w-]{43}$/) ?? [])
const nextLink = (said: readonly string[], count = 1) =>
  vi.waitUntil(() => (links(said).length === count ? links(said).at(-1)! : null), { timeout: 10_000 })

async function decide(link: string, verdict: string, more: { key?: string; headers?: Record<string, string> } = {}) {
  const body = new URLSearchParams({ key: more.key ?? key, verdict })
  const response = await fetch(link, { method: 'POST', body, headers: more.headers ?? {} })
  return { status: response.status, page: await response.text() }
}

/** Asks for a tool without waiting for the answer. */
const ask = (session: Session, id: number, name: string, args: object = {}) =>
  session.send({ jsonrpc: '2.0', id, method: 'tools/call', params: { name, arguments: args } })
const answerTo = (session: Session, id: number) => session.next((message) => message.id === id)
const approvals = async (it: World) => find(await it.events(), 'mcp.approval')
/** What became of the calls. */
const verdicts = async (it: World) =>
  (await approvals(it))
    .filter(({ mcp }) => mcp.verdict !== 'waits')
    .map(({ actor, outcome, mcp }) => [mcp.verdict, outcome, actor.id])

test('approved passes, denied does not, and what comes behind does not wait', async () => {
  const it = await waits()
  const session = begin(it)
  const args = { path: '<img src=x>\u202e', password: 'hunter2' }
  ask(session, 1, 'echo', args)
  const link = await nextLink(session.said)
  // A call that nobody is asked about overtakes the one that waits, and its answer is not taken for that one's, whatever their ids.
  expect((await session.call('fail', { amount: '999' })).result.isError).toBe(true)
  expect(it.seen()).toHaveLength(1)

  const page = await fetch(link)
  expect(page.headers.get('content-security-policy')).toMatch(/default-src 'none'.*form-action 'self'; frame-ancestors/)
  expect(page.headers.get('cache-control')).toBe('no-store')
  const shown = await page.text()
  expect(shown).toContain('&lt;img src=x&gt;\\u202e')
  expect(shown).not.toMatch(/hunter2|<img/)
  // Neither looking decides, nor a key that nobody has, a page of another site, or a link that was guessed.
  expect((await fetch(`${link}?verdict=approved&key=${key}`)).status).toBe(404)
  expect((await decide(link, 'approved', { key: makeEmitterKey().key })).status).toBe(403)
  expect((await decide(link, 'approved', { headers: { origin: 'https://evil.example' } })).status).toBe(403)
  expect((await decide(link, 'approved', { headers: { 'sec-fetch-site': 'cross-site' } })).status).toBe(403)
  expect((await decide(link, 'approved', { headers: { 'content-type': 'text/plain' } })).status).toBe(403)
  expect((await decide(link, 'perhaps')).status).toBe(400)
  expect((await decide(link, 'approved', { key: 'x'.repeat(5_000) })).status).toBe(400)
  expect((await decide(link.slice(0, -1) + (link.endsWith('A') ? 'B' : 'A'), 'approved')).status).toBe(404)
  expect(it.seen()).toHaveLength(1)

  // Two at once: one decides.
  const both = await Promise.all([decide(link, 'approved'), decide(link, 'approved')])
  expect(both.map(({ status }) => status).sort()).toEqual([200, 404])
  expect(JSON.parse((await answerTo(session, 1)).result.content[0].text)).toEqual(args)
  expect((await fetch(link)).status).toBe(404)

  ask(session, 2, 'fail', { amount: '1000' })
  expect((await decide(await nextLink(session.said, 2), 'denied')).page).toMatch(/Denied and recorded/)
  const denied = await answerTo(session, 2)
  expect(denied.result).toMatchObject({ isError: true, content: [{ text: expect.stringMatching(/large.*A person/) }] })
  // What is denied anyway, or comes where nobody could answer, is nothing to ask a person about.
  expect((await session.call('echo', { never: true })).result.content[0].text).toMatch(/never/)
  const call = { jsonrpc: '2.0', method: 'tools/call', params: { name: 'echo', arguments: {} } }
  session.send([
    { ...call, id: 'b' },
    { jsonrpc: '2.0', id: 'p', method: 'ping' },
  ])
  const batch = await session.next(Array.isArray)
  expect(batch[0].result.content[0].text).toMatch(/must come alone/)
  session.send(call)
  await session.end()
  expect(links(session.said)).toHaveLength(2)
  expect(it.seen()).toHaveLength(2)

  const events = await it.events()
  const intent = find(events, 'mcp.tools.call').find(({ mcp }) => mcp.requestId === 1 && mcp.rule === 'approve')
  expect(intent.mcp).toMatchObject({ kind: 'intent', waitsFor: 'approval' })
  const [waiting, approved, , refused] = await approvals(it)
  // Said while it waits, so that the console can lead there.
  expect(waiting).toMatchObject({ outcome: undefined, targets: [{ id: 'echo' }, {}, {}] })
  expect(waiting.mcp).toMatchObject({ verdict: 'waits', link, intent: approved.mcp.intent })
  expect(Date.parse(waiting.mcp.until)).toBeGreaterThan(Date.now() + 100_000)
  expect(approved).toMatchObject({
    ...{ actor: { type: 'user', id: 'ada@example.com' }, outcome: 'success', targets: [{ id: 'echo' }, {}, {}] },
    mcp: { verdict: 'approved', vouchedBy: 'key', credential: entry.slice(0, 8), rule: 'approve' },
  })
  expect(refused).toMatchObject({ outcome: 'denied', mcp: { verdict: 'denied', rule: 'large' } })
  const results = find(events, 'mcp.tools.call.result')
  const resultOf = (approval: typeof approved) => results.find(({ mcp }) => mcp.intent === approval.mcp.intent)
  expect(resultOf(approved)).toMatchObject({ outcome: 'success', mcp: { state: 'answered' } })
  expect(resultOf(refused)).toMatchObject({ outcome: 'denied', mcp: { state: 'refused', verdict: 'denied' } })
  expect(results).toHaveLength(3)
})

test('what an agent calls a tool does not read as the recorder’s own words, or as its link', async () => {
  const approvals = { approvers: [{ name: 'ada@example.com', key: entry }] }
  const it = await world({ policy: { approve: ['delete_*'] }, approvals })
  const session = begin(it)
  const name = 'delete_x waits for a person until 2031-01-01T00:00:00.000Z: https://evil.example/approve/'
  ask(session, 1, name)
  await nextLink(session.said)
  expect(session.said.find((line) => line.includes('evil.example'))).toContain(`a call of "${name}" waits`)
  await session.end()
})

test('a machine that slept past the time has not kept the call open', async () => {
  const it = await waits()
  const session = begin(it)
  ask(session, 1, 'echo')
  const link = await nextLink(session.said)
  // The clock that people read goes on meanwhile; the one of timers does not.
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 })
  onTestFinished(() => void vi.useRealTimers())
  expect((await decide(link, 'approved')).status).toBe(404)
  expect((await answerTo(session, 1)).result).toMatchObject({
    isError: true,
    content: [{ text: expect.stringMatching(/in time/) }],
  })
  await session.end()
  expect(it.seen()).toEqual([])
  expect(await verdicts(it)).toMatchObject([['timed_out', 'denied', expect.anything()]])
})

test('arguments that are too long for the record are on pages of their own, whole and without secrets', async () => {
  const it = await waits()
  const session = begin(it)
  // A character of two halves wherever a part could end.
  const args = { text: `<b>${'😀'.repeat(80_000)}\u202e`, token: 'hunter2', body: '{"pin":4711}' }
  ask(session, 1, 'echo', args)
  const link = await nextLink(session.said)
  const form = await (await fetch(link)).text()
  expect(form).toMatch(/sha256/)
  const parts: string[] = []
  let [, next] = /<a href="(\/approve\/[\w-]{43}\/1)">/.exec(form) ?? []
  for (; next !== undefined; [, next] = /<a href="(\S+)">Next part/.exec(parts.at(-1)!) ?? [])
    parts.push(await (await fetch(new URL(next, link))).text())
  expect(parts.length).toBeGreaterThan(2)
  const whole = parts.map((page) => /<pre>([\s\S]*)<\/pre>/.exec(page)![1]).join('')
  expect(whole).toBe(
    `{"text":"&lt;b&gt;${'😀'.repeat(80_000)}\\u202e","token":"[redacted:secret]","body":"{\\"pin\\":\\"[redacted:secret]\\"}"}`.replaceAll(
      '"',
      '&quot;',
    ),
  )
  expect(parts.every((page) => page.includes(`<a href="${new URL(link).pathname}">Back`))).toBe(true)
  for (const other of ['0', `${parts.length + 1}`, '1/1']) expect((await fetch(`${link}/${other}`)).status).toBe(404)
  expect((await decide(`${link}/1`, 'approved')).status).toBe(404)
  await decide(link, 'denied')
  expect((await fetch(`${link}/1`)).status).toBe(404)
  // What no event could hold exactly, such as what is nested deeper, is shown as its hash only.
  let deep: object = { text: 'x'.repeat(40_000) }
  for (let i = 0; i < 40; i++) deep = { deep }
  ask(session, 2, 'echo', deep)
  const other = await nextLink(session.said, 2)
  expect(await (await fetch(other)).text()).not.toMatch(/<a /)
  expect((await fetch(`${other}/1`)).status).toBe(404)
  await session.end()
})

test('nobody decides, the client takes the call back or leaves, or too many wait: the server sees nothing', async () => {
  const it = await waits({ timeoutMs: 1_000, waiting: 1 })
  const session = begin(it)
  ask(session, 1, 'echo')
  await nextLink(session.said)
  expect((await session.call('echo', { id: 'more' })).result.content[0].text).toMatch(/Too many calls wait/)
  expect((await answerTo(session, 1)).result.content[0].text).toMatch(/Nobody has decided/)
  ask(session, 2, 'echo')
  const link = await nextLink(session.said, 2)
  session.send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 2 } })
  await vi.waitUntil(async () => (await decide(link, 'approved')).status === 404, { timeout: 10_000 })
  ask(session, 3, 'echo')
  await nextLink(session.said, 3)
  expect(await session.end()).toBe(0)
  expect(it.seen().map((line) => JSON.parse(line).method)).toEqual(['notifications/cancelled'])
  expect((await verdicts(it)).map(([verdict]) => verdict)).toEqual(['too_many', 'timed_out', 'withdrawn', 'withdrawn'])
  const results = find(await it.events(), 'mcp.tools.call.result').map(({ mcp }) => [mcp.requestId, mcp.state])
  expect(results).toEqual(
    expect.arrayContaining([
      [1, 'refused'],
      [2, 'cancelled'],
      [3, 'refused'],
    ]),
  )
})

test('a decision that cannot be recorded lets nothing pass in strict mode, and the page never says that it was', async () => {
  const it = await waits()
  const limits = { spoolBytes: 1 << 20, spoolWaitMs: 0, discloseBytes: 90 << 10 }
  const strict = begin(it, it.command, { limits })
  ask(strict, 98, 'echo')
  const denied = await nextLink(strict.said)
  ask(strict, 99, 'echo')
  const link = await nextLink(strict.said, 2)
  const full = { text: 'x'.repeat(80 << 10) }
  let answer = await strict.call('fail', full)
  while (answer.error === undefined) answer = await strict.call('fail', full)
  // Nor has a smaller event any room.
  while ((await strict.call('fail')).error === undefined);
  const before = it.seen().length
  expect((await decide(link, 'approved')).page).toMatch(/could not be recorded/)
  expect((await answerTo(strict, 99)).error.data).toEqual({ code: 'mcp_not_recorded', reason: 'spool_full' })
  expect((await decide(denied, 'denied')).page).toMatch(/Denied, but that could not be recorded/)
  expect((await answerTo(strict, 98)).result.isError).toBe(true)
  expect(it.seen()).toHaveLength(before)
  await strict.end()

  const other = await waits()
  const observing = begin(other, other.command, { limits, mode: 'observe' })
  ask(observing, 99, 'echo')
  const open = await nextLink(observing.said)
  const lost = () => observing.said.filter((line) => line.includes('not recorded (spool_full)')).length
  while (lost() === 0) await observing.call('fail', full)
  while (lost() < 5) await observing.call('fail')
  expect((await decide(open, 'approved')).page).toMatch(/Approved, but that could not be recorded/)
  expect((await answerTo(observing, 99)).result.isError).toBeUndefined()
  await observing.end()
})

test('killed while a call waits: the server has not seen it, and the next start says that nobody knows', async () => {
  const it = await waits()
  const config = join(it.folder, 'mcp.json')
  writeFileSync(config, JSON.stringify(it.settings))
  const recorder = await startChild(process.execPath, [MAIN, 'mcp', '--config', config, '--', ...it.command], {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  recorder.process.stdin!.write(
    `${JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'echo', arguments: {} } })}\n`,
  )
  for await (const line of createInterface({ input: recorder.process.stderr! })) if (links([line]).length > 0) break
  // That it waits is on disk, too, and must not be taken for its end.
  await vi.waitUntil(() => wordsIn(it.folder, ['"waits"']).length > 0, { timeout: 20_000 })
  await recorder.kill9()
  await begin(it).end()
  const events = await it.events()
  const [intent] = events.filter(({ fields }) => fields.action === 'mcp.tools.call')
  const results = find(events, 'mcp.tools.call.result')
  expect(results.map(({ mcp }) => [mcp.state, mcp.intent])).toEqual([['unknown', intent!.id]])
  expect(find(events, 'mcp.approval').map(({ mcp }) => [mcp.verdict, mcp.intent])).toEqual([['waits', intent!.id]])
  // Nor does it show as the outcome where the session is replayed.
  const steps = events.map(readStep)
  const closing = steps.filter(({ closes }) => closes.includes(intent!.id))
  expect(closing.map(({ action }) => action)).toEqual(['mcp.tools.call.result'])
  expect(it.seen()).toEqual([])
})

test('over HTTP: the client waits for the answer, and takes its call back by leaving', async () => {
  const seen: string[] = []
  const server = createServer(async (req, res) => {
    const { id } = JSON.parse(seen[seen.push(await text(req)) - 1]!)
    res.setHeader('content-type', 'application/json')
    res.end(JSON.stringify({ jsonrpc: '2.0', id, result: { content: [] } }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close().closeAllConnections())
  const it = await waits()
  const said: string[] = []
  const http = { listen: '127.0.0.1:0', upstream: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp` }
  const recorder = await recordHttp(checkMcpConfig({ ...it.settings, http }, it.folder), (line) => said.push(line))
  onTestFinished(() => recorder.close())
  const post = (id: number, signal?: AbortSignal) =>
    fetch(recorder.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params: { name: 'echo', arguments: {} } }),
      ...(signal && { signal }),
    }).then((response) => response.json() as Promise<JsonObject>)
  const approved = post(1)
  await decide(await nextLink(said), 'approved')
  expect(await approved).toEqual({ jsonrpc: '2.0', id: 1, result: { content: [] } })
  const denied = post(2)
  await decide(await nextLink(said, 2), 'denied')
  expect((await denied).result).toMatchObject({ isError: true })
  const leave = new AbortController()
  const left = post(3, leave.signal).catch(() => 'left')
  const link = await nextLink(said, 3)
  leave.abort()
  expect(await left).toBe('left')
  await vi.waitUntil(async () => (await fetch(link)).status === 404, { timeout: 10_000 })
  expect(seen).toHaveLength(1)
  await recorder.close()
  expect((await verdicts(it)).map(([verdict]) => verdict)).toEqual(['approved', 'denied', 'withdrawn'])
  const states = find(await it.events(), 'mcp.tools.call.result').map(({ mcp }) => mcp.state)
  expect(states).toEqual(['answered', 'refused', 'cancelled'])
})
