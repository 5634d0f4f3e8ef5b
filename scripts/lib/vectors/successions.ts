// A log that goes on under another publisher: statements as text, and proofs whose anchors carry them, under the trust of somebody
// who pinned a log that was left.

import type { Trust } from '@killick/sdk'
import {
  type Anchor,
  asHash,
  printHash,
  printProof,
  printSuccession,
  publicKeyBytes,
  type Succeeds,
  type Succession,
  sha256,
  signNote,
} from '@killick/sdk/core'
import { seed, signerFor } from './keys.ts'
import { type ExpectedLevel, type ExpectedStatus, verdict } from './proofs.ts'
import { CHAIN, factOf, makeWorld, ORIGIN, TIME, type Tree } from './world.ts'

type Place = Succession['to']

/** Logs that were left, the n-th at `size`; each in a chain and contract of its own, which may be the same. */
type Left = { readonly place: Place; readonly size: number }

const place = (label: string, chainId = CHAIN.chainId): Place => ({
  ...{ chainId, contract: CHAIN.contract, logId: `0x${seed(`log id ${label}`).toString('hex')}` },
})

const ROOT = asHash(Uint8Array.from(seed('root')))
const STATED: Succession = {
  origin: ORIGIN,
  from: { ...place('left', 1), size: 8, root: ROOT, time: TIME / 1000 - 0.25 },
  to: CHAIN,
}

function statements() {
  const text = printSuccession(STATED)
  const good = (description: string, stated: Succession) => ({
    ...{ description, valid: true, text: printSuccession(stated) },
    statement: { ...stated, from: { ...stated.from, root: printHash(stated.from.root) } },
  })
  const from = (changes: Partial<Succession['from']>): Succession => ({
    ...STATED,
    from: { ...STATED.from, ...changes },
  })
  const bad = (description: string, changed: string) => {
    if (changed === text) throw new Error(`nothing is wrong: ${description}`)
    return { description, valid: false, text: changed, code: 'note_malformed' }
  }
  const line = (n: number, change: (line: string) => string) =>
    text
      .split('\n')
      .map((one, i) => (i === n ? change(one) : one))
      .join('\n')
  return [
    good('from one chain to another', STATED),
    good('to another contract of the same chain', {
      ...STATED,
      to: { ...place('left', 1), contract: `0x${'12'.repeat(20)}` },
    }),
    good('after one entry, at time 0', from({ size: 1, time: 0 })),
    good('after 2^53 − 1 entries, at the end of 32 bits', from({ size: 2 ** 53 - 1, time: 2 ** 32 - 1 })),
    bad(
      'another version',
      line(0, () => 'killick-succession/2'),
    ),
    bad('no first line', text.slice(text.indexOf('\n') + 1)),
    bad(
      'after no entry',
      line(3, (s) => s.replace(/^\d+/, '0')),
    ),
    bad(
      'after 2^53 entries',
      line(3, (s) => s.replace(/^\d+/, '9007199254740992')),
    ),
    bad(
      'a size with a zero before it',
      line(3, (s) => `0${s}`),
    ),
    bad(
      'a size with a point',
      line(3, (s) => s.replace(' ', '.0 ')),
    ),
    bad(
      'a time of 33 bits',
      line(3, (s) => s.replace(/\d+$/, '4294967296')),
    ),
    bad(
      'a time with a fraction',
      line(3, (s) => `${s}.5`),
    ),
    bad(
      'a time before 1970',
      line(3, (s) => s.replace(/\d+$/, '-1')),
    ),
    bad(
      'no time',
      line(3, (s) => s.slice(0, s.lastIndexOf(' '))),
    ),
    bad(
      'a root in base64url',
      line(3, (s) => s.replaceAll('+', '-').replaceAll('/', '_').replace('=', '')),
    ),
    bad(
      'a root of 31 bytes',
      line(3, (s) => s.replace(/ \S+ /, ` ${Buffer.alloc(31).toString('base64')} `)),
    ),
    bad(
      'a chain in hex',
      line(2, (s) => s.replace(/^1/, '0x1')),
    ),
    bad(
      'a chain with a zero before it',
      line(2, (s) => `0${s}`),
    ),
    bad(
      'a chain of 2^53 + 2, which a double can hold',
      line(2, (s) => s.replace(/^1/, '9007199254740994')),
    ),
    bad(
      'a contract in capitals',
      line(2, (s) => s.replace('fbdb', 'FBDB')),
    ),
    bad(
      'a log id cut short',
      line(4, (s) => s.slice(0, -2)),
    ),
    bad(
      'no log from then on',
      line(4, () => ''),
    ),
    bad(
      'two spaces',
      line(2, (s) => s.replace(' ', '  ')),
    ),
    bad('a line more', `${text}more\n`),
    bad('no final newline', text.slice(0, -1)),
    bad('CRLF line ends', text.replaceAll('\n', '\r\n')),
    bad('empty', ''),
  ]
}

