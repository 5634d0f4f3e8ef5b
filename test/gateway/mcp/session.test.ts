import { compileRedaction, type Removal } from '@killick/sdk/kit'
import { expect, test } from 'vitest'
import { endOf } from '../../../gateway/src/mcp/methods.ts'
import { redactJsonTexts } from '../../../gateway/src/sessions/json-texts.ts'
import { actions, begin, find, told, world } from './support.ts'

test('intents before the server sees them, results after, with who and what', async () => {
  const it = await world({ context: { tenant: 'acme' }, server: 'files' })
  const session = begin(it)
  await session.initialize()
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
  const answer = await session.call('echo', { path: '/tmp/a' }, { _meta: { traceparent, progressToken: 7 } })
  expect(answer.result.content[0].text).toBe('{"path":"/tmp/a"}')
  await session.call('fail')
  await session.call('error')
  expect(await session.end()).toBe(0)
  const events = await it.events()
  expect(actions(events)).toEqual([
    ...['mcp.session.start', 'mcp.initialize', 'mcp.tools.call', 'mcp.tools.call.result', 'mcp.tools.call'],
    ...['mcp.tools.call.result', 'mcp.tools.call', 'mcp.tools.call.result', 'mcp.session.end'],
  ])
  const [start, initialize, intent, result, , failed, , error, end] = events.map(told)
  expect(start.metadata.command[0]).toBe(process.execPath)
  expect(initialize).toMatchObject({
    metadata: { client: { name: 'tester', version: '2.1' }, server: { name: 'scripted', version: '1.0.0' } },
    result: { protocolVersion: '2025-11-25', instructions: 'Call echo.' },
  })
  expect(intent).toMatchObject({
    actor: { type: 'agent', id: 'tester' },
    targets: [
      { type: 'mcp-tool', id: 'echo' },
      { type: 'mcp-server', id: 'files' },
      { type: 'session', id: start.context.session },
    ],
    context: { tenant: 'acme', agent: { name: 'tester', version: '2.1' }, protocolVersion: '2025-11-25', traceparent },
    mcp: { kind: 'intent', method: 'tools/call', requestId: 1, direction: 'client-to-server', mode: 'strict' },
    args: { path: '/tmp/a' },
  })
  expect(intent.outcome).toBeUndefined()
  expect(intent.context.session).toBe(start.context.session)
  expect(result).toMatchObject({
    outcome: 'success',
    mcp: { kind: 'outcome', state: 'answered', intent: events[2]!.id, requestId: 1 },
    result: { content: [{ type: 'text', text: '{"path":"/tmp/a"}' }] },
  })
  expect(failed).toMatchObject({ outcome: 'failure', result: { isError: true } })
  expect(error).toMatchObject({
    outcome: 'failure',
    mcp: { errorCode: -32602 },
    metadata: { error: { message: 'bad arguments' } },
  })
  expect(end.mcp).toMatchObject({ by: 'client', exitCode: 0, requests: 4, unrecorded: 0, intent: events[0]!.id })
})

test.each([
  ['tools/call', { task: { taskId: 't', status: 'working' } }, 'accepted', undefined],
  ['elicitation/create', { task: { taskId: 't', status: 'working' } }, 'accepted', undefined],
  ['tasks/result', { content: [], isError: true }, 'answered', 'failure'],
  ['tasks/result', { action: 'decline' }, 'answered', 'denied'],
  ['tasks/result', { content: [] }, 'answered', 'success'],
  ['tasks/get', { taskId: 't', status: 'working' }, 'answered', 'success'],
])('%s that is answered with %j has ended as: %s, %s', (method, result, state, outcome) => {
  expect(endOf(method, result)).toEqual({ state, ...(outcome && { outcome }) })
})

