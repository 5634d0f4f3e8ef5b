import { type EventInput, generateKey, type KillickError, publicJwk, type Signer, signerOf } from '@killick/sdk'
import {
  asHash,
  makeEvent,
  parseEvent,
  parseRegistration,
  printHash,
  type Registration,
  Registry,
  type RegistryEntry,
  registrationFields,
  SYSTEM,
  thumbprint,
} from '@killick/sdk/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { mintOf } from '../../../scripts/lib/vectors/world.ts'

const numRuns = process.env.CI ? 1000 : 200
const SIGNER = signerOf(generateKey())
const JWKS = Array.from({ length: 4 }, () => publicJwk(generateKey()))
/** A signer that returns at once and signs nothing. */
const idle: Signer = { ...SIGNER, sign: () => new Uint8Array(64) }

const hashOf = (n: number) => asHash(new Uint8Array(32).fill(n))
const keyOf = (n: number, notBefore: number | null = null, notAfter: number | null = null) => ({
  ...{ kid: thumbprint(JWKS[n]!), jwk: JWKS[n]!, notBefore, notAfter },
})
const registrationOf = (change: Partial<Registration> = {}): Registration => ({
  ...{ source: 'billing-api', previous: null, eventSignatures: 'required', decoys: false },
  ...{ maxAge: null, maxAhead: null, heartbeat: null, keys: [keyOf(0)] },
  ...change,
})

const actor = { type: 'service', id: 'anchor-service' }
async function eventOf(input: object, position: object = SYSTEM) {
  const { token } = await makeEvent(
    { actor, ...input } as EventInput,
    { ...SYSTEM, seq: 0, ...position },
    mintOf(0),
    idle,
  )
  return parseEvent(token)
}

const time = fc.option(
  fc.date({ min: new Date(0), max: new Date('9999-12-31'), noInvalidDate: true }).map((date) => date.getTime()),
)
const registrations = fc.record({
  source: fc.constantFrom('a', 'billing-api', 'killick'),
  previous: fc.option(fc.nat(255).map(hashOf)),
  eventSignatures: fc.constantFrom('required' as const, 'optional' as const),
  decoys: fc.boolean(),
  maxAge: fc.option(fc.nat()),
  maxAhead: fc.option(fc.nat()),
  heartbeat: fc.option(fc.nat()),
  keys: fc
    .uniqueArray(fc.nat(3), { minLength: 1 })
    .chain((which) => fc.tuple(...which.map((n) => fc.tuple(time, time).map(([from, to]) => keyOf(n, from, to))))),
})

describe('a registration is an event', () => {
  test('that reads back unchanged', async () => {
    await fc.assert(
      fc.asyncProperty(registrations, async (registration) => {
        expect(parseRegistration(await eventOf(registrationFields(registration)))).toEqual(registration)
      }),
      { numRuns },
    )
  })

  test('while other events are not, nor are look-alikes of other sources and streams', async () => {
    const fields = registrationFields(registrationOf())
    expect(parseRegistration(await eventOf({ ...fields, action: 'share.create' }))).toBeNull()
    expect(parseRegistration(await eventOf(fields, { source: 'billing-api' }))).toBeNull()
    expect(parseRegistration(await eventOf(fields, { stream: 'other' }))).toBeNull()
  })

  const good = registrationFields(registrationOf())
  const metadata = good.metadata as Record<string, unknown>
  const key = (metadata.keys as Record<string, unknown>[])[0]!
  const withMetadata = (change: object) => ({ ...good, metadata: { ...metadata, ...change } })
  const withKey = (change: object) => withMetadata({ keys: [{ ...key, ...change }] })
  const { decoys: _, ...withoutDecoys } = metadata
  test.each([
    ['two targets', { ...good, targets: [...good.targets!, ...good.targets!] }],
    ['no target', { ...good, targets: [] }],
    ['a target of another type', { ...good, targets: [{ type: 'log', id: 'billing-api' }] }],
    ['a target with a name', { ...good, targets: [{ type: 'source', id: 'billing-api', name: 'b' }] }],
    ['a target that can be no source', { ...good, targets: [{ type: 'source', id: 'Billing' }] }],
    ['a setting less', { ...good, metadata: withoutDecoys }],
    ['a setting more', withMetadata({ colour: 'red' })],
    ['no metadata', { ...good, metadata: undefined }],
    ['previous in a first one', withMetadata({ previous: printHash(hashOf(1)) })],
    ['no previous in a change', { ...good, action: 'source.change' }],
    ['a previous that is no hash', { ...withMetadata({ previous: 'AA' }), action: 'source.change' }],
    ['signatures that are unknown', withMetadata({ eventSignatures: 'never' })],
    ['decoys that are neither', withMetadata({ decoys: 0 })],
    ['a bound of half a second', withMetadata({ maxAge: 0.5 })],
    ['a bound below zero', withMetadata({ maxAhead: -1 })],
    ['a heartbeat in parts of a second', withMetadata({ heartbeat: 0.5 })],
    ['no key at first', withMetadata({ keys: [] })],
    ['keys by name', withMetadata({ keys: { a: key } })],
    ['a key twice', withMetadata({ keys: [key, key] })],
    ["another key's name", withKey({ kid: thumbprint(JWKS[1]!) })],
    ['a private key', withKey({ jwk: { ...(key.jwk as object), d: (key.jwk as { x: string }).x } }), 'key_invalid'],
    ['a member more in a key', withKey({ use: 'sig' })],
    ['a time of day only', withKey({ notAfter: '12:00' })],
    ['a time with an offset', withKey({ notAfter: '2026-01-01T00:00:00.000+00:00' })],
    ['a time without milliseconds', withKey({ notBefore: '2026-01-01T00:00:00Z' })],
    ['a time as a number', withKey({ notBefore: 1_700_000_000 })],
  ])('refused: %s', async (_what, fields, code = 'registration_invalid') => {
    const event = await eventOf(fields)
    let thrown: unknown
    try {
      parseRegistration(event)
    } catch (error) {
      thrown = error
    }
    expect((thrown as KillickError | undefined)?.code).toBe(code)
  })

  test('refused: its metadata is not shown', async () => {
    const { token } = await makeEvent({ actor, ...good } as EventInput, { ...SYSTEM, seq: 0 }, mintOf(0), idle)
    const hidden = parseEvent(token)
    const { metadata: _hidden, ...fields } = hidden.fields
    expect(() => parseRegistration({ ...hidden, fields })).toThrow(
      expect.objectContaining({ code: 'registration_invalid' }),
    )
  })
})

