import { checkMcpConfig, GatewayStartError } from '@killick/gateway'
import { expect, test } from 'vitest'
import { denialOf } from '../../../gateway/src/mcp/policy.ts'
import { matchesName } from '../../../gateway/src/name-pattern.ts'
import { begin, find, world } from './support.ts'

const policyOf = (policy: object) =>
  checkMcpConfig({ url: 'http://localhost', source: 's', key: 'k', spool: 's', policy: policy as never }).policy

test.each([
  ['read_*', 'read_file', true],
  ['read_*', 'READ_file', false],
  ['*', '', true],
  ['*_secret', 'get_secret', true],
  ['a*b*c', 'a-b-b-c', true],
  ['a*b*c', 'a-c-b', false],
  ['ab*ba', 'aba', false],
  ['a.c', 'abc', false],
])('the pattern %s and the name %s: %s', (pattern, name, fits) => {
  expect(matchesName(pattern, name)).toBe(fits)
})

test('rules on arguments: what must fit, and what must not', () => {
  const policy = policyOf({
    allow: ['write_*', 'run'],
    deny: ['write_secret'],
    rules: [
      { name: 'tmp', tools: ['write_*'], argument: '/paths/*', matches: '^/tmp/' },
      { name: 'force', argument: '/options/force', equals: { a: 1, b: [2] }, effect: 'deny' },
    ],
  })
  const rule = (name: unknown, args: object) => denialOf(policy, name as string, args as never)?.rule ?? null
  expect(rule('write_a', { paths: ['/tmp/a', '/tmp/b'] })).toBe(null)
  expect(rule('write_a', { paths: ['/tmp/a', '/etc/b'] })).toBe('tmp')
  expect(rule('write_a', { paths: [] })).toBe('tmp')
  expect(rule('write_a', { paths: [['/tmp/']] })).toBe('tmp')
  expect(rule('write_secret', { paths: ['/tmp/a'] })).toBe('deny')
  expect(rule('read', {})).toBe('allow')
  expect(rule(['run'], {})).toBe('allow')
  expect(rule('run', { options: { force: { b: [2], a: 1 } } })).toBe('force')
  expect(rule('run', { options: { force: { b: [2] } } })).toBe(null)
  // As some servers read it.
  expect(rule('run', { Options: { 'force ': 1, FORCE: { b: [2], a: 1 } } })).toBe('force')
  expect(rule('run', { optionſ: { force: { b: [2], a: 1 } } })).toBe('force')
  expect(rule('run', { options: ' {"force":{"b":[2],"a":1}}' })).toBe('force')
  expect(rule('write_a', { paths: '["/tmp/a","/etc/b"]' })).toBe('tmp')
  expect(rule('write_a', { paths: ['/tmp/a'], Paths: ['/etc/b'] })).toBe('tmp')
  expect(rule('run', { options: '{"force":' })).toBe(null)
  expect(rule('run', { options: '{"x":NaN,"y":[-Infinity,"\\"NaN"],"force":{"b":[2],"a":1}}' })).toBe('force')
  expect(rule('write_a', { paths: '[NaN,"/etc/NaN"]' })).toBe('tmp')
  // Deeper than anything can be compared: it counts against the call.
  const deep = '['.repeat(50_000) + ']'.repeat(50_000)
  expect(rule('run', { options: `{"force":${deep}}` })).toBe('force')
  expect(rule('write_a', { paths: `[${deep}]` })).toBe('tmp')
})

test('a denied call is answered so that a model can read it, recorded, and not passed on', async () => {
  const it = await world({ mode: 'observe', policy: { deny: ['fail'] } })
  const session = begin(it)
  const { result } = await session.call('fail', { why: 'not' })
  expect(result).toMatchObject({ isError: true, content: [{ text: expect.stringMatching(/mcp_denied, deny/) }] })
  expect(result.resultType).toBeUndefined()
  await session.end()
  expect(it.seen()).toEqual([])
  const [denied] = find(await it.events(), 'mcp.tools.call')
  expect(denied).toMatchObject({ outcome: 'denied', args: { why: 'not' }, mcp: { rule: 'deny', kind: 'denial' } })
})

test('a configuration is told all its faults at once', () => {
  const check = () =>
    checkMcpConfig({
      ...{ url: 'audit', source: 'Agents', key: 'k', spool: 's', mode: 'lax', extra: 1, actor: { type: 'agent' } },
      redaction: [{ name: 'x', values: ['('] }],
      policy: { rules: [{ name: 'r', argument: 'path' }] },
    })
  expect(check).toThrow(GatewayStartError)
  try {
    check()
  } catch (error) {
    expect((error as GatewayStartError).faults).toEqual([
      '/url must be an http(s) URL',
      '/mode must be one of strict, observe',
      '/actor/id must be a text of 1 to 512 characters',
      expect.stringMatching(/^\/redaction\/0\/values\/0 is no regular expression/),
      '/source must be 1 to 64 lower-case letters, digits, dots, underscores or hyphens',
      '/policy/rules/0 must have one of equals and matches',
      '/policy/rules/0/argument must be a JSON pointer, such as /path',
      '/extra is not a setting',
    ])
  }
})
