import { auditLedger, openApi } from '@killick/sdk/audit'
import { verifyBundle } from '@killick/sdk/bundle'
import {
  parsePinnedLog,
  parseProof,
  printProof,
  readAnchors,
  readLogHeads,
  type Trust,
  verifyProof,
} from '@killick/sdk/verify'
import { describe, expect, test } from 'vitest'
import { signerFor } from '../../../scripts/lib/vectors/keys.ts'
import { keyOf, OWN, settings } from '../../../scripts/lib/vectors/registrations.ts'
import { CHAIN, factOf, makeWorld, SOURCE, TIME, type World } from '../../../scripts/lib/vectors/world.ts'

const { proof, trust } = await makeWorld()
const refused = (code: string) => expect.objectContaining({ name: 'KillickError', code })

describe('a mistake in what is pinned is named, and does not look like a forged proof:', () => {
  test.each<[string, Trust, string]>([
    ['a log key cut short', { ...trust, logKeys: [trust.logKeys[0]!.slice(0, -4)] }, 'vkey_invalid'],
    [
      'a private source key',
      { ...trust, sourceKeys: [{ jwk: { ...trust.sourceKeys[0]!.jwk, d: 'x' } as never }] },
      'key_invalid',
    ],
    [
      'a source key off its curve',
      { ...trust, sourceKeys: [{ jwk: { kty: 'OKP', crv: 'Ed25519', x: 'AA' } }] },
      'key_invalid',
    ],
    [
      'an address cut short',
      { ...trust, logs: [{ ...CHAIN, contract: CHAIN.contract.slice(0, -1) }] },
      'trust_invalid',
    ],
    ['a log id without 0x', { ...trust, logs: [{ ...CHAIN, logId: CHAIN.logId.slice(2) }] }, 'trust_invalid'],
    ['a chain id of -1', { ...trust, logs: [{ ...CHAIN, chainId: -1 }] }, 'trust_invalid'],
    ['a chain id of 0', { ...trust, logs: [{ ...CHAIN, chainId: 0 }] }, 'trust_invalid'],
    ['half a confirmation', { ...trust, confirmations: 0.5 }, 'trust_invalid'],
    ['no confirmation at all', { ...trust, confirmations: 0 }, 'trust_invalid'],
    ['a tolerance below zero', { ...trust, timeTolerance: -1 }, 'trust_invalid'],
    ...[
      '2026-11-26',
      '2026-11-26T12:00:00+01:00',
      '2026-13-01T00:00:00Z',
      '2026-02-29T00:00:00Z',
      '2026-11-26T12:00:00.0001Z',
      'soon',
      '',
    ].map((notAfter): [string, Trust, string] => [
      `a key that ends at "${notAfter}"`,
      { ...trust, sourceKeys: [{ jwk: trust.sourceKeys[0]!.jwk, notAfter }] },
      'trust_invalid',
    ]),
  ])('%s', (_, slip, code) => {
    expect(() => verifyProof(proof, slip)).toThrow(refused(code))
  })

  test('members that are like no name of ours are the caller’s', () => {
    const { outcome } = verifyProof(proof, trust)
    expect(verifyProof(proof, { ...trust, publisher: 'Example', rpcs: [] } as Trust).outcome).toBe(outcome)
    // Each name is compared once, however many keys have it.
    const own = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`${'x'.repeat(63)}${i}`, i]))
    const sourceKeys = Array.from({ length: 500 }, () => ({ ...trust.sourceKeys[0]!, ...own }))
    const started = performance.now()
    expect(verifyProof(proof, { ...trust, sourceKeys }).outcome).toBe(outcome)
    expect(performance.now() - started).toBeLessThan(300)
  })

  test.each<[string, object]>([
    ['a bound with a misspelt name', { ...trust, confirmation: 64 }],
    [
      'a misspelt end of a key',
      { ...trust, sourceKeys: [{ jwk: trust.sourceKeys[0]!.jwk, notafter: '2026-01-01T00:00:00Z' }] },
    ],
    ['one log in place of a list', { ...trust, logs: CHAIN }],
    ['a key that is none', { ...trust, sourceKeys: [null] }],
    ['facts that were not waited for', { ...trust, facts: readAnchors(proof, []) }],
  ])('%s', (_, slip) => {
    expect(() => verifyProof(proof, slip)).toThrow(refused('trust_invalid'))
  })

  test.each([undefined, null, 'vkey', []])('%j in place of what is trusted', (slip) => {
    expect(() => verifyProof(proof, slip as never)).toThrow(refused('trust_invalid'))
  })
})