describe('the registry is the sum of registrations', () => {
  const system = keyOf(0).kid
  const entry = (logIndex: number, change: Partial<Registration> = {}, signedBy = system): RegistryEntry => ({
    ...{ registration: registrationOf(change), logIndex, leafHash: hashOf(logIndex), signedBy },
  })
  const own = entry(0, { source: SYSTEM.source })
  const started = () => {
    const registry = new Registry()
    expect(registry.apply(own)).toBeNull()
    return registry
  }

  test('the newest registration counts for settings and for each key; what it does not name stays', () => {
    const registry = started()
    expect(registry.apply(entry(3, { keys: [keyOf(1), keyOf(2)] }))).toBeNull()
    const change = { previous: hashOf(3), decoys: true, maxAge: 60, keys: [keyOf(2, null, 5000), keyOf(3)] }
    expect(registry.apply(entry(9, change))).toBeNull()
    const source = registry.source('billing-api')!
    expect(source).toMatchObject({ decoys: true, maxAge: 60, logIndex: 9, newest: hashOf(9) })
    expect([...source.keys.values()]).toEqual([
      { ...keyOf(1), registeredAt: 3, changedAt: 3 },
      { ...keyOf(2, null, 5000), registeredAt: 3, changedAt: 9 },
      { ...keyOf(3), registeredAt: 9, changedAt: 9 },
    ])
    expect(registry.source('other')).toBeUndefined()
  })

  test.each([
    ['the first is not of the ledger itself', [], entry(0), 'signer', undefined],
    [
      'the ledger registers itself with a foreign key',
      [],
      entry(0, { source: SYSTEM.source }, keyOf(1).kid),
      'signer',
      undefined,
    ],
    ['signed by a key of the source itself', [entry(1)], entry(2, { previous: hashOf(1) }, keyOf(3).kid), 'signer', 1],
    [
      'a second key of the ledger vouches for itself',
      [],
      entry(1, { source: SYSTEM.source, previous: hashOf(0), keys: [keyOf(1)] }, keyOf(1).kid),
      'signer',
      undefined,
    ],
    ['one is missing before it', [entry(1)], entry(5, { previous: hashOf(3) }), 'previous', 5],
    ['a second one says that it is the first', [entry(1)], entry(2), 'previous', 2],
    ['the first that is known is not the first', [], entry(2, { previous: hashOf(1) }), 'previous', 2],
    ['it stands before one that counts already', [entry(4)], entry(4, { previous: hashOf(4) }), 'order', 4],
  ])('%s', (_what, before, last, fault, at) => {
    const registry = last.logIndex === 0 ? new Registry() : started()
    for (const one of before) expect(registry.apply(one)).toBeNull()
    expect(registry.apply(last)).toBe(fault)
    expect(registry.source('billing-api')?.logIndex).toBe(at)
  })

  test('a key of the ledger may sign if an earlier key registered it, or if it is pinned', () => {
    const registry = started()
    const next = { source: SYSTEM.source, previous: hashOf(0), keys: [keyOf(1)] }
    expect(registry.apply(entry(2, next))).toBeNull()
    expect(registry.apply(entry(3, {}, keyOf(1).kid))).toBeNull()
    expect(registry.apply(entry(4, { source: 'other' }, keyOf(2).kid))).toBe('signer')
    expect(registry.apply(entry(4, { source: 'other' }, keyOf(2).kid), new Set([keyOf(2).kid]))).toBeNull()
    expect(registry.names).toEqual([SYSTEM.source, 'billing-api', 'other'])
  })

  test('a missing registration is noticed, unless it is the last of its source', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 12 }),
        fc.nat(),
        (sources, which) => {
          const newest = new Map<string, number>()
          const entries = sources.map((source, i) => {
            const last = newest.get(source)
            newest.set(source, i + 1)
            return entry(i + 1, { source, previous: last === undefined ? null : hashOf(last) })
          })
          const gone = entries[which % entries.length]!
          const registry = started()
          const faults = entries.filter((one) => one !== gone).map((one) => registry.apply(one))
          const isLast = newest.get(gone.registration.source) === gone.logIndex
          expect(faults.filter((fault) => fault === 'previous').length).toBe(isLast ? 0 : 1)
        },
      ),
      { numRuns },
    )
  })
})
