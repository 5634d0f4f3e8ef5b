import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { draftEvent } from '../../../sdk/src/client/capture.ts'
import {
  compileRedaction,
  createAudit,
  type Detector,
  type RedactionRules,
  STANDARD_RULES,
} from '../../../sdk/src/kit/index.ts'
import { openLog } from './support.ts'

// Each value is looked for in every event, so twice as many take four times as long.
const numRuns = process.env.CI ? 500 : 150
const actor = { type: 'user', id: 'ada' }

const removed = (rules: RedactionRules, value: unknown) => compileRedaction(rules).redactValue(value as never)
const textAfter = (rules: RedactionRules, text: string) => removed(rules, text).value

describe('rules', () => {
  test('by path remove what is at a place, in events and in other values', () => {
    const rules = [
      { name: 'p', paths: ['/metadata/card', '/actor/email', '/targets/*/name', '/changes/*/after', '/context'] },
    ]
    const event = {
      action: 'a',
      outcome: 'success' as const,
      actor: { ...actor, email: 'a@b.c' },
      targets: [{ type: 't', id: '1', name: 'x' }],
      context: { ip: '::1', requestId: 'r' },
      changes: [{ path: '/x', before: 1, after: 2 }],
      metadata: { card: { number: 4 }, other: { card: 1 } },
    }
    const before = structuredClone(event)
    const { event: after, removals } = compileRedaction(rules).redactEvent(event)
    const gone = '[redacted:p]'
    expect(after).toEqual({
      ...event,
      actor: { ...actor, email: gone },
      targets: [{ type: 't', id: '1', name: gone }],
      context: { ip: gone, requestId: gone },
      changes: [{ path: '/x', before: 1, after: gone }],
      metadata: { card: gone, other: { card: 1 } },
    })
    expect(removals.map(({ path }) => path)).toEqual([
      ...['/actor/email', '/targets/0/name', '/context/ip', '/context/requestId', '/changes/0/after', '/metadata/card'],
    ])
    expect(event).toEqual(before)
    expect(removed([{ name: 'p', paths: ['/a/*'] }], { a: [1, { b: 2 }], c: 3 }).value).toEqual({
      a: [gone, gone],
      c: 3,
    })
  })

  test('leave an event that can be recorded, whatever place they name', () => {
    const event = {
      ...{ action: 'a', actor, targets: [actor, { ...actor, more: [1] }], outcome: 'denied' as const },
      ...{ changes: [{ path: '/x', before: 1 }], metadata: { a: 1 }, context: {}, occurredAt: new Date(0), note: 'x' },
    }
    for (const path of [
      '/actor',
      '/targets',
      '/targets/*',
      '/targets/1',
      '/changes',
      '/changes/*',
      '/metadata',
      '/*',
      '/*/*',
      '/*/*/*',
    ])
      draftEvent(compileRedaction([{ name: 'p', paths: [path] }]).redactEvent(event).event, {
        ...{ id: 'x', time: 0, salt: () => 's' },
      })
    const all = compileRedaction([{ name: 'p', paths: ['/*'] }]).redactEvent(event).event
    expect(JSON.stringify(all)).not.toMatch(/"ada"|"\/x"/)
    expect(all).toMatchObject({ outcome: 'denied', occurredAt: new Date(0) })
  })

  test('by key find names however they are written, and those in the path of a change', () => {
    const rules = [{ name: 'k', keys: ['apiKey', /^secret/] }]
    const gone = '[redacted:k]'
    expect(removed(rules, { api_key: 1, 'API-KEY': [2], apikeys: 3, deep: [{ secretive: { a: 1 } }] }).value).toEqual({
      ...{ api_key: gone, 'API-KEY': gone, apikeys: 3, deep: [{ secretive: gone }] },
    })
    // As forms and queries have members of members, and attributes.
    const flat = { 'user[api_key]': 1, 'api-key[]': 2, 'user.apiKey': 3, 'apiKey.count': 4, 'user.name': 5, '[': 6 }
    const both = { 'user["api_key"]': 7, "user['apiKey']": 8, 'users[api_key].new': 9, 'apiKey[0].count': 10 }
    expect(removed(rules, { ...flat, ...both }).value).toEqual({
      ...{ ...flat, 'user[api_key]': gone, 'api-key[]': gone, 'user.apiKey': gone },
      ...{ ...both, 'user["api_key"]': gone, "user['apiKey']": gone, 'users[api_key].new': gone },
    })
    const changes = [
      { path: '/user/api-key', before: 'a', after: 'b' },
      { path: '/user/name', before: 'a', after: { apiKey: 1 } },
      { path: 'user.secrets[0]', after: 'c' },
    ]
    const { event, removals } = compileRedaction(rules).redactEvent({ action: 'a', actor, changes })
    expect(event.changes).toEqual([
      { path: '/user/api-key', before: gone, after: gone },
      { path: '/user/name', before: 'a', after: { apiKey: gone } },
      { path: 'user.secrets[0]', after: gone },
    ])
    expect(removals.at(1)).toEqual({ path: '/changes/0/after', rule: 'k' })
    // A field that the application has declared is known by its name; one of every event is not.
    const named = compileRedaction([{ name: 'k', keys: ['pin', 'actor'] }])
    expect(named.redactEvent({ action: 'a', actor, pin: 1 } as never).event).toEqual({ action: 'a', actor, pin: gone })
  })

  test('by value remove what matches, also in numbers, dates, names, actions and actors', () => {
    const rules = [{ name: 'v', values: [/ada|42/, /1970/y, /x*$/] }]
    const { event, removals } = compileRedaction([{ name: 'v', values: [/ada|42/, /1970/y] }]).redactEvent({
      action: 'hi.ada',
      actor: { type: 'user', id: 'ada', name: 'Ada and ada' },
      metadata: { n: 1424, at: new Date(0), ada: { ada: true, '42': 1 }, b: true, none: null },
    })
    expect(event).toEqual({
      action: 'hi.[redacted:v]',
      actor: { type: 'user', id: '[redacted:v]', name: 'Ada and [redacted:v]' },
      metadata: {
        ...{ n: '1[redacted:v]4', at: '[redacted:v]-01-01T00:00:00.000Z', b: true, none: null },
        '[redacted:v]': { '[redacted:v]': 1, '[redacted:v]#2': true },
      },
    })
    // What is called like a name that was removed is not lost beside it.
    expect(removed([{ name: 'v', values: [/ada/] }], { ada: 1, '[redacted:v]': 2, b: 3 }).value).toEqual({
      ...{ '[redacted:v]': 1, '[redacted:v]#2': 2, b: 3 },
    })
    // A name of a member has no place of its own.
    expect(removals).toContainEqual({ path: '/metadata/*', rule: 'v' })
    expect(() => compileRedaction(rules)).toThrow(expect.objectContaining({ code: 'redaction_rule_invalid' }))
  })

  test('that are malformed are refused with the place, and the name of the rule', () => {
    const ok = { name: 'ok', keys: ['a'] }
    const faults: [unknown, string, unknown][] = [
      [{}, '', undefined],
      ['x', '', undefined],
      [[null], '/0', 0],
      [[{ keys: ['a'] }], '/0/name', 0],
      [[{ name: 'a b', keys: ['a'] }], '/0/name', 0],
      [[ok, ok], '/1/name', 'ok'],
      [[{ name: 'a' }], '/0', 'a'],
      [[{ name: 'a', keys: ['a'], detect: ['card'] }], '/0', 'a'],
      [[{ name: 'a', key: ['a'] }], '/0/key', 'a'],
      [[{ name: 'a', keys: 'a' }], '/0/keys', 'a'],
      [[{ name: 'a', keys: [] }], '/0/keys', 'a'],
      [[{ name: 'a', keys: ['-'] }], '/0/keys/0', 'a'],
      [[{ name: 'a', keys: ['b', 1] }], '/0/keys/1', 'a'],
      [[{ name: 'a', paths: ['card'] }], '/0/paths/0', 'a'],
      [[{ name: 'a', paths: ['/a~'] }], '/0/paths/0', 'a'],
      [[{ name: 'a', paths: [''] }], '/0/paths/0', 'a'],
      [[{ name: 'a', paths: ['/outcome'] }], '/0/paths/0', 'a'],
      [[{ name: 'a', values: ['x'] }], '/0/values/0', 'a'],
      [[{ name: 'a', values: [/x*/] }], '/0/values/0', 'a'],
      [[{ name: 'a', detect: ['cards'] }], '/0/detect/0', 'a'],
    ]
    for (const [rules, field, rule] of faults)
      expect(() => compileRedaction(rules as never), field).toThrow(
        expect.objectContaining({
          code: 'redaction_rule_invalid',
          details: { field, ...(rule !== undefined && { rule }) },
        }),
      )
  })

  test('refuse an event that they cannot look into', () => {
    const { redactEvent } = {
      redactEvent: (metadata: unknown) =>
        compileRedaction(STANDARD_RULES).redactEvent({ action: 'a', actor, metadata } as never),
    }
    const cycle: Record<string, unknown> = {}
    cycle.a = cycle
    for (const metadata of [{ a: new Map() }, cycle, JSON.parse('{"a":{"__proto__":1}}')])
      expect(() => redactEvent(metadata)).toThrow(expect.objectContaining({ code: 'event_invalid' }))
  })
})