test('what parseProof did not read is refused, and does not look like a forged proof', async () => {
  const text = printProof(proof)
  expect(verifyProof(parseProof(text), trust).outcome).not.toBe('failed')
  for (const slip of [text, Buffer.from(text), JSON.parse(text), {}, [], null, undefined, { anchors: {} }] as never[]) {
    expect(() => verifyProof(slip, trust)).toThrow(refused('proof_malformed'))
    await expect(readAnchors(slip, [])).rejects.toThrow(refused('proof_malformed'))
  }
  expect(() => verifyProof({ anchors: [] } as never, trust)).toThrow(refused('proof_malformed'))
  const one = 'https://rpc.example.com' as never
  await expect(readAnchors(proof, one)).rejects.toThrow(refused('option_invalid'))
  await expect(readLogHeads([CHAIN], one)).rejects.toThrow(refused('option_invalid'))
  await expect(verifyBundle(Buffer.from(text) as never, {})).rejects.toThrow(refused('option_invalid'))
  await expect(verifyBundle(new Blob([text]).stream(), trust as never)).rejects.toThrow(refused('trust_invalid'))
  await expect(verifyBundle(new Blob([text]).stream(), null as never)).rejects.toThrow(refused('trust_invalid'))
  const [api, pins] = [openApi(one, undefined), { logKeys: [], sourceKeys: [], logs: [], urls: [] }]
  await expect(auditLedger(one, pins)).rejects.toThrow(refused('option_invalid'))
  await expect(auditLedger(api, { logKeys: [] } as never)).rejects.toThrow(refused('trust_invalid'))
  const { jwk } = trust.sourceKeys[0]!
  const sourceKeys = [{ jwk, notafter: '2026-01-01T00:00:00Z' }]
  await expect(auditLedger(api, { ...pins, sourceKeys })).rejects.toThrow(refused('trust_invalid'))
})

describe('a contract and log to pin', () => {
  const log = { chainId: 1, contract: `0x${'aB'.repeat(20)}`, logId: `0x${'Cd'.repeat(32)}` }

  test('is read with digits of either case, whatever other members it has', () => {
    const read = { chainId: 1, contract: log.contract.toLowerCase(), logId: log.logId.toLowerCase() }
    expect(parsePinnedLog({ ...log, name: 'mainnet' })).toEqual(read)
    expect(parsePinnedLog(read)).toEqual(read)
  })

  const BAD = {
    chainId: [undefined, null, 0, -1, 1.5, 2 ** 53, Number.NaN, '1', '', [1], true],
    contract: [
      undefined,
      null,
      '',
      '0x',
      log.contract.slice(2),
      `${log.contract}0`,
      `0X${'ab'.repeat(20)}`,
      [`0x${'ab'.repeat(20)}`],
      7,
      log.logId,
    ],
    logId: [undefined, null, '', log.logId.slice(0, -1), `${log.logId}\n`, ` ${log.logId}`, `0x${'zz'.repeat(32)}`, {}],
  }
  const cases = Object.entries(BAD).flatMap(([member, values]) => values.map((value) => [member, value] as const))
  test.each(cases)('is refused with %s %j', (member, value) => {
    expect(() => parsePinnedLog({ ...log, [member]: value })).toThrow(
      expect.objectContaining({ code: 'trust_invalid', details: expect.objectContaining({ member }) }),
    )
  })
  test.each([[null], [undefined], ['x'], [[]], [1]])('is refused if it is %j', (value) => {
    expect(() => parsePinnedLog(value)).toThrow(refused('trust_invalid'))
  })
})

