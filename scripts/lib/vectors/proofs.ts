// Proofs and the verdicts on them. A case names a proof of the first list, the trust that is brought along, and what comes
// out; a proof that cannot be read has a code instead.

import type { Proof, Trust } from '@killick/sdk'
import {
  type Anchor,
  hideFields,
  type JsonObject,
  parseEvent,
  parseHash,
  printHash,
  printProof,
  printVkey,
  publicKeyBytes,
  signNote,
} from '@killick/sdk/core'
import { seed, signerFor } from './keys.ts'
import { keyOf, OWN, type RegistrationPlan, SYSTEM_SIGNER, settings } from './registrations.ts'
import { BETWEEN, CHAIN, factOf, INPUTS, makeWorld, ORIGIN, SOURCE, type World, type WorldOptions } from './world.ts'

type Carried = NonNullable<Proof['registrations']>[number]

export type ExpectedStatus = 'verified' | 'failed' | 'undecided'
export type ExpectedLevel = 'none' | 'signed' | 'logged' | 'anchored' | 'final'

/** Trust as JSON: hashes printed. */
function printTrust(trust: Trust) {
  return {
    ...trust,
    ...(trust.facts && { facts: trust.facts.map((fact) => ({ ...fact, root: printHash(fact.root) })) }),
  }
}

/**
 * @param failed Ids of the checks that fail; all others pass or are skipped.
 * @param skipped Ids of the checks that are skipped, but for those that follow from the proof's shape: it carries no
 *   registration; no anchor that the chain confirms bounds the time.
 */
export const verdict = (
  description: string,
  proof: Proof,
  trust: Trust,
  outcome: ExpectedStatus,
  level: ExpectedLevel,
  failed: string[] = [],
  skipped: string[] = [],
) => {
  const isOpen = (id: string) => failed.includes(id) || skipped.includes(id)
  const unbounded = ['event.form', 'log.inclusion', 'anchor.0.path', 'anchor.0.contract', 'anchor'].some(isOpen)
  const unfounded = ['event.form', 'batch.inclusion', 'log.inclusion'].some(isOpen)
  const shape = [
    ...(unbounded ? ['event.time'] : []),
    ...(proof.registrations === undefined || unfounded ? ['source.registration'] : []),
  ]
  return {
    ...{ description, proof: printProof(proof), trust: printTrust(trust), outcome, level },
    ...{ failed: failed.toSorted(), skipped: [...new Set([...skipped, ...shape])].toSorted() },
  }
}

const flipped = (hash: Uint8Array) =>
  parseHash(printHash(Uint8Array.from(hash, (byte, i) => (i === 0 ? byte ^ 1 : byte))))!

export async function proofs() {
  const worlds = {
    'Ed25519, batch of five, log of 21, anchored at 21': await makeWorld(),
    'ES256, the last event of its batch': await makeWorld({ alg: 'ES256', place: 4 }),
    'ES256K, the first entry of the log': await makeWorld({ alg: 'ES256K', index: 0 }),
    'unsigned events': await makeWorld({ unsigned: true, place: 2 }),
    'a key of its own for events': await makeWorld({ eventKey: signerFor('events') }),
    'the first event of a stream': await makeWorld({ first: 0 }),
    'a log of one entry': await makeWorld({ index: 0, size: 1 }),
    'anchored twice, the second time with a path of its own': await makeWorld({ anchored: [21, 33] }),
    'anchored at another size only': await makeWorld({ anchored: [33] }),
  }
  const pending = await makeWorld({ anchored: [] })
  return [
    ...Object.entries(worlds).map(([description, { proof, trust }]) =>
      verdict(description, proof, trust, 'verified', 'final', [], proof.event.includes('.') ? [] : ['event.signature']),
    ),
    verdict('not anchored yet', pending.proof, pending.trust, 'undecided', 'logged', [], ['anchor']),
    ...trusts(worlds['Ed25519, batch of five, log of 21, anchored at 21']),
    ...(await forgeries(worlds['Ed25519, batch of five, log of 21, anchored at 21'])),
    ...(await provenance()),
    ...unreadable(printProof(worlds['Ed25519, batch of five, log of 21, anchored at 21'].proof)),
  ]
}