describe('detectors', () => {
  const find = (detector: Detector, text: string) => textAfter([{ name: 'x', detect: [detector] }], text)
  const gone = '[redacted:x]'
  // Numbers that card schemes publish for tests.
  const cards = [
    ...[
      '4111111111111111',
      '4222222222222',
      '5555555555554444',
      '2223003122003222',
      '378282246310005',
      '30569309025904',
    ],
    ...['3530111333300000', '6011111111111117', '6759649826438453', '4917610000000000003', '5105-1051-0510-5100'],
  ]

  test.each(cards)('a card %s', (card) => {
    expect(find('card', card)).toBe(gone)
    expect(find('card', `paid with ${card}, thanks`)).toBe(`paid with ${gone}, thanks`)
    expect(find('card', `no. 12 ${card} 123 4/27`)).toBe(`no. 12 ${gone} 123 4/27`)
    expect(find('card', `no.${card}`)).toBe(`no.${gone}`)
    const wrong = card.replace(/\d$/, (last) => `${(Number(last) + 1) % 10}`)
    expect(find('card', wrong)).toBe(wrong)
  })

  test('a card as a number', () => {
    expect(removed([{ name: 'x', detect: ['card'] }], { n: 4111111111111111, m: 4111111111111112 }).value).toEqual({
      ...{ n: gone, m: 4111111111111112 },
    })
  })

  test('what is no card stays', () => {
    const others = [
      '1764241600000',
      '0.4111111111111111',
      '2026-11-27 12:00:00',
      '+49 30 123456 789012',
      '41111111111111112222',
      '',
    ]
    for (const text of others) expect(find('card', text)).toBe(text)
  })

  const jwt = `eyJhbGciOiJIUzI1NiJ9.${btoa('{"sub":"1"}').replaceAll('=', '')}.c2lnbmF0dXJl`
  type Case = [detector: Detector, text: string, left: string]
  const secrets: Case[] = [
    ['jwt', `token=${jwt}; path=/`, `token=${gone}; path=/`],
    ['jwt', `x_${jwt}~WyJhIl0~`, `x_${gone}`],
    ['jwt', `eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.`, gone],
    ['jwt', 'eyJ is how they begin', 'eyJ is how they begin'],
    ['bearer', 'Authorization: Bearer abc.DEF-123', `Authorization: Bearer ${gone}`],
    ['bearer', 'basic dXNlcjpwYXNz=', `basic ${gone}`],
    ['bearer', 'a basic understanding of bearer certificates', 'a basic understanding of bearer certificates'],
    ['apiKey', `key ghp_${'a1'.repeat(18)}!`, `key ${gone}!`],
    ['apiKey', `sk_live_${'4eC39HqLyjWDarj'}`, gone],
    ['apiKey', `AKIA${'IOSFODNN7EXAMPLE'}`, gone],
    ['apiKey', 'a task-list and desk_live', 'a task-list and desk_live'],
    ['privateKey', `a\n-----BEGIN EC ${'PRIVATE KEY'}-----\nMC4\n-----END EC PRIVATE KEY-----\nb`, `a\n${gone}\nb`],
    ['privateKey', `-----BEGIN ${'PRIVATE KEY'}-----\nMC4 cut off`, gone],
    ['privateKey', '-----BEGIN PUBLIC KEY-----', '-----BEGIN PUBLIC KEY-----'],
    ['urlPassword', 'see postgres://ada:hunter2@db:5432/x.', `see postgres://ada:${gone}@db:5432/x.`],
    ['urlPassword', 'redis://:p@ss:word@[::1]:6379', `redis://:${gone}@[::1]:6379`],
    ['urlPassword', '{"a":"amqp://b:c@d","e":"f@g"}', `{"a":"amqp://b:${gone}@d","e":"f@g"}`],
    ['urlPassword', 'mysql://a:b?c#d@e/f https://g:h@i', `mysql://a:${gone}@e/f https://g:${gone}@i`],
    ['urlPassword', 'smtp://ada@example.com:x@mail', `smtp://ada@example.com:${gone}@mail`],
    ['urlPassword', `a://o'b:it's@d a://b:1"2@d`, `a://o'b:${gone}@d a://b:${gone}@d`],
    ['urlPassword', 'smtp://a:b@c.d:25?from=e@f.g', `smtp://a:${gone}@c.d:25?from=e@f.g`],
    ['urlPassword', `{'a':'b://c:d','e':'f@g'}`, `{'a':'b://c:d','e':'f@g'}`],
    ['urlPassword', 'a://b:c@d?e@f a://b:12#3@c', `a://b:${gone}@f a://b:${gone}@c`],
    ['urlPassword', String.raw`{"a":"b:\/\/c:d@e\/f"}`, String.raw`{"a":"b:\/\/c:${gone}@e\/f"}`],
    ['urlPassword', 'a://b:[redacted:y]z@c', `a://b:${gone}@c`],
    ...[
      'https://h:443?mail=a@b.c',
      'https://h/a:b@c',
      'http://[::1]:80?a@b',
      'https://ada@h/',
      'a: b://c d@e',
      'k://a:[redacted:y]@b',
    ].map((text): Case => ['urlPassword', text, text]),
  ]
  test.each(secrets)('%s in %s', (detector, text, left) => {
    expect(find(detector, text)).toBe(left)
  })

  test('take time in proportion to the text, whatever callers write', () => {
    const hostile = [
      'eyJ',
      'eyJaaaaaaa.',
      '1 ',
      '4 ',
      '4111 ',
      'bearer ',
      'basic a',
      '-----BEGIN PRIVATE KEY-----',
      'sk-a',
      'SG.',
      'xoxb-',
      'a://b:c ',
      'a://b:c/',
      '://',
      'a://b:c"',
      `a://b:'c`,
      `'"`,
    ]
    const { redactValue } = { redactValue: (text: string) => removed(STANDARD_RULES, text) }
    for (const piece of hostile) {
      const took = (length: number) => {
        const text = piece.repeat(length / piece.length)
        const start = process.cpuUsage().user
        redactValue(text)
        return process.cpuUsage().user - start
      }
      took(10_000)
      // Sixteen times as long; what grows with the square would take two hundred and fifty-six times as long: seconds.
      expect(took(160_000), piece).toBeLessThan(400_000)
    }
  })
})