describe('the level, for each combination of pins and what the chain says:', () => {
  const ANSWERS = {
    silent: {},
    confirms: { finalized: null, confirmations: 1 },
    final: { finalized: true },
    denies: { anchored: false },
  }
  const bits = [false, true]
  const mixes = bits.flatMap((source) =>
    bits.flatMap((log) =>
      bits.flatMap((contract) => Object.keys(ANSWERS).map((says) => ({ source, log, contract, says }))),
    ),
  )
  test.each(mixes)('source $source, log $log, contract $contract, chain $says', ({ source, log, contract, says }) => {
    const facts = says === 'silent' ? [] : [{ ...factOf(proof.anchors[0]!), ...ANSWERS[says as 'final'] }]
    const verdict = verifyProof(proof, {
      ...(source && { sourceKeys: trust.sourceKeys }),
      ...(log && { logKeys: trust.logKeys }),
      ...(contract && { logs: trust.logs }),
      facts,
    })
    const read = says === 'confirms' || says === 'final'
    const all = source && log && contract && read
    expect(verdict.outcome).toBe(says === 'denies' ? 'failed' : all ? 'verified' : 'undecided')
    expect(verdict.level).toBe(
      says === 'final' ? 'final' : says === 'confirms' ? 'anchored' : log ? 'logged' : 'signed',
    )
    expect(verdict.restsOn.length === 0).toBe(says === 'denies' || all)
    expect(verdict.anchoredAt === null).toBe(!read)
    expect(verdict.event?.hiddenFields).toBe(0)
  })
})

describe('several anchors', () => {
  const elsewhere = { chainId: 1, contract: `0x${'77'.repeat(20)}` }
  async function twice(): Promise<World> {
    const world = await makeWorld({ anchored: [21, 33] })
    const [first, second] = world.proof.anchors
    return { proof: { ...world.proof, anchors: [{ ...first!, ...elsewhere }, second!] }, trust: world.trust }
  }

  test('an anchor that was not asked for is skipped, and does not replace the pinned one', async () => {
    const { proof, trust } = await twice()
    const [other, pinned] = proof.anchors.map((anchor) => factOf(anchor))
    const both = verifyProof(proof, { ...trust, facts: [other!, pinned!] })
    expect(both.outcome).toBe('verified')
    expect(both.checks.find(({ id }) => id === 'anchor.0.log')).toMatchObject({ status: 'skipped' })
    expect(both.anchoredAt).toBe(new Date(proof.anchors[1]!.time * 1000).toISOString())
    expect(verifyProof(proof, { ...trust, facts: [pinned!] }).outcome).toBe('verified')
    expect(verifyProof(proof, { ...trust, facts: [other!] }).outcome).toBe('undecided')
  })

  test('an anchor that is denied fails the proof, whatever the other says', async () => {
    const { proof, trust } = await twice()
    const [other, pinned] = proof.anchors.map((anchor) => factOf(anchor))
    const verdict = verifyProof(proof, {
      ...trust,
      facts: [{ ...other!, anchored: false }, pinned!] as Trust['facts'] & object,
    })
    expect(verdict).toMatchObject({ outcome: 'failed', level: 'logged', anchoredAt: null, missing: [], restsOn: [] })
  })
})

const PLANS = [OWN, { index: 3, registration: settings(SOURCE, [keyOf(signerFor('source Ed25519'))]) }]

