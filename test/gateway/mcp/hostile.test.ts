import { expect, test } from 'vitest'
import { actions, begin, find, type Told, told, world } from './support.ts'

const line = (message: object) => `${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`
const callOf = (id: unknown, name: string, args: object = {}) => ({
  id,
  method: 'tools/call',
  params: { name, arguments: args },
})

test('lines that could hide a call are refused, and the server never sees them', async () => {
  const it = await world()
  const session = begin(it)
  const lines = [
    'no json\n',
    '17\n',
    '[]\n',
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","result":{}}\n',
    '{"jsonrpc":"2.0","id":1,"method":7}\n',
    '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"a","name":"b"}}\n',
    '{"jsonrpc":"2.0","id":2,"m\\u0065thod":"tools/call","method":"ping"}\n',
    '{"jsonrpc":"2.0","id":2,"method":"ping","Method":"tools/call"}\n',
    '{"jsonrpc":"2.0","id":2,"method":"ping","params":{"x":\r{"jsonrpc":"2.0","id":9,"method":"tools/call"}\r}}\n',
    '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"a"},"paramſ":{"name":"b"}}\n',
    '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"a","argumentſ":{"path":"/"}}}\n',
    Buffer.from('7b22c3287d0a', 'hex'),
  ]
  for (const each of lines) session.send(each as string)
  const answers: Told[] = []
  for (const _ of lines) answers.push(await session.next())
  expect(answers.map(({ id }) => id)).toEqual([null, null, null, null, null, 2, 2, 2, 2, 2, 2, null])
  for (const { error } of answers) expect(error).toMatchObject({ code: -32700, data: { code: 'mcp_message_invalid' } })
  await session.call('echo')
  await session.end()
  expect(it.seen()).toHaveLength(1)
  const invalid = find(await it.events(), 'mcp.message.invalid')
  expect(invalid).toHaveLength(lines.length)
  expect(invalid[5].mcp).toMatchObject({ why: 'The line names a member twice.', isPassed: false })
})

test('what a server writes goes on whatever it is, and what is odd is recorded', async () => {
  const it = await world()
  const session = begin(it)
  const odd =
    'Listening…\n{"jsonrpc":"2.0","id":"nobody","result":{}}\n{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"?"}}\n'
  await session.call('raw', { text: odd })
  await session.end()
  expect(session.output().toString()).toBe(`${odd}${line({ jsonrpc: '2.0', id: 1, result: { content: [] } })}`)
  const events = await it.events()
  expect(find(events, 'mcp.message.invalid')[0].mcp).toMatchObject({ why: 'The line is not JSON.', isPassed: true })
  expect(find(events, 'mcp.answer.unmatched').map(({ mcp }) => mcp.requestId)).toEqual(['nobody', null])
})

test('batches, ids used twice, notifications that call, and nesting', async () => {
  const it = await world({ policy: { deny: ['fail'] } })
  const session = begin(it)
  const batch = [callOf(1, 'echo'), callOf(2, 'echo', { n: 2 }), { method: 'notifications/progress' }]
  session.send(`${JSON.stringify(batch)}\n`)
  await session.next(({ id }) => id === 2)
  session.send(`${JSON.stringify([callOf(3, 'echo'), callOf(4, 'fail')])}\n`)
  const refused = await session.next(Array.isArray)
  expect(refused.map((each: Told) => [each.id, each.error?.code ?? each.result.isError])).toEqual([
    [3, -31003],
    [4, true],
  ])
  session.send(line(callOf(5, 'hang')) + line(callOf(5, 'echo')))
  await session.next(({ id }) => id === 5)
  session.send(
    line({ method: 'tools/call', params: { name: 'fail' } }) + line({ method: 'tools/call', params: { name: 'hang' } }),
  )
  const deep = `{"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":"blob","arguments":{"a":${'['.repeat(10_000)}${']'.repeat(10_000)}}}}`
  session.send(`${deep}\n`)
  await session.next(({ id }) => id === 6)
  await session.end()
  expect(it.seen().map((each) => each.slice(0, 60))).toHaveLength(5)
  expect(it.seen().at(-1)).toBe(deep)
  const events = await it.events()
  const calls = find(events, 'mcp.tools.call')
  expect(calls.map(({ targets, outcome }) => `${targets[0].id} ${outcome ?? ''}`)).toEqual([
    ...['echo ', 'echo ', 'echo denied', 'fail denied', 'hang ', 'echo ', 'fail denied', 'hang ', 'blob '],
  ])
  expect(calls[5].mcp.isDuplicateId).toBe(true)
  // Whose answer it was nobody can tell, so the outcome does not say it without a word.
  const results = find(events, 'mcp.tools.call.result')
  expect(results.filter(({ mcp }) => mcp.requestId === 5 && mcp.state === 'answered')).toMatchObject([
    { mcp: { isDuplicateId: true } },
  ])
  expect(results.filter(({ mcp }) => mcp.requestId !== 5 && mcp.isDuplicateId)).toEqual([])
  expect(calls[7].mcp).toMatchObject({ isNotification: true })
  expect(calls[8].mcp.omitted).toEqual({ arguments: { why: 'form' } })
})

