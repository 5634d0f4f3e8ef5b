import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { checkMcpConfig, recordStdio } from '@killick/gateway'
import { expect, test, vi } from 'vitest'
import { startChild } from '../../../scripts/lib/processes.ts'
import { actions, begin, find, told, world } from './support.ts'

const MAIN = fileURLToPath(new URL('../../../gateway/src/main.ts', import.meta.url))
const call = (id: number, name: string, args: object = {}) =>
  `${JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params: { name, arguments: args } })}\n`

test('the server dies: what it has not answered is unknown, and its exit code is passed on', async () => {
  const it = await world()
  const session = begin(it)
  session.send(call(1, 'hang') + call(2, 'exit', { code: 3 }))
  expect(await session.ended).toBe(3)
  const events = await it.events()
  const results = find(events, 'mcp.tools.call.result')
  expect(results.map(({ mcp, outcome }) => [mcp.state, outcome])).toEqual([
    ['unknown', undefined],
    ['unknown', undefined],
  ])
  expect(results.map(({ mcp }) => mcp.intent)).toEqual([events[1]!.id, events[2]!.id])
  expect(told(events.at(-1)!).mcp).toMatchObject({ by: 'server', exitCode: 3, signal: null })
  const killed = begin(it)
  killed.send(call(1, 'die'))
  expect(await killed.ended).toBe(137)
  expect(told((await it.events()).at(-1)!).mcp).toMatchObject({ by: 'server', exitCode: null, signal: 'SIGKILL' })
})