describe('what the log says about keys, for a verifier who pinned only log and contract:', () => {
  test('each registration of a key of the source, with its entry and since when that is anchored', async () => {
    const source = signerFor('source Ed25519')
    const spare = signerFor('spare')
    const plans = [
      OWN,
      { index: 3, registration: settings(SOURCE, [keyOf(source)]) },
      { index: 9, registration: settings(SOURCE, [keyOf(source, null, TIME + 3_600_000), keyOf(spare)]) },
    ]
    const { proof, trust } = await makeWorld({ before: 8, registrations: plans })
    const { sourceKeys: _, ...rest } = trust
    const verdict = verifyProof(proof, rest)
    const [by, after] = [proof.anchors[0]!.time, proof.anchors[0]!.before!.time].map((s) =>
      new Date(s * 1000).toISOString(),
    )
    expect(verdict.outcome).toBe('undecided')
    expect(verdict.checks.find(({ id }) => id === 'source.registration')).toMatchObject({
      status: 'passed',
      values: { keys: [{ kid: source.kid, entry: 3, since: after }], expired: null, expiredAt: null },
    })
    const ends = new Date(TIME + 3_600_000).toISOString()
    expect(verdict.registrations).toEqual([
      { logIndex: 3, kid: source.kid, notBefore: null, notAfter: null, anchoredAt: after },
      { logIndex: 9, kid: source.kid, notBefore: null, notAfter: ends, anchoredAt: by },
      { logIndex: 9, kid: spare.kid, notBefore: null, notAfter: null, anchoredAt: by },
    ])
    expect(verdict.times).toEqual({
      ...{ recordedAt: verdict.event!.recordedAt, after, by, outside: null, toleranceMs: 3_600_000 },
    })
  })

  test('what the log signed but the chain does not hold is not called anchored', async () => {
    // An operator signs a second history with a registration in it, and shows the anchor of the first, which holds the batch.
    const forked = await makeWorld({ registrations: PLANS })
    const honest = await makeWorld({ anchored: [33], before: 8 })
    const { proof } = forked
    const anchors = honest.proof.anchors
    const verdict = verifyProof({ ...proof, anchors }, { ...trust, facts: honest.trust.facts })
    expect(verdict).toMatchObject({ outcome: 'verified', times: { by: expect.any(String) } })
    expect(verdict.registrations).toMatchObject([{ logIndex: 3, anchoredAt: null }])
    expect(verdict.checks.find(({ id }) => id === 'source.registration')).toMatchObject({
      status: 'passed',
      values: { keys: [{ entry: 3, since: null }] },
    })
    // Where the log's key is not pinned either, nobody vouches for that history.
    const { logKeys: _, ...unsigned } = trust
    const unvouched = verifyProof({ ...proof, anchors }, { ...unsigned, facts: honest.trust.facts })
    expect(unvouched.registrations).toEqual([])
    expect(unvouched.checks.find(({ id }) => id === 'source.registration')).toMatchObject({
      ...{ status: 'skipped', reason: 'not_pinned' },
    })
    // Beside an anchor of that very tree, others of the same log count too: the contract has seen that they agree.
    const both = await makeWorld({ anchored: [21, 33], before: 8, registrations: PLANS })
    const known = verifyProof(both.proof, both.trust)
    const earliest = new Date(both.proof.anchors[0]!.before!.time * 1000).toISOString()
    expect(known.registrations).toMatchObject([{ anchoredAt: earliest }])
  })

  test('if it is open whether a key was used in its pinned time, the key does not count as pinned', () => {
    const notAfter = new Date(proof.anchors[0]!.time * 1000 - 1000).toISOString()
    const verdict = verifyProof(proof, { ...trust, sourceKeys: [{ ...trust.sourceKeys[0]!, notAfter }] })
    expect(verdict).toMatchObject({
      outcome: 'undecided',
      missing: ['key_time'],
      restsOn: ['key_time'],
    })
  })

  test.each(['T00:00:00Z', 't00:00:00z', 't00:00:00.000000001-00:00'])(
    'a claimed time is read as RFC 3339 whatever its spelling: %s',
    async (spelling) => {
      const action = { action: 'a', actor: { type: 't', id: 'i' }, targets: [], occurredAt: `2030-01-01${spelling}` }
      const { proof, trust } = await makeWorld({ inputs: [action] })
      expect(verifyProof(proof, trust).times).toMatchObject({ outside: 'after' })
    },
  )

  test('none of it is told if a check failed, or if nothing is known from the chain', async () => {
    const plans = [OWN, { index: 3, registration: settings(SOURCE, [keyOf(signerFor('source Ed25519'))]) }]
    const { proof, trust } = await makeWorld({ before: 8, registrations: plans })
    expect(verifyProof(proof, { ...trust, logs: [{ ...CHAIN, chainId: 1 }] })).toMatchObject({
      ...{ outcome: 'failed', times: null, registrations: [] },
    })
    const unread = verifyProof(proof, { ...trust, facts: [] })
    expect(unread.times).toMatchObject({ after: null, by: null, outside: null })
    expect(unread.registrations.map(({ anchoredAt }) => anchoredAt)).toEqual([null])
  })
})

test('the verdict depends on its arguments only, and leaves them unchanged', () => {
  const before = structuredClone({ proof, trust })
  expect(verifyProof(proof, trust)).toEqual(verifyProof(proof, trust))
  expect({ proof, trust }).toEqual(before)
})

test('log keys of other types are skipped and named, and pin nothing by themselves', () => {
  const witness = 'witness.example+0a0b0c0d+BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g'
  const logSignature = (logKeys: string[]) =>
    verifyProof(proof, { ...trust, logKeys }).checks.find(({ id }) => id === 'log.signature')!
  const besides = logSignature([witness, ...trust.logKeys!])
  expect(besides).toMatchObject({ status: 'passed', values: { unread: ['witness.example (type 0x04)'] } })
  const alone = logSignature([witness])
  expect(alone).toMatchObject({
    ...{ status: 'skipped', reason: 'not_pinned', values: { unread: ['witness.example (type 0x04)'] } },
  })
})
