// Proofs and the verdicts on them. A case names a proof of the first list, the trust that is brought along, and what comes
// out; a proof that cannot be read has a code instead.
import {
  type JsonObject,
  type Proof,
  parseHash,
  printHash,
  printProof,
  printVkey,
  publicKeyBytes,
  signNote,
  type Trust,
} from '@killick/sdk'
import { seed, signerFor } from './keys.ts'
import { CHAIN, makeWorld, ORIGIN, SOURCE, type World } from './world.ts'

type Outcome = 'verified' | 'failed' | 'undecided'
type Level = 'none' | 'signed' | 'logged' | 'anchored' | 'final'

/** Trust as JSON: hashes printed. */
function printTrust(trust: Trust) {
  return {
    ...trust,
    ...(trust.facts && { facts: trust.facts.map((fact) => ({ ...fact, root: printHash(fact.root) })) }),
  }
}

/** @param failed Ids of the checks that fail; all others pass or are skipped. */
const verdict = (
  description: string,
  proof: string | Proof,
  trust: Trust,
  outcome: Outcome,
  level: Level,
  failed: string[] = [],
  skipped: string[] = [],
) => ({
  ...{
    description,
    proof: typeof proof === 'string' ? proof : printProof(proof),
    trust: printTrust(trust),
    outcome,
    level,
    failed,
    skipped,
  },
})

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
    outcome: Outcome,
    level: Level,
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
  const forge = (description: string, slips: Partial<Proof>, failed: string[], level: Level, skipped: string[] = []) =>
    verdict(`forged: ${description}`, { ...proof, ...slips }, trust, 'failed', level, failed, skipped)
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
      ['event.signature', 'batch.inclusion', 'source.key'],
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