test('every byte of every line goes on untouched, in order', async () => {
  const it = await world({ mode: 'strict' })
  const session = begin(it)
  const lines = [
    '{ "id":1, "method" : "tools/call","params":{"name":"echo","arguments":{"a":1.0,"b":"\\u00e9\\/","n":12345678901234567890}},"jsonrpc":"2.0" }',
    '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}',
    '{"jsonrpc":"2.0","id":2,"method":"ping"}',
  ]
  session.send(lines.map((line) => `${line}\n`).join(''))
  await session.next(({ id }) => id === 2)
  await session.end()
  expect(it.seen()).toEqual(lines)
  // The integer cannot stand in an event as it is.
  const [intent] = find(await it.events(), 'mcp.tools.call')
  expect(intent.args).toBeUndefined()
  expect(intent.mcp.omitted.arguments).toMatchObject({ why: 'form', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) })
})

test('what is large is a hash, and what is secret is removed before it is signed', async () => {
  const redaction = [
    { name: 'iban', values: ['DE\\d{20}'] },
    { name: 'mail', paths: ['/actor/email'] },
  ]
  const it = await world({ limits: { discloseBytes: 1000 }, redaction })
  const session = begin(it, [...it.command, '--api-key', 'hunter2', 'postgres://ada:hunter3@db/x'])
  await session.call('big', { bytes: 5000 })
  await session.call('blob')
  await session.call('echo', { password: 'hunter4', note: 'to DE12345678901234567890', url: 'Bearer abcdefgh12345678' })
  // What no rule can look into stays a text, and what only looks like an event is none.
  const odd = [
    '{"actor":{"email":"a@b"}}',
    '{"a":"\\"{","a":[{}]}',
    '{"__proto__":{}}',
    '[1',
    `${'['.repeat(60)}${']'.repeat(60)}`,
  ]
  await session.call('echo', { odd })
  // What would be printed as something else goes as a whole.
  await session.call('echo', {
    odd: [
      '{"a":1,"a":2,"pin":1}',
      '{"pin":1,"n":NaN}',
      '{"a":[1,{"pin":8,"":[]},2],"a":{"b":"{"}}',
      `{"a":1,"a":${'{"b":'.repeat(30)}1${'}'.repeat(30)},"pin":1}`,
      ...['12345678901234567890', '1e400', '1e-400', '0.00e7'].map((n) => `[{"n":${n},"pin":1}]`),
      '{"":{"a":"\\":"},"pin":1.0}',
    ],
  })
  // What is in a text of a text: the server says it once more, in a third.
  await session.call('echo', { body: '{"to":[{"pin":47114711}]}' })
  await session.end()
  const events = await it.events()
  const [big, blob, echo] = find(events, 'mcp.tools.call.result')
  expect(big.result).toBeUndefined()
  expect(big.mcp.omitted.result).toMatchObject({ why: 'size', bytes: 5039 })
  expect(blob.result.content[0].data).toHaveLength(132)
  // A text that is JSON, as that of a structured result is.
  expect(echo.metadata.redactions).toEqual([
    { path: '/result/content/0/text/password', rule: 'secret' },
    { path: '/result/content/0/text/note', rule: 'iban' },
    { path: '/result/content/0/text/url', rule: 'credential' },
  ])
  expect(JSON.parse(echo.result.content[0].text).password).toBe('[redacted:secret]')
  expect(echo.mcp.message).toEqual({ bytes: expect.any(Number) })
  expect(find(events, 'mcp.tools.call')[3].args.odd).toEqual(odd)
  expect(find(events, 'mcp.tools.call')[4].args.odd).toEqual([
    ...Array.from({ length: 7 }, () => '[redacted:secret]'),
    '[{"n":0,"pin":"[redacted:secret]"}]',
    '{"":{"a":"\\":"},"pin":"[redacted:secret]"}',
  ])
  const inner = find(events, 'mcp.tools.call.result')[5]
  expect(JSON.parse(inner.result.content[0].text)).toEqual({ body: '{"to":[{"pin":"[redacted:secret]"}]}' })
  expect(inner.metadata.redactions).toEqual([{ path: '/result/content/0/text/body/to/0/pin', rule: 'secret' }])
  const secret = find(events, 'mcp.tools.call')[2]
  expect(secret.args.password).toBe('[redacted:secret]')
  expect(secret.metadata.redactions.map(({ rule }: { rule: string }) => rule)).toEqual(['secret', 'iban', 'credential'])
  expect(secret.mcp.message).toEqual({ bytes: expect.any(Number) })
  const all = JSON.stringify(events.map(told))
  expect(all).not.toMatch(/hunter[234]|DE123456|abcdefgh|47114711/)
  expect(it.seen().join()).toContain('hunter4')
})