/** A world whose log succeeds others, and what the chain says of the anchors that they end with. */
async function succeeding(left: readonly Left[], anchored = [21]) {
  const world = await makeWorld({ anchored })
  const steps = left.map(({ place, size }, n) =>
    stepOf(world, n, place, size, left[n - 1] ?? { place: CHAIN, size: anchored[0]! }),
  )
  const anchors = world.proof.anchors.map((anchor): Anchor => ({ ...anchor, succeeds: steps.map(({ step }) => step) }))
  const facts = [...world.trust.facts, ...steps.map(({ named }) => factOf(named))]
  return { ...world, steps, proof: { ...world.proof, anchors }, trust: { ...world.trust, facts } }
}

type Told = { step: Succeeds; stated: Succession; named: Anchor }

/** The statement that a log was left at a size for the next one, as the log's key makes it unless another does. */
function stepOf(
  { tree }: { tree: Tree },
  n: number,
  left: Place,
  size: number,
  next: Left,
  changes: Partial<Succession> = {},
): Told {
  const time = TIME / 1000 - 0.25 - 1000 * (n + 1)
  const where = { transaction: `0x${seed(`transaction of the end ${n}`).toString('hex')}`, block: 8_000_000 - n }
  const from = { ...left, size, root: tree.root(size), time }
  const stated = { origin: ORIGIN, from, to: next.place, ...changes }
  return {
    ...{ stated, named: { ...stated.from, ...where } },
    step: { note: noteOf(stated), ...where, path: tree.consistency(size, next.size) },
  }
}

function noteOf(stated: Succession, by = signerFor('log')): string {
  const sign = by.sign as (message: Uint8Array) => Uint8Array
  return signNote(printSuccession(stated), stated.origin, publicKeyBytes(by.jwk), sign)
}