/** One proof, looked at by verifiers who bring along more or less, and by way of nodes that say one thing or another. */
function trusts({ proof, trust }: World) {
  const facts = (changes: Record<string, unknown>): Trust => ({
    ...trust,
    facts: trust.facts.map((fact) => ({ ...fact, ...changes })),
  })
  const other = signerFor('other').jwk
  const otherLog = printVkey(ORIGIN, publicKeyBytes(other))
  const { facts: _, ...unread } = trust
  const allOfAnchor = ['anchor.0.contract', 'anchor.0.block', 'anchor.0.final']
  const unreadable = trust.facts.map(({ chainId, contract, logId, size, root, time, transaction, block, node }) => ({
    ...{ chainId, contract, logId, size, root, time, transaction, block, node, unreadable: 'could not be reached' },
  }))
  const see = (
    description: string,
    t: Trust,
    outcome: ExpectedStatus,
    level: ExpectedLevel,
    failed: string[] = [],
    skipped: string[] = [],
  ) => verdict(`trust: ${description}`, proof, t, outcome, level, failed, skipped)
  return [
    see(
      'nothing at all',
      {},
      'undecided',
      'signed',
      [],
      ['source.key', 'log.signature', ...allOfAnchor, 'anchor.0.log'],
    ),
    see(
      'only facts: the chain speaks, but of a contract that the proof named',
      { facts: trust.facts },
      'undecided',
      'final',
      [],
      ['source.key', 'log.signature', 'anchor.0.log'],
    ),
    see(
      'no source key: the key in the proof is a claim',
      { ...trust, sourceKeys: [] },
      'undecided',
      'final',
      [],
      ['source.key'],
    ),
    see(
      'a key of another source only',
      { ...trust, sourceKeys: [{ source: 'other', jwk: trust.sourceKeys[0]!.jwk }] },
      'undecided',
      'final',
      [],
      ['source.key'],
    ),
    see('a key for any source', { ...trust, sourceKeys: [{ jwk: trust.sourceKeys[0]!.jwk }] }, 'verified', 'final'),
    see('another key of the source', { ...trust, sourceKeys: [{ source: SOURCE, jwk: other }] }, 'failed', 'none', [
      'source.key',
    ]),
    see('no log key', { ...trust, logKeys: [] }, 'undecided', 'final', [], ['log.signature']),
    see('another key of the log', { ...trust, logKeys: [otherLog] }, 'failed', 'signed', ['log.signature']),
    see('no contract', { ...trust, logs: [] }, 'undecided', 'final', [], ['anchor.0.log']),
    see(
      'an address in capitals, as wallets print it',
      { ...trust, logs: [{ ...CHAIN, contract: `0x${CHAIN.contract.slice(2).toUpperCase()}` }] },
      'verified',
      'final',
    ),
    see('another contract', { ...trust, logs: [{ ...CHAIN, contract: `0x${'12'.repeat(20)}` }] }, 'failed', 'logged', [
      'anchor.0.log',
    ]),
    see('another chain', { ...trust, logs: [{ ...CHAIN, chainId: 1 }] }, 'failed', 'logged', ['anchor.0.log']),
    see('another log id', { ...trust, logs: [{ ...CHAIN, logId: `0x${'34'.repeat(32)}` }] }, 'failed', 'logged', [
      'anchor.0.log',
    ]),
    see('no node was asked', unread, 'undecided', 'logged', [], allOfAnchor),
    see('the node could not be reached', { ...trust, facts: unreadable }, 'undecided', 'logged', [], allOfAnchor),
    see('the contract does not hold the root', facts({ anchored: false }), 'failed', 'logged', ['anchor.0.contract']),
    see('other code at the address', facts({ genuineCode: false }), 'failed', 'logged', ['anchor.0.contract']),
    see('the block lacks the transaction', facts({ located: false }), 'failed', 'logged', ['anchor.0.block']),
    see(
      'the node has pruned the block',
      facts({ located: null, confirmations: 0 }),
      'verified',
      'final',
      [],
      ['anchor.0.block'],
    ),
    see('not finalized yet', facts({ finalized: false }), 'verified', 'anchored', [], ['anchor.0.final']),
    see(
      'no finality, 11 of 12 confirmations',
      facts({ finalized: null, confirmations: 11 }),
      'verified',
      'anchored',
      [],
      ['anchor.0.final'],
    ),
    see('no finality, 12 of 12 confirmations', facts({ finalized: null, confirmations: 12 }), 'verified', 'final'),
    see(
      'no finality, 12 of 100 confirmations asked for',
      { ...facts({ finalized: null, confirmations: 12 }), confirmations: 100 },
      'verified',
      'anchored',
      [],
      ['anchor.0.final'],
    ),
    see(
      'one node confirms and one denies',
      { ...trust, facts: [...trust.facts, ...facts({ anchored: false }).facts!] },
      'failed',
      'logged',
      ['anchor.0.contract'],
    ),
    see(
      'one node is silent and one confirms',
      { ...trust, facts: [...unreadable, ...trust.facts] },
      'verified',
      'final',
    ),
    see(
      'a fact about another root',
      facts({ root: flipped(proof.anchors[0]!.root) }),
      'undecided',
      'logged',
      [],
      allOfAnchor,
    ),
    see(
      'a failed check beside skipped ones',
      { sourceKeys: [{ source: SOURCE, jwk: other }] },
      'failed',
      'none',
      ['source.key'],
      ['log.signature', ...allOfAnchor, 'anchor.0.log'],
    ),
  ]
}

