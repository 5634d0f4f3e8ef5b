import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KillickError, publicJwk, readConfig } from '@killick/sdk'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { generateKey } from '../../../sdk/src/client/key.ts'
import { parseConfig } from '../../../sdk/src/config/config.ts'
import { printVkey } from '../../../sdk/src/core/note.ts'

const VKEY = printVkey('ledger.example.com', new Uint8Array(32).fill(7))
const LOG = { chainId: 31337, contract: `0x${'ab'.repeat(20)}`, logId: `0x${'cd'.repeat(32)}` }
const jwk = publicJwk(generateKey())

let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'killick-config-'))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))
afterEach(() => vi.unstubAllEnvs())

/** The refusal of a killick.json. */
function refusalOf(text: string): KillickError {
  try {
    parseConfig(text, '/project/killick.json')
  } catch (error) {
    if (error instanceof KillickError) return error
    throw error
  }
  throw new Error(`${text} was taken`)
}

test('everything in it is read, and paths start from its folder', () => {
  const pins = {
    ...{ sourceKeys: [{ source: 'billing-api', jwk }], logs: [LOG], rpcs: ['http://127.0.0.1:8545'] },
    firstUse: { at: '2026-11-27T06:00:00Z', from: 'http://127.0.0.1:8787' },
  }
  const config = { url: 'http://127.0.0.1:8787', source: 'billing-api', key: 'a.key.json', spool: '../spool', pins }
  expect(parseConfig(JSON.stringify(config), '/project/killick.json')).toEqual({
    ...{ url: config.url, source: 'billing-api', key: '/project/a.key.json', spool: '/spool' },
    file: '/project/killick.json',
    pins: { ...pins, logKeys: [] },
  })
})

// Left out, the key would count for every source, and for ever.
test.each([
  ['source', 'billing-api'],
  ['notAfter', '2020-01-01T00:00:00Z'],
])('a pinned key with %s among its own members is refused', (name, value) => {
  const { details, message } = refusalOf(JSON.stringify({ pins: { sourceKeys: { ...jwk, [name]: value } } }))
  expect(details).toMatchObject({ member: `pins.sourceKeys.0.${name}` })
  expect(message).toContain(`sourceKeys.0.${name} stands in the key, which goes into a jwk beside it`)
})

test.each([
  ['{"ulr": "http://a"}', 'ulr', 'url'],
  ['{"logkey": "x"}', 'logkey', 'logKey'],
  ['{"log_key": "x"}', 'log_key', 'logKey'],
  ['{"pin": {}}', 'pin', 'pins'],
  ['{"pins": {"sourcekeys": []}}', 'pins.sourcekeys', 'pins.sourceKeys'],
  [`{"pins": {"logs": [{"chainid": 1}]}}`, 'pins.logs.0.chainid', 'pins.logs.0.chainId'],
  [
    '{"pins": {"firstUse": {"at": "2026-11-27T06:00:00Z", "form": "http://a"}}}',
    'pins.firstUse.form',
    'pins.firstUse.from',
  ],
  ['{"colour": "red"}', 'colour', undefined],
])('%s is refused, and the member that was meant is named', (text, member, meant) => {
  const error = refusalOf(text)
  expect(error).toMatchObject({ code: 'config_invalid', details: { file: '/project/killick.json', member } })
  expect(error.details.meant).toBe(meant)
  expect(error.message).toContain(meant === undefined ? 'the members are url, source' : `did you mean ${meant}?`)
})

test.each([
  ['', /cannot be read as JSON/],
  ['[]', /not a JSON object/],
  ['{"url": "http://a", "url": "http://b"}', /cannot be read as JSON/],
  ['{"url": "ftp://a"}', /url must be an http or https URL/],
  ['{"source": "Billing API"}', /source must be 1 to 64/],
  ['{"key": {"kty": "OKP"}}', /key must be the path/],
  ['{"spool": ""}', /spool must be the path/],
  ['{"logKey": "ledger+x"}', /logKey/],
  ['{"token": "secret"}', /token must not be kept here/],
  ['{"pins": []}', /pins must be an object/],
  ['{"pins": {"rpcs": ["node"]}}', /pins\.rpcs\.0 must be an http or https URL/],
  ['{"pins": {"logs": [{"chainId": 1, "contract": "0x1", "logId": "0x2"}]}}', /pins\.logs\.0: .*40 hex digits/],
  ['{"pins": {"sourceKeys": [{"source": "a"}]}}', /pins\.sourceKeys\.0\.jwk/],
  ['{"pins": {"confirmations": 0}}', /pins\.confirmations must be a whole number from 1/],
  ['{"pins": {"firstUse": {"at": "yesterday", "from": "http://a"}}}', /pins\.firstUse\.at/],
] as [string, RegExp][])('%s is refused', (text, words) => {
  const error = refusalOf(text)
  expect(error).toMatchObject({ code: 'config_invalid', message: expect.stringMatching(words) })
  expect(error.message).not.toContain('secret')
})

test('readConfig gives the options of openAuditLog; the environment goes before the file', () => {
  const file = join(dir, 'killick.json')
  const config = { url: 'http://127.0.0.1:8787', source: 'billing-api', key: 'k.json', spool: 'spool', logKey: VKEY }
  writeFileSync(file, JSON.stringify({ ...config, pins: { rpcs: ['http://127.0.0.1:8545'] } }))
  const read = { ...config, key: join(dir, 'k.json'), spool: join(dir, 'spool') }
  expect(readConfig(file)).toEqual(read)
  vi.stubEnv('KILLICK_CONFIG', file)
  expect(readConfig()).toEqual(read)
  vi.stubEnv('KILLICK_URL', 'https://audit.example.com')
  vi.stubEnv('KILLICK_SPOOL', '/var/spool/killick')
  expect(readConfig()).toEqual({ ...read, url: 'https://audit.example.com', spool: '/var/spool/killick' })
})

test('without a spool, readConfig says so to openAuditLog; a folder of that name is a path', () => {
  const file = join(dir, 'killick.json')
  const config = { url: 'http://127.0.0.1:8787', source: 'billing-api', key: 'k.json' }
  writeFileSync(file, JSON.stringify({ ...config, spool: 'memory' }))
  expect(readConfig(file).spool).toBe('memory')
  writeFileSync(file, JSON.stringify({ ...config, spool: './memory' }))
  expect(readConfig(file).spool).toBe(join(dir, 'memory'))
})

test('readConfig needs no file if the environment says everything, and names what is missing', () => {
  const none = join(dir, 'none.json')
  expect(() => readConfig(none)).toThrow(expect.objectContaining({ code: 'config_invalid' }))
  vi.stubEnv('KILLICK_CONFIG', '')
  const variables = { URL: 'http://127.0.0.1:1', SOURCE: 'a', KEY: 'a.json', SPOOL: './spool' }
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(`KILLICK_${name}`, value)
  expect(readConfig()).toEqual({ url: 'http://127.0.0.1:1', source: 'a', key: 'a.json', spool: './spool' })
  vi.stubEnv('KILLICK_SOURCE', '')
  expect(() => readConfig()).toThrow(/KILLICK_SOURCE is not set/)
})