test('killed between intent and outcome: the server ends, and the next start says that nobody knows', async () => {
  const it = await world()
  const config = join(it.folder, 'mcp.json')
  writeFileSync(config, JSON.stringify(it.settings))
  const recorder = await startChild(process.execPath, [MAIN, 'mcp', '--config', config, '--', ...it.command], {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  recorder.process.stdin!.write(call(1, 'echo') + call(2, 'hang'))
  await vi.waitFor(() => expect(it.seen()).toHaveLength(2), 20_000)
  const file = join(it.folder, 'spool-state/open.ndjson')
  await vi.waitFor(() => expect(readFileSync(file, 'utf8')).toContain('"hang"'), 20_000)
  await recorder.kill9()
  await vi.waitFor(() => expect(existsSync(join(it.folder, 'seen.ended'))).toBe(true), 20_000)
  // What a power cut takes of the file of open requests, the spool has. Here it takes the intent that hangs, and that the other one has
  // ended.
  const echo = (await it.events()).find(({ fields }) => JSON.stringify(fields).includes('"echo"'))!
  const { action, actor, targets, context } = told(echo)
  const echoLine = JSON.stringify({ begun: { event: echo.id, action, session: context.session, actor, targets } })
  const [startLine] = readFileSync(file, 'utf8').split('\n')
  expect(startLine).toContain('mcp.session.start')
  writeFileSync(file, `${startLine}\n${echoLine}\n{"begun":{"ev`)
  const session = begin(it)
  await session.call('echo')
  await session.end()
  const events = await it.events()
  const hung = events.find(({ fields }) => JSON.stringify(fields).includes('"hang"'))!
  const lost = find(events, 'mcp.session.end')[0]
  expect(lost).toMatchObject({ mcp: { state: 'unknown', why: 'recorder_was_killed', intent: events[0]!.id } })
  const unknown = find(events, 'mcp.tools.call.result').find(({ mcp }) => mcp.state === 'unknown')
  expect(unknown).toMatchObject({
    targets: [{ id: 'hang' }, {}, { type: 'session' }],
    mcp: { intent: hung.id },
    context: { session: told(hung).context.session },
  })
  expect(unknown.outcome).toBeUndefined()
  expect(session.said.join()).toMatch(/2 requests or sessions of an earlier process/)
  // Said once.
  await begin(it).end()
  expect(find(await it.events(), 'mcp.tools.call.result')).toHaveLength(3)
})

test('several are killed, and one starts: of the others’ intents too it says that nobody knows, and their streams end', async () => {
  const it = await world({ spool: 'mcp-{worker}' })
  const config = join(it.folder, 'mcp.json')
  writeFileSync(config, JSON.stringify(it.settings))
  const recorders = []
  for (let i = 0; i < 3; i++) {
    const args = [MAIN, 'mcp', '--config', config, '--', ...it.command]
    recorders.push(await startChild(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'] }))
    recorders[i]!.process.stdin!.write(call(1, 'hang'))
    await vi.waitFor(() => expect(it.seen()).toHaveLength(i + 1), 20_000)
  }
  const ended = () => readFileSync(join(it.folder, 'seen.ended'), 'utf8')
  for (const [i, recorder] of recorders.entries()) {
    await recorder.kill9()
    await vi.waitFor(() => expect(ended()).toHaveLength(i + 1), 20_000)
  }
  const session = begin(it)
  await session.call('echo')
  await session.end()
  expect(session.said.filter((line) => /have no outcome/.test(line))).toHaveLength(3)
  for (const place of [0, 1, 2]) {
    const events = await it.events(`mcp-${place}`)
    const hung = events.find(({ fields }) => JSON.stringify(fields).includes('"hang"'))!
    const unknown = find(events, 'mcp.tools.call.result').filter(({ mcp }) => mcp.state === 'unknown')
    expect(unknown.map(({ mcp }) => mcp.intent)).toEqual([hung.id])
    expect(actions(events).at(-1)).toBe('stream.close')
  }
  // Said once.
  await begin(it).end()
  expect(find(await it.events('mcp-2'), 'mcp.tools.call.result')).toHaveLength(1)
})

test('strict: no room in the spool, so the server sees nothing more; observe: it goes on, and that is counted', async () => {
  const it = await world({ limits: { spoolBytes: 1 << 20, spoolWaitMs: 0, discloseBytes: 90 << 10 } })
  const session = begin(it)
  const text = 'x'.repeat(80 << 10)
  let [answer, passed] = [await session.call('fail', { text }), 0]
  for (; answer.error === undefined; passed++) answer = await session.call('fail', { text })
  expect(answer.error).toMatchObject({ code: -31001, data: { code: 'mcp_not_recorded', reason: 'spool_full' } })
  expect(it.seen()).toHaveLength(passed)
  session.send({ jsonrpc: '2.0', id: 'p', method: 'ping' })
  await session.next(({ id }) => id === 'p')
  await session.end()
  expect(session.said.join()).toMatch(/not recorded \(spool_full\), mcp\.tools\.call:/)
  // Not even the session can begin, and the server is not started.
  const next = begin(it)
  await expect(next.ended).rejects.toMatchObject({ code: 'spool_full' })
  expect(it.seen()).toHaveLength(passed + 1)

  const observing = begin(it, it.command, { mode: 'observe' })
  expect((await observing.call('echo', { a: 1 })).result.content[0].text).toBe('{"a":1}')
  await observing.end()
  expect(observing.said.at(-2)).toMatch(/4 events were not recorded in this session/)
})

test('strict: of a batch that could not be recorded, the server has seen no answer and no cancellation', async () => {
  // A call that does not say whose it is cannot be sealed, so it cannot be recorded.
  const subject = { type: 'user', id: '/arguments/user' }
  const it = await world({ sealed: { fields: ['arguments'], keys: { folder: 'keys' }, subject } })
  const session = begin(it)
  const params = { user: 'ada', message: 'Well?' }
  session.send(call(1, 'ask', { method: 'elicitation/create', params, user: 'ada' }))
  const asked = await session.next(({ method }) => method === 'elicitation/create')
  const given = { jsonrpc: '2.0', id: asked.id, result: { action: 'accept' } }
  const cancelled = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } }
  session.send(`[${JSON.stringify(given)},${JSON.stringify(cancelled)},${call(2, 'echo', { a: 1 }).trim()}]\n`)
  const [refused] = await session.next(Array.isArray)
  expect(refused).toMatchObject({ id: 2, error: { data: { code: 'mcp_not_recorded', reason: 'subject_missing' } } })
  session.send({ ...given, result: { action: 'decline' } })
  expect(await session.next(({ id }) => id === 1)).toMatchObject({ result: { content: [{}] } })
  await session.end()
  const events = await it.events()
  expect(find(events, 'mcp.elicitation.create.result').map(({ result }) => result)).toEqual([{ action: 'decline' }])
  expect(find(events, 'mcp.tools.call.result').map(({ mcp }) => [mcp.requestId, mcp.state])).toEqual([[1, 'answered']])
  expect(find(events, 'mcp.answer.unmatched')).toEqual([])
})

test('a server that does not end by itself is ended, and a signal ends both at once', async () => {
  const it = await world({ limits: { graceMs: 50 } })
  const stubborn = begin(it, ['sh', '-c', 'trap "" TERM; echo trapped; exec 0<&-; while :; do sleep 0.05; done'])
  expect(await stubborn.next()).toBe('trapped')
  expect(await stubborn.end()).toBe(137)
  const session = begin(it)
  await session.call('echo')
  session.stop('SIGTERM')
  expect(await session.ended).toBe(143)
  const ends = find(await it.events(), 'mcp.session.end').map(({ mcp }) => [mcp.by, mcp.signal])
  expect(ends).toEqual([
    ['client', 'SIGKILL'],
    ['signal', 'SIGTERM'],
  ])
})

test('a client that has stopped reading does not keep the recorder once its server has ended', async () => {
  const it = await world({ limits: { graceMs: 50 } })
  const [stdin, stdout] = [new PassThrough(), new PassThrough()]
  const flood = ['sh', '-c', 'yes "{}" & exec cat >/dev/null']
  const ends = { stdin, stdout, say: () => {}, stop: new AbortController().signal }
  const ended = recordStdio(checkMcpConfig(it.settings, it.folder), flood, ends)
  await vi.waitUntil(() => stdout.writableNeedDrain, 20_000)
  stdin.end()
  expect(await ended).toBe(0)
  expect(find(await it.events(), 'mcp.session.end')[0].mcp).toMatchObject({ by: 'client', exitCode: 0 })
})

test('a server that cannot be started is a session that has ended', async () => {
  const it = await world()
  await expect(begin(it, ['no-such-program-here']).ended).rejects.toMatchObject({ code: 'gateway_start_failed' })
  expect(actions(await it.events())).toEqual(['mcp.session.start', 'mcp.session.end'])
})