/** One slip each in the proof; the verifier has everything pinned and honest facts about the true anchor. */
async function forgeries({ proof, trust }: World) {
  const {
    batch,
    log,
    anchors: [anchor],
    keys,
  } = proof as Proof & { anchors: [Proof['anchors'][0]] }
  const elsewhere = await makeWorld({ first: 12 })
  const stranger = await makeWorld({ eventKey: signerFor('other') })
  const event2 = await makeWorld({ place: 1 })
  const text = proof.checkpoint.slice(0, proof.checkpoint.lastIndexOf('\n\n') + 1)
  const other = signerFor('other')
  const sign = other.sign as (message: Uint8Array) => Uint8Array
  const unasked = ['anchor.0.contract', 'anchor.0.block', 'anchor.0.final']
  const token = proof.event.split('~')
  const forge = (
    description: string,
    slips: Partial<Proof>,
    failed: string[],
    level: ExpectedLevel,
    skipped: string[] = [],
  ) => verdict(`forged: ${description}`, { ...proof, ...slips }, trust, 'failed', level, failed, skipped)
  const anchored = (changes: Partial<Proof['anchors'][0]>) => ({ anchors: [{ ...anchor, ...changes }] })
  return [
    forge('another event of the batch', { event: event2.proof.event }, ['batch.inclusion'], 'none'),
    forge('an event of another batch', { event: elsewhere.proof.event }, ['batch.inclusion'], 'none'),
    forge(
      'the event without its signature',
      { event: [token[0]!.split('.')[1], ...token.slice(1)].join('~') },
      ['batch.inclusion'],
      'none',
      ['event.signature'],
    ),
    forge(
      'a disclosure made up',
      { event: `${token[0]}~${Buffer.from('["AAAAAAAAAAAAAAAAAAAAAA","action","x"]').toString('base64url')}~` },
      ['event.form'],
      'none',
      ['event.fields', 'event.signature', 'batch.inclusion', 'source.key'],
    ),
    forge('a place one later', { batch: { ...batch, index: 1 } }, ['batch.inclusion'], 'none'),
    forge('a batch path cut short', { batch: { ...batch, path: batch.path.slice(1) } }, ['batch.inclusion'], 'none'),
    forge(
      'the header of another batch',
      { batch: elsewhere.proof.batch },
      ['batch.inclusion', 'log.inclusion'],
      'none',
    ),
    forge('another log index', { log: { ...log, index: 10 } }, ['log.inclusion'], 'signed'),
    forge(
      'a log path with a hash changed',
      { log: { ...log, path: [flipped(log.path[0]!), ...log.path.slice(1)] } },
      ['log.inclusion'],
      'signed',
    ),
    forge(
      'another origin',
      { log: { ...log, origin: 'other.example.com/log' } },
      ['log.inclusion', 'log.signature'],
      'signed',
    ),
    forge(
      'a checkpoint of another size',
      { checkpoint: proof.checkpoint.replace('\n21\n', '\n22\n') },
      ['log.inclusion', 'log.signature'],
      'signed',
    ),
    forge(
      'a checkpoint signed by another key',
      { checkpoint: signNote(text, ORIGIN, publicKeyBytes(other.jwk), sign) },
      ['log.signature'],
      'signed',
    ),
    verdict(
      'forged: an anchor at another size that has the same path: only the chain can tell',
      { ...proof, ...anchored({ size: 22, path: log.path }) },
      trust,
      'undecided',
      'logged',
      [],
      unasked,
    ),
    forge(
      'an anchor at a size that has another path',
      anchored({ size: 40, path: log.path }),
      ['anchor.0.path'],
      'logged',
      unasked,
    ),
    forge(
      'an anchor with another root',
      anchored({ root: flipped(anchor.root) }),
      ['anchor.0.path'],
      'logged',
      unasked,
    ),
    forge(
      'an anchor in another log',
      anchored({ logId: `0x${seed('x').toString('hex')}` }),
      ['anchor.0.log'],
      'logged',
      unasked,
    ),
    forge('an anchor on another chain', anchored({ chainId: 1 }), ['anchor.0.log'], 'logged', unasked),
    verdict(
      'forged: an anchor a second later',
      { ...proof, ...anchored({ time: anchor.time + 1 }) },
      trust,
      'undecided',
      'logged',
      [],
      unasked,
    ),
    verdict(
      'forged: an anchor in another transaction',
      { ...proof, ...anchored({ transaction: `0x${seed('x').toString('hex')}` }) },
      trust,
      'undecided',
      'logged',
      [],
      unasked,
    ),
    forge(
      'a key that did not sign',
      { keys: [other.jwk] },
      ['event.signature', 'batch.signature', 'source.key'],
      'none',
    ),
    forge('a key too many', { keys: [...keys, other.jwk] }, ['source.key'], 'none'),
    forge('a source key of the forger’s', stranger.proof, ['source.key'], 'none', unasked),
  ]
}

