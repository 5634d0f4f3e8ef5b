// No input ends in a 500: every parameter that the OpenAPI document names gets what nobody would send in good faith.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { call, type TestService, testService } from '../support/service.ts'

let service: TestService
beforeAll(async () => {
  service = await testService({ KILLICK_RATE_LIMIT: '0' })
})
afterAll(() => service.stop())

const NASTY = [
  ...[
    '\0',
    'a\0b',
    '',
    ' ',
    '\n',
    '\ud800',
    '\u202e',
    '’',
    "'",
    '"',
    '\\',
    '%',
    '%00',
    '$1',
    '{}',
    '[]',
    'null',
    'NaN',
  ],
  ...['-1', '0', '1e9', '0x1', '1.5', '9007199254740993', '9223372036854775808', '1.2147483648', '1.1', '-0', '١'],
  ...['-000001-01-01T00:00:00Z', '-271821-04-20', '+275760-09-13T00:00:00Z', '0000-01-01', '0001-01-01T00:00:00Z'],
  ...[
    '9999-12-31T23:59:60Z',
    '2026-02-30T00:00:00Z',
    'a/b',
    'a/\0',
    '../..',
    'killick',
    'killick/system',
    'x'.repeat(65),
  ],
]
type Parameter = { name: string; in: string; required?: boolean; schema?: { anyOf?: unknown[]; type?: string } }
type Operation = { parameters?: Parameter[] }

test('every parameter of every route takes or refuses it', async () => {
  const { json } = await call(service.url, '/openapi.json', null)
  const seen: string[] = []
  const failed: string[] = []
  const good: Record<string, string> = {
    seq: '0',
    from: '0',
    to: '1',
    format: 'csv',
    source: 'killick',
    stream: 'system',
  }
  for (const [path, methods] of Object.entries<Record<string, Operation>>(json.paths)) {
    for (const [method, { parameters = [] }] of Object.entries(methods)) {
      if (!['get', 'delete'].includes(method)) continue
      for (const target of parameters) {
        for (const value of NASTY) {
          let address = path
          const query = new URLSearchParams()
          for (const parameter of parameters) {
            const is = parameter.name === target.name
            const text = is ? value : (good[parameter.name] ?? 'x')
            if (parameter.in === 'path')
              address = address.replace(`{${parameter.name}}`, encodeURIComponent(text.toWellFormed()))
            else if (is || parameter.required) query.set(parameter.name, text)
          }
          const { status, text } = await call(service.url, `${address}?${query}`, undefined, { method })
          const what = `${method} ${address} ${target.name}=${JSON.stringify(value)}`
          if (status >= 500) failed.push(`${what}: ${status} ${text.slice(0, 100)}`)
        }
        seen.push(`${path} ${target.name}`)
      }
    }
  }
  expect(failed).toEqual([])
  expect(seen.length).toBeGreaterThan(20)
})
