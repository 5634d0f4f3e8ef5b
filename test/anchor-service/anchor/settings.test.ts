import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '@killick/anchor-service'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { VARIABLES } from '../../../sdk/src/config/config.ts'

const CONTRACT = `0x${'aB'.repeat(20)}`
const KEY = `${'c0ffee'.repeat(10)}cafe`
const single = {
  KILLICK_RPC_URL: 'https://a.example, https://b.example',
  KILLICK_CONTRACT: CONTRACT,
  KILLICK_CHAIN_KEY: KEY,
}

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'killick-settings-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function file(content: unknown): Promise<string> {
  const path = join(folder, `${Math.random()}.json`)
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content))
  return path
}

describe('where to anchor', () => {
  test('is nowhere if nothing is set', () => {
    expect(loadConfig({}).anchor.targets).toEqual([])
  })

  test('is one target from the environment alone', () => {
    expect(loadConfig({ ...single, KILLICK_CONFIRMATIONS: '5' }).anchor.targets).toMatchObject([
      {
        ...{ name: 'default', rpcUrls: ['https://a.example', 'https://b.example'], contract: CONTRACT.toLowerCase() },
        ...{ key: { key: KEY, password: null }, confirmations: 5, intervalMs: 60_000, rpcQuorum: null, logId: null },
      },
    ])
  })

  test('is several targets from a file; the environment fills in what the file leaves out', async () => {
    const KILLICK_TARGETS = await file([
      {
        target: 'a',
        rpcUrl: ['http://a.example', 'http://b.example'],
        contract: CONTRACT,
        chainKey: 'a.key',
        maxFeeGwei: 7,
      },
      { target: 'b', rpcUrl: 'http://c.example', contract: CONTRACT, signerUrl: 'http://127.0.0.1:1/' },
    ])
    expect(loadConfig({ KILLICK_TARGETS, KILLICK_ANCHOR_GROWTH: '9' }).anchor.targets).toMatchObject([
      { name: 'a', rpcUrls: ['http://a.example', 'http://b.example'], maxFeeGwei: 7, growth: 9, key: { key: 'a.key' } },
      { name: 'b', maxFeeGwei: 200, growth: 9, key: { signerUrl: 'http://127.0.0.1:1/' } },
    ])
  })
})

describe('all faults are named at once, without showing the key:', () => {
  test.each<[Record<string, string>, RegExp]>([
    [{ KILLICK_RPC_URL: 'ws://a.example' }, /KILLICK_RPC_URL must be URLs/],
    [
      { KILLICK_RPC_URL: 'https://a.example https://b.example https://A.example:443/' },
      /KILLICK_RPC_URL must not name/,
    ],
    [{ KILLICK_CONTRACT: '0x12' }, /KILLICK_CONTRACT must be 0x and 40 hex digits/],
    [{ KILLICK_CHAIN_KEY: '' }, /KILLICK_CHAIN_KEY is missing/],
    [{ KILLICK_SIGNER_URL: 'http://x.example' }, /KILLICK_SIGNER_URL and a key exclude each other/],
    [{ KILLICK_RPC_QUORUM: '3' }, /KILLICK_RPC_QUORUM must not exceed/],
    [{ KILLICK_CHAIN_ID: 'one' }, /KILLICK_CHAIN_ID must be an integer/],
    [{ KILLICK_TARGET: 'No Good' }, /KILLICK_TARGET must be/],
    // The variable by which readers name what they pin.
    [{ KILLICK_LOG_KEY: 'log.example/killick+0a1b2c3d+AQIDBA==' }, /KILLICK_LOG_KEY must be the path.*verifier key/],
    [{ KILLICK_SYSTEM_KEY: JSON.stringify({ kty: 'OKP', d: KEY }) }, /KILLICK_SYSTEM_KEY must be the path.*JSON/],
    [{ KILLICK_LOG_ID: 'x', KILLICK_BUMP_AFTER_MS: '-1' }, /KILLICK_LOG_ID must be.*\n.*KILLICK_BUMP_AFTER_MS must be/],
  ])('%o', (wrong, why) => {
    expect(() => loadConfig({ ...single, ...wrong })).toThrow(why)
    expect(() => loadConfig({ ...single, ...wrong })).not.toThrow(KEY)
  })

  test.each<[string, unknown, RegExp]>([
    ['not JSON', '{', /JSON array of objects/],
    ['not an array', {}, /JSON array of objects/],
    ['no name', [{ rpcUrl: 'http://a.example', contract: CONTRACT, chainKey: 'k' }], /\[0\]\.target is missing/],
    [
      'a slip of the pen',
      [{ target: 'a', rpcUrl: 'http://a.example', contract: CONTRACT, chainKey: 'k', groth: 1 }],
      /\[0\]\.groth is not a setting/,
    ],
    [
      'values that say nothing',
      [
        {
          target: 'a',
          rpcUrl: 'http://a.example',
          contract: CONTRACT,
          chainKey: 'k',
          confirmations: true,
          logId: [{}],
        },
      ],
      /\[0\]\.confirmations must be text or a number.*\n.*\[0\]\.logId must be text or a number/,
    ],
    [
      'a name twice',
      [1, 2].map(() => ({ target: 'a', rpcUrl: 'http://a.example', contract: CONTRACT, chainKey: 'k' })),
      /names a target twice/,
    ],
    ['no target', [], /KILLICK_TARGETS names no target/],
  ])('a file: %s', async (_, content, why) => {
    const KILLICK_TARGETS = await file(content)
    expect(() => loadConfig({ KILLICK_TARGETS })).toThrow(why)
  })

  test('where no target is set', () => {
    const wrong = { KILLICK_CONFIRMATIONS: 'two', KILLICK_RPC_QUORUM: '0', KILLICK_LOG_ID: '0x12' }
    for (const name of Object.keys(wrong)) expect(() => loadConfig(wrong)).toThrow(`- ${name} must be`)
    expect(loadConfig({ KILLICK_CONFIRMATIONS: '5', KILLICK_RPC_QUORUM: '2' }).anchor.targets).toEqual([])
  })

  test('a file that does not exist', () => {
    expect(() => loadConfig({ KILLICK_TARGETS: join(folder, 'none.json') })).toThrow(
      /KILLICK_TARGETS must be a file.*ENOENT/,
    )
  })
})