/** Two-sided time, registrations and fields: what they show, and one slip in each. */
async function provenance() {
  const source = signerFor('source Ed25519')
  const spare = signerFor('spare')
  const plans: RegistrationPlan[] = [
    OWN,
    { index: 3, registration: settings(SOURCE, [keyOf(source)]) },
    { index: 5, registration: settings(SOURCE, [keyOf(spare)]) },
  ]
  const make = (options: WorldOptions = {}) => makeWorld({ before: 8, registrations: plans, ...options })
  const whole = await make()
  const { proof, trust } = whole
  const anchor = proof.anchors[0]!
  const [own, first, second] = proof.registrations as [Carried, Carried, Carried]
  const good = (description: string, p: Proof, t: Trust = trust, skipped: string[] = []) =>
    verdict(description, p, t, 'verified', 'final', [], skipped)
  const bad = (description: string, registrations: readonly Carried[] | undefined) =>
    verdict(`registration: ${description}`, { ...proof, registrations } as Proof, trust, 'failed', 'none', [
      'source.registration',
    ])
  const other = async (description: string, change: readonly RegistrationPlan[], options: WorldOptions = {}) => {
    const world = await make({ registrations: change, ...options })
    return verdict(`registration: ${description}`, world.proof, world.trust, 'failed', 'none', ['source.registration'])
  }
  const iso = (ms: number) => new Date(ms).toISOString()
  const by = anchor.time * 1000
  const pin = (description: string, bounds: object, outcome: ExpectedStatus, level: ExpectedLevel) =>
    verdict(
      `pin: ${description}`,
      proof,
      { ...trust, sourceKeys: [{ source: SOURCE, jwk: source.jwk, ...bounds }] },
      outcome,
      level,
      outcome === 'failed' ? ['source.key'] : [],
      outcome === 'undecided' ? ['source.key'] : [],
    )
  const before = (description: string, change: object, failed: string[], skipped: string[], t: Trust = trust) =>
    verdict(
      `before: ${description}`,
      { ...proof, anchors: [{ ...anchor, before: { ...anchor.before!, ...change } }] },
      t,
      failed.length > 0 ? 'failed' : 'verified',
      failed.length > 0 ? 'logged' : 'final',
      failed,
      skipped,
    )
  const earlier = (change: object): Trust => ({
    ...trust,
    facts: trust.facts.map((fact) => (fact.size === 8 ? { ...fact, ...change } : fact)),
  })
  const at = async (description: string, time: number, skipped: string[]) => {
    const world = await make({ inputs: [{ ...INPUTS[1]!, occurredAt: iso(time) }] })
    return good(`time: ${description}`, world.proof, world.trust, skipped)
  }
  const expired = (notBefore: number | null, notAfter: number | null): RegistrationPlan[] => [
    OWN,
    { index: 3, registration: settings(SOURCE, [keyOf(source)]) },
    { index: 5, registration: settings(SOURCE, [keyOf(source, notBefore, notAfter)]) },
  ]
  const hidden = { ...proof, event: hideFields(parseEvent(proof.event), ['action', 'actor', 'targets']) }
  const longer = await make({ registrations: [...plans, { index: 7, registration: settings(SOURCE, []) }] })
  const promise = (heartbeat: number) => [
    OWN,
    { index: 3, registration: { ...settings(SOURCE, [keyOf(source)]), heartbeat } },
  ]
  const promising = await make({ registrations: promise(300) })
  const late = await make({ between: 10_000 })
  const later = await make({
    registrations: [...plans, { index: 15, registration: settings(SOURCE, [keyOf(source, null, by)]) }],
  })
  const [ended, begun] = await Promise.all([
    make({ registrations: expired(null, by - BETWEEN - 1) }),
    make({ registrations: expired(by + 1, null) }),
  ])
  // An anchor of 8 entries says that entry 9 came later than that.
  const endedOwn = await make({
    registrations: [
      OWN,
      { index: 3, registration: settings(SOURCE, [keyOf(source)]) },
      { index: 5, registration: settings('killick', [keyOf(SYSTEM_SIGNER, null, by - BETWEEN - 1), keyOf(spare)]) },
      { index: 9, registration: settings(SOURCE, [keyOf(spare)]) },
    ],
  })
  const twice = await make({ anchored: [21, 33] })
  const elsewhere = { ...CHAIN, logId: `0x${seed('another log').toString('hex')}` }
  const [pinnedAnchor, foreignAnchor] = twice.proof.anchors.map(({ before: _, ...one }) => one) as [Anchor, Anchor]
  const foreign = { ...foreignAnchor, ...elsewhere }
  return [
    good('registered before it was used, and anchored before and after', proof),
    good('a registration that promises a heartbeat', promising.proof, promising.trust),
    good('the registrations of a proof that was made short', {
      ...proof,
      registrations: undefined,
    } as unknown as Proof),
    bad('none of the ledger itself', [first, second]),
    bad('none of the source', [own]),
    bad('only of another key', [own, second]),
    bad('in another order', [own, second, first]),
    bad('one twice', [own, first, first, second]),
    bad('at another place', [own, { ...first, index: 4 }, second]),
    bad('a path with a hash changed', [own, { ...first, path: [flipped(first.path[0]!), ...first.path.slice(1)] }]),
    bad('the header of another', [own, { ...first, header: second.header }]),
    bad('an event of the source in its place', [own, { ...first, event: proof.event }]),
    bad('its metadata hidden', [own, { ...first, event: hideFields(parseEvent(first.event), ['action', 'targets']) }]),
    await other('signed by the source itself', [OWN, { ...plans[1]!, signer: source }]),
    await other('signed by a key of the ledger that vouches for itself', [
      OWN,
      { index: 2, registration: settings('killick', [keyOf(spare)]), signer: spare },
      { ...plans[1]!, signer: spare },
    ]),
    await other('a heartbeat in parts of a second', promise(0.5)),
    await other('of another source', [OWN, { index: 3, registration: settings('other', [keyOf(source)]) }]),
    await other('later than the event', [OWN, { index: 15, registration: settings(SOURCE, [keyOf(source)]) }]),
    await other('of the ledger by itself, where the log does not begin', [
      { index: 2, registration: settings('killick', [keyOf(spare)]), signer: spare },
      { ...plans[1]!, signer: spare },
    ]),
    await other('one more, of another source', [
      ...plans,
      { index: 6, registration: settings('other', [keyOf(spare)]) },
    ]),
    await other('the same key, by another ledger in the same stream', [
      OWN,
      { index: 2, registration: { ...settings('killick', [keyOf(spare)]), previous: null }, signer: spare },
      { ...plans[1]!, signer: spare },
    ]),
    good('registration: one after the event is told, and takes nothing away', later.proof, later.trust),
    good('registration: its key ended before the anchor before', ended.proof, ended.trust, ['source.registration']),
    good('registration: its key began after it was anchored', begun.proof, begun.trust, ['source.registration']),
    good('registration: a key of the ledger had ended', endedOwn.proof, endedOwn.trust, ['source.registration']),
    verdict(
      'registration: neither the log nor its contract is pinned',
      proof,
      { sourceKeys: trust.sourceKeys, facts: trust.facts },
      'undecided',
      'final',
      [],
      ['source.registration', 'log.signature', 'anchor.0.log'],
    ),
    verdict(
      'registration: the contract is pinned and not the log, and holds the root',
      proof,
      { sourceKeys: trust.sourceKeys, facts: trust.facts, logs: trust.logs },
      'undecided',
      'final',
      [],
      ['log.signature'],
    ),
    await other('of a key that is not the one it names', [
      OWN,
      { index: 3, registration: settings(SOURCE, [{ ...keyOf(source), kid: spare.kid }]) },
    ]),
    ...(await Promise.all(
      [expired(null, by - 1), expired(by - BETWEEN + 1, null)].map(async (change, i) => {
        const world = await make({ registrations: change })
        return good(
          `registration: its key ${i === 0 ? 'ended' : 'began'} between the anchors`,
          world.proof,
          world.trust,
        )
      }),
    )),
    good(
      'registration: one is missing between those carried',
      { ...longer.proof, registrations: [0, 1, 3].map((i) => longer.proof.registrations![i]!) },
      longer.trust,
      ['source.registration'],
    ),
    pin('ends when it was anchored', { notAfter: iso(by) }, 'verified', 'final'),
    pin('ends between the anchors', { notAfter: iso(by - 1000) }, 'undecided', 'final'),
    pin('ended before the anchor before', { notAfter: iso(by - BETWEEN - 1000) }, 'failed', 'none'),
    pin('begins with the anchor before', { notBefore: iso(by - BETWEEN) }, 'verified', 'final'),
    pin('begins between the anchors', { notBefore: iso(by - 1000) }, 'undecided', 'final'),
    pin('begins after it was anchored', { notBefore: iso(by + 1000) }, 'failed', 'none'),
    before('it covers the entry', { size: 12 }, ['anchor.0.before'], []),
    before('it is of no entries', { size: 0 }, ['anchor.0.before'], []),
    before('it is later than the anchor', { time: anchor.time + 1 }, ['anchor.0.before'], []),
    before('nothing is known of it', { root: flipped(anchor.root) }, [], ['anchor.0.before']),
    before('the contract does not hold it', {}, ['anchor.0.before'], [], earlier({ anchored: false })),
    before('other code at the address', {}, ['anchor.0.before'], [], earlier({ genuineCode: false })),
    before('its block lacks the transaction', {}, ['anchor.0.before'], [], earlier({ located: false })),
    before('the node has pruned its block', {}, [], [], earlier({ located: null })),
    await at('said to have happened an hour after it was anchored', by + 3_600_000, []),
    await at('said to have happened later than that', by + 3_601_000, ['event.time']),
    await at('said to have happened years before: that may be', by - 1e11, []),
    good('time: recorded 69.5 seconds before the anchor before, 70 are allowed', late.proof, {
      ...late.trust,
      timeTolerance: 70,
    }),
    good(
      'time: recorded 69.5 seconds before the anchor before, 69 are allowed',
      late.proof,
      { ...late.trust, timeTolerance: 69 },
      ['event.time'],
    ),
    good('fields: some are hidden', hidden, trust, ['event.fields']),
    good('fields: the ledger has lost some', { ...hidden, missing: 5 }, trust, ['event.fields']),
    verdict('fields: more are said to be lost than are not shown', { ...hidden, missing: 6 }, trust, 'failed', 'none', [
      'event.fields',
    ]),
    verdict(
      'the pinned anchor cannot be read, another one says that all is final',
      { ...twice.proof, anchors: [pinnedAnchor, foreign] },
      { ...trust, facts: [factOf(foreign)] },
      'undecided',
      'logged',
      [],
      ['anchor.0.contract', 'anchor.0.block', 'anchor.0.final', 'anchor.1.log'],
    ),
  ]
}