async function proofs() {
  const [first, second] = [place('first'), place('second', 1)]
  const before = await succeeding([{ place: first, size: 8 }])
  const after = await succeeding([{ place: first, size: 16 }])
  const twice = await succeeding([
    { place: second, size: 16 },
    { place: first, size: 8 },
  ])
  const equal = await succeeding([{ place: first, size: 21 }])
  const chain = [4, 3, 2, 1].map((n) => ({ place: place(`left ${n}`), size: 2 * n }))
  const four = await succeeding(chain)
  type Case = Awaited<ReturnType<typeof succeeding>>

  const see = (
    description: string,
    world: Case,
    pins: readonly Place[],
    [outcome, level]: [ExpectedStatus, ExpectedLevel],
    reason: string,
    changes: { succeeds?: readonly Succeeds[]; trust?: Partial<Trust>; anchors?: readonly Anchor[] } = {},
    skipped: string[] = [],
  ) => {
    const [anchor] = world.proof.anchors as [Anchor]
    const anchors = changes.anchors ?? [{ ...anchor, succeeds: changes.succeeds ?? anchor.succeeds! }]
    const proof = { ...world.proof, anchors }
    const n = anchors.length - 1
    const isFailed = outcome === 'failed'
    const [failed, open] = [isFailed ? [`anchor.${n}.log`] : [], isFailed || reason === 'ok' ? [] : [`anchor.${n}.log`]]
    const trust = { ...world.trust, logs: pins, ...changes.trust }
    const made = verdict(`succession: ${description}`, proof, trust, outcome, level, failed, [...open, ...skipped])
    return { ...made, reasons: { [`anchor.${n}.log`]: reason } }
  }
  const WORD: [ExpectedStatus, ExpectedLevel] = ['undecided', 'final']
  const FAILED: [ExpectedStatus, ExpectedLevel] = ['failed', 'logged']
  const forged = (description: string, world: Case, succeeds: readonly Succeeds[], reason = 'succession_invalid') =>
    see(description, world, [first], FAILED, reason, { succeeds })

  const [{ step, stated }] = before.steps as [Told]
  const [near, far] = twice.steps.map((one) => one.step) as [Succeeds, Succeeds]
  const said = (changes: Partial<Succession>, by = signerFor('log')) => [
    { ...step, note: noteOf({ ...stated, ...changes }, by) },
  ]
  const from = (changes: Partial<Succession['from']>) => said({ from: { ...stated.from, ...changes } })
  const factsBut = (world: Case, n: number, changes: object) => ({
    facts: world.trust.facts.map((fact) => (fact.size === world.steps[n]!.named.size ? { ...fact, ...changes } : fact)),
  })
  const silent = ({
    node,
    chainId,
    contract,
    logId,
    size,
    root,
    time,
    transaction,
    block,
  }: ReturnType<typeof factOf>) => ({
    ...{ node, chainId, contract, logId, size, root, time, transaction, block, unreadable: 'could not be reached' },
  })
  // The log that was left has an anchor that covers the entry, and is pinned.
  const [{ named }] = after.steps as [Told]
  const both = [{ ...named, path: after.tree.inclusion(16) }, after.proof.anchors[0]!]

  const unread = (description: string, succeeds: unknown) => {
    const proof = JSON.parse(printProof(before.proof))
    proof.anchors[0].succeeds = succeeds
    return {
      description: `succession, unreadable: ${description}`,
      proof: JSON.stringify(proof),
      code: 'proof_malformed',
    }
  }
  const printed = { ...step, path: step.path.map(printHash) }

  return [
    see('the pinned log was left before the entry', before, [first], WORD, 'succeeded'),
    see('the pinned log was left after the entry', after, [first], WORD, 'succeeded'),
    see('the pinned log was left at the very size that the new one begins with', equal, [first], WORD, 'succeeded'),
    see('the pinned log has an anchor of the entry too', after, [first], ['verified', 'final'], 'succeeded', {
      anchors: both,
    }),
    see('the new log is pinned', before, [CHAIN], ['verified', 'final'], 'ok'),
    see(
      'an address in capitals, as wallets print it',
      before,
      [{ ...first, contract: `0x${first.contract.slice(2).toUpperCase()}` }],
      WORD,
      'succeeded',
    ),
    see('two steps, the first log is pinned', twice, [first], WORD, 'succeeded'),
    see('two steps, the second log is pinned', twice, [second], WORD, 'succeeded'),
    see('two steps, both are pinned', twice, [first, second], WORD, 'succeeded'),
    see('four steps', four, [chain.at(-1)!.place], WORD, 'succeeded'),
    see('what stands behind the pinned log counts for nothing', before, [first], WORD, 'succeeded', {
      succeeds: [step, { ...step, note: 'x' }],
    }),

    see('none of the pinned logs is succeeded', before, [second], FAILED, 'pin_mismatch'),
    see('the anchor carries no statement', before, [first], FAILED, 'pin_mismatch', {
      anchors: (await makeWorld()).proof.anchors,
    }),
    see(
      'no key of the log is pinned',
      before,
      [first],
      ['failed', 'signed'],
      'pin_mismatch',
      { trust: { logKeys: [] } },
      ['log.signature'],
    ),
    see('two steps, only one is carried', twice, [first], FAILED, 'pin_mismatch', { succeeds: [near] }),
    forged('signed by another key', before, said({}, signerFor('other'))),
    forged('a checkpoint for a statement', before, [{ ...step, note: before.proof.checkpoint }]),
    forged('of another origin', before, said({ origin: 'other.example.com/log' })),
    forged('to another log', before, said({ to: second })),
    forged('to the log itself', before, said({ to: stated.from })),
    forged('a size one less', before, from({ size: 7 })),
    forged('another root', before, from({ root: asHash(sha256(new Uint8Array(1))) })),
    forged('a path cut short', before, [{ ...step, path: step.path.slice(1) }]),
    forged('a path with a hash more', before, [{ ...step, path: [...step.path, ROOT] }]),
    forged('a note with a character changed', before, [
      { ...step, note: step.note.replace('succession/1', 'succession/2') },
    ]),
    forged('two steps in the wrong order', twice, [far, near]),
    forged('two steps, the nearer one left out', twice, [far]),
    forged('two steps, the nearer one twice', twice, [near, near, far]),
    forged('two steps, the path of the further one leads to the anchor', twice, [
      near,
      { ...far, path: twice.tree.consistency(8, 21) },
    ]),

    see('no node was asked about the named anchor', before, [first], WORD, 'not_asked', {
      trust: { facts: before.trust.facts.slice(0, 1) },
    }),
    see('another transaction than the one that was asked about', before, [first], WORD, 'not_asked', {
      succeeds: [{ ...step, transaction: `0x${'0'.repeat(64)}` }],
    }),
    see('a lie about when: nothing is known of such an anchor', before, [first], WORD, 'not_asked', {
      succeeds: from({ time: stated.from.time - 1 }),
    }),
    see('the node of the old chain could not be reached', before, [first], WORD, 'node_unreadable', {
      trust: {
        facts: before.trust.facts.map((fact, i) => (i === 0 ? fact : silent(fact as ReturnType<typeof factOf>))),
      },
    }),
    see('the old contract does not hold the named anchor', before, [first], FAILED, 'not_held', {
      trust: factsBut(before, 0, { anchored: false }),
    }),
    see('other code at the address of the old contract', before, [first], FAILED, 'code_foreign', {
      trust: factsBut(before, 0, { genuineCode: false }),
    }),
    see('two steps, the log between does not hold its anchor', twice, [first], FAILED, 'not_held', {
      trust: factsBut(twice, 0, { anchored: false }),
    }),
    see('two steps, the first log does not hold its anchor', twice, [first], FAILED, 'not_held', {
      trust: factsBut(twice, 1, { anchored: false }),
    }),

    unread('no step', []),
    unread('five steps', Array(5).fill(printed)),
    unread('a step that is no list', printed),
    unread('a step without a path', [{ ...printed, path: undefined }]),
    unread('a step with a member more', [{ ...printed, root: printHash(ROOT) }]),
    unread('a path of 65 hashes', [{ ...printed, path: Array(65).fill(printHash(ROOT)) }]),
  ]
}

export const successions = async () => ({ statements: statements(), proofs: await proofs() })