test('no id and no name of a method keeps a request from being recorded, and ids go back as they came', async () => {
  const it = await world({ mode: 'observe', policy: { deny: ['fail'] } })
  const session = begin(it)
  const big = '12345678901234567890'
  const methods = ['tools/call', 'a\ud800', 'constructor', '__proto__', 'x'.repeat(300_000)]
  for (const [i, id] of [big, '9007199254740993', '-1e400', '1', '2'].entries())
    session.send(`{"jsonrpc":"2.0","id":${id},"method":${JSON.stringify(methods[i])},"params":{"name":"echo"}}\n`)
  session.send(`{"jsonrpc":"2.0","id":${big},"method":"tools/call","params":{"name":"fail"}}\n`)
  const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`
  session.send(`{"jsonrpc":"2.0","id":1e30,"method":"tools/call","params":{"name":"hang","arguments":${deep}}}\n`)
  await session.next(({ id }) => id === 2)
  await session.end()
  expect(it.seen()).toHaveLength(6)
  expect(`${session.output()}`).toContain(
    `{"jsonrpc":"2.0","id":${big},"result":{"content":[{"type":"text","text":"Denied`,
  )
  const recorded = (await it.events()).map(told)
  const intents = recorded.filter(({ mcp }) => mcp.kind === 'intent')
  expect(intents.map(({ mcp }) => mcp.requestId)).toEqual([big, '9007199254740993', '-1e400', 1, 2, '1e+30'])
  expect(intents.map(({ mcp }) => mcp.method.length)).toEqual([10, 2, 11, 9, 402, 10])
  expect(recorded.find(({ outcome }) => outcome === 'denied').mcp.requestId).toBe(big)
  const ends = recorded.filter(({ mcp }) => mcp.kind === 'outcome')
  expect(ends.map(({ mcp }) => mcp.requestId).sort()).toEqual(['-1e400', 1, big, '1e+30', 2, '9007199254740993'])
  expect(ends.every(({ action }) => action.endsWith('.result'))).toBe(true)
  expect(recorded.at(-1).mcp).toMatchObject({ unrecorded: 0 })
})

test('a line without an end ends the session, and costs no more memory than the limit', async () => {
  const it = await world({ limits: { lineBytes: 4096 } })
  const session = begin(it)
  session.send(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":"${'a'.repeat(9000)}`)
  expect((await session.next()).error).toMatchObject({ code: -31000, data: { code: 'mcp_line_too_long' } })
  expect(await session.ended).toBe(1)
  const events = await it.events()
  expect(actions(events)).toEqual(['mcp.session.start', 'mcp.message.invalid', 'mcp.session.end'])
  expect(told(events[2]!).mcp).toMatchObject({ by: 'line', signal: 'SIGTERM' })
  expect(it.seen()).toEqual([])
})

test('a string of ten million characters, and one of a million escapes', async () => {
  const it = await world()
  const session = begin(it)
  expect((await session.call('big', { bytes: 10e6 })).result.content[0].text).toHaveLength(10e6)
  session.send(
    `{"jsonrpc":"2.0","id":"e","method":"tools/call","params":{"name":"blob","arguments":{"a\\"":"${'\\\\'.repeat(1e6)}"}}}\n`,
  )
  await session.next(({ id }) => id === 'e')
  await session.end()
  const events = await it.events()
  expect(find(events, 'mcp.tools.call.result')[0].mcp.omitted.result).toMatchObject({ why: 'size', bytes: 10e6 + 39 })
  expect(find(events, 'mcp.tools.call')[1].mcp.omitted.arguments).toMatchObject({ why: 'size' })
  expect(session.said.join()).not.toMatch(/could not/)
})

test('only so many requests are open at a time', async () => {
  const it = await world({ limits: { openRequests: 2 } })
  const session = begin(it)
  for (const id of [1, 2, 3]) session.send(line(callOf(id, 'hang')))
  expect(await session.next()).toMatchObject({ id: 3, error: { data: { code: 'mcp_too_many_open' } } })
  await session.end()
  expect(it.seen()).toHaveLength(2)
  const results = find(await it.events(), 'mcp.tools.call.result')
  expect(results.map(({ mcp }) => mcp.state)).toEqual(['refused', 'unknown', 'unknown'])
})

test('of a batch that is refused because too many requests are open, the server has seen no answer and no cancellation', async () => {
  const it = await world({ limits: { openRequests: 2 } })
  const session = begin(it)
  session.send(line(callOf(1, 'ask', { method: 'elicitation/create', params: { message: 'Well?' } })))
  const asked = await session.next(({ method }) => method === 'elicitation/create')
  const answer = { jsonrpc: '2.0', id: asked.id, result: { action: 'accept' } }
  const cancelled = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } }
  session.send(`${JSON.stringify([answer, cancelled, callOf(2, 'echo'), callOf(3, 'echo')])}\n`)
  const refused = await session.next(Array.isArray)
  expect(refused.map(({ id, error }: Told) => [id, error.data.code])).toEqual([
    [2, 'mcp_too_many_open'],
    [3, 'mcp_too_many_open'],
  ])
  session.send({ ...answer, result: { action: 'decline' } })
  expect(await session.next(({ id }) => id === 1)).toMatchObject({ result: { content: [{}] } })
  await session.end()
  const events = await it.events()
  expect(find(events, 'mcp.elicitation.create.result').map(({ result }) => result)).toEqual([{ action: 'decline' }])
  const states = find(events, 'mcp.tools.call.result').map(({ mcp }) => [mcp.requestId, mcp.state])
  expect(states.sort()).toEqual([
    [1, 'answered'],
    [2, 'refused'],
    [3, 'refused'],
  ])
  expect(find(events, 'mcp.answer.unmatched')).toEqual([])
})