describe('a variable that is no setting', () => {
  test('is a fault where its name is nearly that of one, and its value is not shown', () => {
    const slips = { KILLICK_ORGIN: 'x', KILLICK_TILE: 'private', KILLICK_CHAINID: '1', KILLICK_ADMIN_TOKE: 'hunter2' }
    const meant = ['ORGIN .* KILLICK_ORIGIN', 'TILE .* KILLICK_TILES', 'CHAINID .* KILLICK_CHAIN_ID']
    for (const each of [...meant, 'ADMIN_TOKE .* KILLICK_ADMIN_TOKEN'])
      expect(() => loadConfig(slips)).toThrow(new RegExp(`- KILLICK_${each}\\?`))
    expect(() => loadConfig(slips)).not.toThrow(/hunter2/)
    // Each would be as if it were not set: keys made elsewhere, and one person who erases alone.
    for (const [name, setting] of Object.entries({
      DATA_DIR: 'DATA',
      LOG_KEY_FILE: 'LOG_KEY',
      ERASERS_FILE: 'ERASERS',
    }))
      expect(() => loadConfig({ [`KILLICK_${name}`]: '/x' })).toThrow(
        `- KILLICK_${name} is not a setting; did you mean KILLICK_${setting}?`,
      )
  })

  test('is a fault where it is a setting with a prefix that this one does not have', () => {
    const prefixed = { KILLICK_DATABASE_URL: 'postgres://a:hunter2@127.0.0.1/x', KILLICK_PORT: '1' }
    for (const name of ['DATABASE_URL', 'PORT'])
      expect(() => loadConfig(prefixed)).toThrow(`- KILLICK_${name} is not a setting; did you mean ${name}?`)
    expect(() => loadConfig(prefixed)).not.toThrow(/hunter2/)
  })

  test('may be another program’s', async () => {
    const theirs = Object.fromEntries(
      [...Object.values(VARIABLES), 'KILLICK_TOKEN', 'KILLICK_TRUST', 'KILLICK_CONFIG'].map((name) => [name, 'x']),
    )
    const link = 'tcp://10.0.0.7:8787'
    const kubernetes = {
      ...{ KILLICK_ANCHOR_SERVICE_HOST: '10.0.0.7', KILLICK_ANCHOR_SERVICE_PORT: '8787', KILLICK_ANCHOR_PORT: link },
      ...{ KILLICK_ANCHOR_PORT_8787_TCP: link, KILLICK_ANCHOR_PORT_8787_TCP_PORT: '8787' },
    }
    const KILLICK_TARGETS = await file([
      { target: 'a', rpcUrl: 'http://a.example', contract: CONTRACT, chainKey: 'k', chainId: 1, logId: null },
    ])
    const all = { ...theirs, ...kubernetes, ...single, KILLICK_TARGETS, KILLICK_CHAIN_ID: '7', KILLICK_ORIGINAL: '' }
    expect(loadConfig(all).anchor.targets).toMatchObject([{ name: 'a', chainId: 1 }])
  })
})