/** Slips after which nothing is left to check. */
function unreadable(text: string) {
  const edited = (edit: (proof: JsonObject & Record<string, JsonObject>) => void) => {
    const proof = JSON.parse(text) as JsonObject & Record<string, JsonObject>
    edit(proof)
    return JSON.stringify(proof)
  }
  const anchors = (edit: (anchor: JsonObject) => void) =>
    edited((proof) => edit((proof.anchors as unknown as JsonObject[])[0]!))
  const bad = (description: string, code: string, proof: string) => ({
    description: `unreadable: ${description}`,
    proof,
    code,
  })
  return [
    bad('empty', 'json_invalid', ''),
    bad('cut off', 'json_invalid', text.slice(0, -1)),
    bad('an array', 'proof_malformed', `[${text}]`),
    bad('another format', 'proof_malformed', text.replace('killick-proof/1', 'killick-proof/2')),
    bad('a member more', 'proof_malformed', text.replace('{', '{"note":1,')),
    bad('a member twice', 'json_duplicate_member', text.replace('{', '{"format":"killick-proof/1",')),
    bad(
      'no anchors',
      'proof_malformed',
      edited((proof) => delete (proof as JsonObject).anchors),
    ),
    bad(
      '17 anchors',
      'proof_malformed',
      edited((proof) =>
        Object.assign(proof, { anchors: Array(17).fill((proof.anchors as unknown as JsonObject[])[0]) }),
      ),
    ),
    bad(
      'a place of -1',
      'proof_malformed',
      edited((proof) => Object.assign(proof.batch!, { index: -1 })),
    ),
    bad('an index of 2^53', 'json_number_inexact', text.replace('"index":11', '"index":9007199254740992')),
    bad(
      'a size as a string',
      'proof_malformed',
      edited((proof) => Object.assign(proof.log!, { size: '21' })),
    ),
    bad(
      'a path of 65 hashes',
      'proof_malformed',
      edited((proof) => Object.assign(proof.log!, { path: Array(65).fill('A'.repeat(43)) })),
    ),
    bad(
      'a hash with a stray bit',
      'proof_malformed',
      edited((proof) => Object.assign(proof.log!, { path: [`${'A'.repeat(42)}B`] })),
    ),
    bad(
      'a hash with padding',
      'proof_malformed',
      edited((proof) => Object.assign(proof.log!, { path: [`${'A'.repeat(43)}=`] })),
    ),
    bad(
      'an address in capitals',
      'proof_malformed',
      anchors((anchor) => Object.assign(anchor, { contract: String(anchor.contract).toUpperCase().replace('X', 'x') })),
    ),
    bad(
      'an address without 0x',
      'proof_malformed',
      anchors((anchor) => Object.assign(anchor, { contract: String(anchor.contract).slice(2) })),
    ),
    bad(
      'an anchor of the log’s size with a path of its own',
      'proof_malformed',
      anchors((anchor) => Object.assign(anchor, { path: [] })),
    ),
    bad(
      'an anchor of another size without a path',
      'proof_malformed',
      anchors((anchor) => Object.assign(anchor, { size: 33 })),
    ),
    bad(
      'a block time beyond 32 bits',
      'proof_malformed',
      anchors((anchor) => Object.assign(anchor, { time: 2 ** 32 })),
    ),
    bad(
      'an anchor before with a chain of its own',
      'proof_malformed',
      anchors((anchor) => Object.assign(anchor, { before: { ...anchor, path: undefined } })),
    ),
    bad(
      'nothing missing, and said so',
      'proof_malformed',
      edited((proof) => Object.assign(proof, { missing: 0 })),
    ),
    bad(
      'no registration in the list of them',
      'proof_malformed',
      edited((proof) => Object.assign(proof, { registrations: [] })),
    ),
    bad(
      '17 registrations',
      'proof_malformed',
      edited((proof) =>
        Object.assign(proof, { registrations: Array(17).fill({ event: '', header: '', index: 0, path: [] }) }),
      ),
    ),
    bad(
      'a registration with a member more',
      'proof_malformed',
      edited((proof) =>
        Object.assign(proof, { registrations: [{ event: '', header: '', index: 0, path: [], key: '' }] }),
      ),
    ),
    bad(
      'no key',
      'proof_malformed',
      edited((proof) => Object.assign(proof, { keys: [] })),
    ),
    bad(
      'three keys',
      'proof_malformed',
      edited((proof) => Object.assign(proof, { keys: Array(3).fill((proof.keys as unknown as JsonObject[])[0]) })),
    ),
    bad(
      'a key with a member more',
      'proof_malformed',
      edited((proof) => Object.assign((proof.keys as unknown as JsonObject[])[0]!, { use: 'sig' })),
    ),
    bad(
      'a private key',
      'proof_malformed',
      edited((proof) => Object.assign((proof.keys as unknown as JsonObject[])[0]!, { d: 'A'.repeat(43) })),
    ),
    bad(
      'a key of small order',
      'key_invalid',
      edited((proof) => Object.assign((proof.keys as unknown as JsonObject[])[0]!, { x: `AQ${'A'.repeat(41)}` })),
    ),
  ]
}