describe('a token', () => {
  /** Tokens, and what is in them. */
  const contentsOf = (tokens: readonly string[]) =>
    tokens
      .flatMap((token) => [
        token,
        ...token.split(/[.~]/).map((part) => Buffer.from(part, 'base64url').toString('utf8')),
      ])
      .join('\n')

  /** Whether a text is there, in any of the ways in which it could be written. */
  function findsAnywhere(shown: string, secret: string): boolean {
    const bytes = Buffer.from(secret)
    const base64 = [0, 1, 2].map((offset) =>
      // The characters that depend on what stands beside are left out.
      Buffer.concat([Buffer.alloc(offset), bytes])
        .toString('base64')
        .replace(/=+$/, '')
        .slice(offset === 0 ? 0 : offset + 1, -1),
    )
    const forms = [
      ...[secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1), bytes.toString('hex')],
      ...base64.flatMap((it) => [it, it.replaceAll('+', '-').replaceAll('/', '_')]),
    ]
    return forms.some((form) => shown.includes(form))
  }

  test('has no removed value in any encoding, wherever it stood', async () => {
    const { log, tokens } = await openLog()
    const audit = createAudit(log, { redact: STANDARD_RULES }).with({ actor })
    const digits = (n: number, seed: number) => `${(seed * 7919) % 10 ** n}`.padStart(n, '5')
    const luhn = (body: string) => {
      const sum = [...body]
        .reverse()
        .reduce((all, it, i) => all + (i % 2 === 0 ? ((2 * +it) % 10) + Math.floor(+it / 5) : +it), 0)
      return `${body}${(10 - (sum % 10)) % 10}`
    }
    const secret = fc.oneof(
      fc.nat(10 ** 9).map((seed) => luhn(`4${digits(14, seed)}`)),
      fc.string({ unit: fc.constantFrom(...'abcXYZ019'), minLength: 36, maxLength: 36 }).map((it) => `ghp_${it}`),
      fc
        .string({ unit: fc.constantFrom(...'abcXYZ019_-'), minLength: 24, maxLength: 40 })
        .map((it) => `eyJ${it}.eyJ${it}.${it}`),
    )
    const around = fc.string({ unit: 'grapheme', maxLength: 6 }).map((text) => `${text} `)
    const place = fc.constantFrom(
      'action',
      'actor',
      'target',
      'context',
      'metadata',
      'deep',
      'name',
      'change',
      'path',
      'number',
    )
    const cases = fc.sample(fc.tuple(secret, around, place), { numRuns, seed: 7 })
    await Promise.all(
      cases.map(([hidden, beside, where]) => {
        const text = `${beside.replaceAll(/[\w.]/g, '')}${hidden}`
        const event = {
          action: where === 'action' ? text : 'a',
          actor: where === 'actor' ? { ...actor, note: text } : actor,
          target: { type: 't', id: where === 'target' ? text : '1' },
          context: where === 'context' ? { a: text } : {},
          metadata: {
            n: where === 'number' && /^\d+$/.test(hidden) ? Number(hidden) : 0,
            a: where === 'metadata' ? text : '',
            list: where === 'deep' ? [[{ b: [text] }]] : [],
            ...(where === 'name' && { [text]: 1 }),
          },
          changes: [
            { path: where === 'path' ? `/${text}` : '/x', before: null, after: where === 'change' ? { b: text } : 1 },
          ],
        }
        return audit.record(event)
      }),
    )
    const all = contentsOf(tokens())
    expect(tokens()).toHaveLength(numRuns)
    for (const [hidden] of cases) expect(findsAnywhere(all, hidden)).toBe(false)
    // What looks for them finds them where nothing is removed.
    const [hidden] = cases[0]!
    await createAudit(log).with({ actor }).record({ action: 'a', metadata: { hidden } })
    expect(findsAnywhere(contentsOf(tokens().slice(-1)), hidden)).toBe(true)
  })

  test('says nothing of keys but which rule removed them', async () => {
    const { log, events } = await openLog()
    const audit = createAudit(log, { redact: STANDARD_RULES }).with({ actor })
    await audit.record({ action: 'login', metadata: { password: 'hunter2', headers: { Authorization: 'x' } } })
    expect(events()[0]!.metadata).toEqual({
      password: '[redacted:secret]',
      headers: { Authorization: '[redacted:secret]' },
      redactions: [
        { path: '/metadata/password', rule: 'secret' },
        { path: '/metadata/headers/Authorization', rule: 'secret' },
      ],
    })
  })
})