test('a text of which another member takes the place of a very deep one stays as it is', () => {
  const removals: Removal[] = []
  const text = `{"a":${'['.repeat(50_000)}${']'.repeat(50_000)},"a":1}`
  expect(redactJsonTexts(text, ['args'], compileRedaction([{ name: 'pin', keys: ['pin'] }]), removals)).toBe(text)
  expect(removals).toEqual([])
})

test('what the server asks the client is recorded before the client sees it', async () => {
  const it = await world()
  const session = begin(it)
  await session.initialize()
  const params = { message: 'Delete all?', requestedSchema: { type: 'object' } }
  const called = session.call('ask', { method: 'elicitation/create', params })
  const asked = await session.next(({ method }) => method === 'elicitation/create')
  expect(asked).toMatchObject({ id: 's-1', params })
  session.send({ jsonrpc: '2.0', id: 's-1', result: { action: 'decline' } })
  await called
  await session.end()
  const events = await it.events()
  const [intent] = find(events, 'mcp.elicitation.create')
  expect(intent).toMatchObject({ actor: { type: 'mcp-server' }, mcp: { direction: 'server-to-client' }, args: params })
  expect(find(events, 'mcp.elicitation.create.result')[0]).toMatchObject({
    outcome: 'denied',
    result: { action: 'decline' },
  })
})

test('a cancelled call is recorded as such, and so is an answer that comes all the same', async () => {
  const it = await world()
  const session = begin(it)
  const cancel = { method: 'notifications/cancelled', params: { requestId: 'slow', reason: 'the user has left' } }
  session.send({ jsonrpc: '2.0', id: 'slow', method: 'tools/call', params: { name: 'hang' } })
  session.send({ jsonrpc: '2.0', ...cancel })
  await session.call('raw', { text: '{"jsonrpc":"2.0","id":"slow","result":{"content":[]}}\n' })
  await session.end()
  expect(it.seen()[1]).toContain('notifications/cancelled')
  const [cancelled, late] = find(await it.events(), 'mcp.tools.call.result')
  expect(cancelled).toMatchObject({ mcp: { state: 'cancelled' }, metadata: { reason: 'the user has left' } })
  expect(cancelled.outcome).toBeUndefined()
  expect(late).toMatchObject({
    outcome: 'success',
    mcp: { state: 'answered', isLate: true, intent: cancelled.mcp.intent },
  })
})

test('the stateless revision says in each request who asks', async () => {
  const it = await world({ policy: { deny: ['fail'] } })
  const session = begin(it)
  const _meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'modern', version: '3' },
    'io.modelcontextprotocol/clientCapabilities': {},
  }
  expect((await session.call('more', {}, { _meta })).result.resultType).toBe('input_required')
  expect((await session.call('fail', {}, { _meta })).result).toMatchObject({ isError: true, resultType: 'complete' })
  await session.end()
  const events = await it.events()
  const [intent, denied] = find(events, 'mcp.tools.call')
  expect(intent).toMatchObject({ actor: { id: 'modern' }, context: { protocolVersion: '2026-07-28' } })
  expect(denied.outcome).toBe('denied')
  const [result] = find(events, 'mcp.tools.call.result')
  expect(result.mcp.state).toBe('input_required')
  expect(result.outcome).toBeUndefined()
})
