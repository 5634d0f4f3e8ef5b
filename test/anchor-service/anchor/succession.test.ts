import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { loadConfig } from '@killick/anchor-service'
import { auditLedger, auditOutcome, openApi } from '@killick/sdk/audit'
import {
  type Anchor,
  asHash,
  type Hash,
  leafHash,
  parseProof,
  parseSuccession,
  printProof,
  printSuccession,
  type Succeeds,
  sha256,
  signNote,
  utf8,
} from '@killick/sdk/core'
import { openNote, type Proof, readAnchors, type Trust, verifyProof } from '@killick/sdk/verify'
import { checkInWords, inWords } from '@killick/sdk/words'
import { hexlify, Interface, Wallet } from 'ethers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import artifact from '../../../anchor-service/src/anchor/chain/AnchorLog.json' with { type: 'json' }
import { calls } from '../../../anchor-service/src/anchor/chain/chain.ts'
import { succeed } from '../../../anchor-service/src/commands/succeed.ts'
import { LOG_LOCK } from '../../../anchor-service/src/ledger/commit.ts'
import { readProof } from '../../../anchor-service/src/ledger/read/proofs.ts'
import { loadSigner } from '../../../anchor-service/src/ledger/signing-keys.ts'
import { killick } from '../../sdk/cli/support.ts'
import * as rfc9162 from '../../support/rfc9162.ts'
import { newSigner } from '../support/producer.ts'
import { call, READER, testService } from '../support/service.ts'
import { anchoredSizes, newTarget, openWorld, type TestTarget, type World } from './support/world.ts'

let world: World
let service: Awaited<ReturnType<typeof testService>>
let old: TestTarget
let next: TestTarget
/** An event that the old log's last honest anchor covers, and one that it does not. */
let early: string
let late: string
let honest: number
let pinned: Trust
let printed: string

const record = () =>
  world.store.ledger
    .record({ action: 'test.happen', actor: { type: 'test', id: 't' }, targets: [] })
    .then(({ leafHash }) => leafHash)
const settings = () => ({ ...world.env, KILLICK_RPC_URL: world.chain.url, KILLICK_CONTRACT: world.contract })
const proofOf = async (name: string) => parseProof(await readProof(world.store.ledger, name))
const judge = async (proof: Proof, trust: Trust) =>
  verifyProof(proof, { ...trust, facts: await readAnchors(proof, [world.chain.url]) })
/** An audit by somebody who pins these logs, and the results of the checks that tests ask for. */
async function audited(pins: readonly TestTarget[], more: { url?: string; urls?: readonly string[] } = {}) {
  const urls = more.urls ?? [world.chain.url]
  const result = await auditLedger(openApi(more.url ?? service.url, READER), {
    ...{ logKeys: pinned.logKeys!, sourceKeys: [], logs: pins.map(placeOf), urls },
  })
  const statusOf = (id: string) => {
    const found = result.checks.find((check) => check.id === id)
    return found && [found.status, found.detail]
  }
  return {
    ...{ outcome: auditOutcome(result), ...result },
    ...{ stated: statusOf('succession'), left: statusOf('succession.left'), chain: statusOf('anchors.chain') },
  }
}
/** How many successions the service lists: it answers from memory for a second. */
const listed = async () => (await call(service.url, '/v1/log', null)).json.successions.length
const find = (verdict: Awaited<ReturnType<typeof judge>>, id: string) =>
  verdict.checks.find((check) => check.id === id)!
const placeOf = ({ target }: TestTarget) => ({
  chainId: world.chain.chainId,
  contract: target.contract,
  logId: target.logId,
})

beforeAll(async () => {
  world = await openWorld()
  service = await testService(world.env)
  old = await newTarget(world)
  early = await record()
  await world.grow(3)
  await old.settle()
  honest = (await anchoredSizes(world, old)).at(-1)!
  late = await record()
  const { jwk } = await loadSigner(join(world.env.KILLICK_DATA!, 'keys', 'system.json'))
  const { vkey } = world.store.ledger.log
  pinned = { sourceKeys: [{ source: 'killick', jwk }], logKeys: [vkey], logs: [placeOf(old)], confirmations: 1 }

  await steal(old)
})
afterAll(async () => {
  await service.close()
  await world.stop()
})

/** A thief with the key anchors an extension by an entry that does not exist. */
async function steal(target: TestTarget): Promise<void> {
  const size = (await anchoredSizes(world, target)).at(-1)!
  const { rows } = await world.store.pool.query(
    'select leaf_hash from batches where log_index < $1 order by log_index',
    [size],
  )
  const honest = rows.map(({ leaf_hash }) => new Uint8Array(leaf_hash))
  const leaves = [...honest, randomBytes(32)]
  const [root, oldRoot] = [leaves, honest].map(rfc9162.treeRoot) as [Hash, Hash]
  const path = rfc9162.consistencyPath(leaves, size) as Hash[]
  await send(target, calls.anchor(target.target.logId, size + 1, root, oldRoot, path))
}

async function send({ key, signer }: TestTarget, data: string): Promise<void> {
  const { rpc, chainId } = world.chain
  const nonce = Number(await rpc('eth_getTransactionCount', [signer.address, 'latest']))
  const fees = { maxFeePerGas: 100_000_000_000n, maxPriorityFeePerGas: 1_000_000_000n }
  const fields = { to: world.contract, data, nonce, chainId, gasLimit: 500_000n, type: 2, ...fees }
  const hash = await rpc<string>('eth_sendRawTransaction', [await new Wallet(key).signTransaction(fields)])
  const receipt = await rpc<{ status: string }>('eth_getTransactionReceipt', [hash])
  expect(receipt.status).toBe('0x1')
}

describe('a thief with the chain key ends the log', () => {
  test('which raises an alarm; earlier anchors stay genuine, and nothing can be added', async () => {
    await expect(old.advance()).rejects.toMatchObject({ code: 'publisher_stolen' })
    const verdict = await judge(await proofOf(early), pinned)
    expect(verdict.outcome).toBe('verified')
    expect((await proofOf(late)).anchors).toEqual([])
  })

  test('which an audit reports; it finds no succession before one is stated', async () => {
    const { outcome, chain, stated, left, successions } = await audited([old])
    expect({ outcome, chain, stated, left, successions }).toEqual({
      ...{ outcome: 'failed', chain: ['failed', expect.stringContaining('somebody else anchors with the publisher')] },
      ...{ stated: ['passed', 'It tells of no other log'], left: undefined, successions: [] },
    })
  })

  test('so the operator continues under a new key, and states which log the new one succeeds', async () => {
    next = await newTarget(world, { name: old.target.name })
    const config = loadConfig({ ...settings(), KILLICK_CHAIN_KEY: next.key })
    await next.settle()
    const size = (await world.store.ledger.head())!.size
    await expect(succeed(config, old.target.logId, false)).rejects.toThrow(
      new RegExp(`${honest} entries, root[^]*holds ${honest + 1} entries now[^]*Nothing was changed`),
    )
    expect((await world.store.ledger.head())!.size).toBe(size)
    // Given twice at once, it is stated once: both have seen that it is not when the first may write.
    const holder = await world.store.pool.connect()
    await holder.query('select pg_advisory_lock($1)', [LOG_LOCK])
    const twice = [1, 2].map(() => succeed(config, old.target.logId, true))
    const waiting = "select count(*)::int as n from pg_locks where locktype = 'advisory' and objid = $1 and not granted"
    await expect
      .poll(async () => (await holder.query(waiting, [LOG_LOCK])).rows[0].n, { timeout: 20_000 })
      .toBeGreaterThan(1)
    await holder.query('select pg_advisory_unlock($1)', [LOG_LOCK])
    holder.release()
    const told = await Promise.all(twice)
    printed = told.find((text) => text.includes('Recorded as the event log.succeed'))!
    expect(told.filter((text) => /This is recorded already. Nothing was changed./.test(text))).toHaveLength(1)
    expect(printed).toContain('killick-succession/1')
    const stated = (await world.store.ledger.head())!.size
    for (const isSure of [true, false]) {
      const again = await succeed(config, old.target.logId, isSure)
      expect(again).toMatch(/This is recorded already. Nothing was changed./)
      expect(printed.split('\n\n').slice(-2).join('\n\n')).toBe(again.split('\n\n').slice(-2).join('\n\n'))
    }
    expect((await world.store.ledger.head())!.size).toBe(stated)
    for (const wrong of [next.target.logId, `0x${'9'.repeat(64)}`, 'x'])
      await expect(succeed(config, wrong, true)).rejects.toThrow(/still anchors to|confirmed no anchor|Usage/)
  })

  test('and the succession is listed in /v1/log', async () => {
    // The service keeps what it has read of successions for a second.
    const told = async () => (await call(service.url, '/v1/log', null)).json
    await expect.poll(async () => (await told()).successions).toHaveLength(1)
    const json = await told()
    const { note, transaction, block } = json.successions[0]
    expect(printed).toContain(note)
    const { from, to } = parseSuccession(openNote(note, [service.vkey]).text)
    expect(to).toEqual(placeOf(next))
    expect(from).toMatchObject({ ...placeOf(old), size: honest })
    expect({ transaction, block }).toEqual({ transaction: expect.stringMatching(/^0x/), block: expect.any(Number) })
  })
})

describe('a verifier who pinned the old log', () => {
  test('gets `verified` for what it covered, by the old log itself', async () => {
    // Other processes, this one among them, ask for statements once in a while.
    await expect.poll(async () => (await proofOf(early)).anchors).toHaveLength(2)
    const proof = await proofOf(early)
    expect(proof.anchors.map(({ logId }) => logId)).toEqual([old.target.logId, next.target.logId])
    const verdict = await judge(proof, pinned)
    expect(verdict.outcome).toBe('verified')
    expect(find(verdict, 'anchor.1.log')).toMatchObject({ status: 'skipped', reason: 'succeeded' })
    expect(checkInWords(find(verdict, 'anchor.1.log')).detail).toContain('the entry lies before')
  })

  test('has each anchored log itself say so in Solidity', async () => {
    const proof = await proofOf(early)
    const anchorLog = new Interface(artifact.abi)
    expect(proof.anchors).toHaveLength(2)
    for (const { contract, logId, size, root, time, path } of proof.anchors) {
      const says = async (index: number) => {
        const hashes = (path ?? proof.log.path).map((hash) => hexlify(hash))
        const leaf = hexlify(leafHash(utf8(proof.batch.header)))
        const args = [logId, size, hexlify(root), time, leaf, index, hashes]
        const data = anchorLog.encodeFunctionData('verifyInclusion', args)
        const answer = await world.chain.rpc<string>('eth_call', [{ to: contract, data }, 'latest'])
        return anchorLog.decodeFunctionResult('verifyInclusion', answer)[0]
      }
      expect([await says(proof.log.index), await says(proof.log.index - 1)]).toEqual([true, false])
    }
  })

  test('follows to the new log on the publisher’s word, which does not give `verified`', async () => {
    const proof = await proofOf(late)
    expect(parseProof(printProof(proof))).toEqual(proof)
    const verdict = await judge(proof, pinned)
    expect(verdict).toMatchObject({ outcome: 'undecided', level: 'final' })
    expect(find(verdict, 'anchor.0.log')).toMatchObject({ status: 'skipped', reason: 'succeeded' })
    expect(checkInWords(find(verdict, 'anchor.0.log')).detail).toContain(
      `the entry lies after the last honest anchor of that (${honest} entries`,
    )
    expect(verdict.restsOn).toEqual(['succession'])
    expect(inWords(verdict).restsOn).toEqual(['the publisher’s word that this log succeeds the one that you pinned'])
    expect(verdict.missing).toEqual(['contract'])
  })

  test('gets `verified` after pinning the new log', async () => {
    const verdict = await judge(await proofOf(late), { ...pinned, logs: [placeOf(next)] })
    expect(verdict.outcome).toBe('verified')
  })

  test('does not follow another statement, another history, or an anchor that the old contract does not hold', async () => {
    const proof = await proofOf(late)
    const [anchor] = proof.anchors as [Anchor]
    const [succeeds] = anchor.succeeds as [Succeeds]
    const { text } = openNote(succeeds.note, pinned.logKeys!)
    const stated = parseSuccession(text)
    const log = await loadSigner(join(world.env.KILLICK_DATA!, 'keys', 'log.json'))
    const other = newSigner() as typeof log
    const note = (change: Partial<typeof stated>, by = log) =>
      signNote(printSuccession({ ...stated, ...change }), stated.origin, Buffer.from(by.jwk.x, 'base64url'), by.sign)
    const judged = async (change: Partial<Succeeds> | null, trust = pinned) => {
      const { succeeds: _, ...plain } = anchor
      const changed = change === null ? plain : { ...anchor, succeeds: [{ ...succeeds, ...change }] }
      const verdict = await judge({ ...proof, anchors: [changed] }, trust)
      const { status, reason } = find(verdict, 'anchor.0.log')
      return { outcome: verdict.outcome, status, reason }
    }
    const failed = (reason: string) => ({ outcome: 'failed', status: 'failed', reason })

    expect(await judged({ note: note({}) })).toEqual({ outcome: 'undecided', status: 'skipped', reason: 'succeeded' })
    expect(await judged(null)).toEqual(failed('pin_mismatch'))
    expect(await judged({ note: note({}, other) })).toEqual(failed('succession_invalid'))
    expect(await judged({ note: proof.checkpoint })).toEqual(failed('succession_invalid'))
    expect(await judged({ path: succeeds.path.slice(1) })).toEqual(failed('succession_invalid'))
    expect(await judged({ note: note({ origin: 'other.example' }) })).toEqual(failed('succession_invalid'))
    expect(await judged({ note: note({ to: stated.from }) })).toEqual(failed('succession_invalid'))
    const root = asHash(sha256(new Uint8Array(1)))
    expect(await judged({ note: note({ from: { ...stated.from, root } }) })).toEqual(failed('succession_invalid'))
    // A lie about when: the contract holds no such anchor.
    const time = stated.from.time - 1
    expect(await judged({ note: note({ from: { ...stated.from, time } }) })).toEqual(failed('not_held'))
    // For a log that nobody pinned, and without a key of the log to rely on.
    const elsewhere = { ...stated.from, logId: `0x${'7'.repeat(64)}` }
    expect(await judged({ note: note({ from: elsewhere }) })).toEqual(failed('pin_mismatch'))
    expect(await judged({}, { ...pinned, logKeys: [] })).toEqual(failed('pin_mismatch'))
  })
})

describe('an audit of a log that succeeds another', () => {
  const isLeft = (target: TestTarget, to: TestTarget, end: number) => ({
    ...{ from: expect.objectContaining({ ...placeOf(target), size: end }), to: placeOf(to), found: 'held' },
    beyond: end + 1,
  })

  test('names the log that was left, and what its contract holds beyond, if the new log is pinned', async () => {
    const audit = await audited([next])
    expect(audit.outcome).toBe('passed')
    expect(audit.successions).toEqual([isLeft(old, next, honest)])
    expect(audit.stated).toEqual(['passed', expect.stringContaining(`It succeeds the log ${old.target.logId}`)])
    expect(audit.left).toEqual([
      'skipped',
      expect.stringMatching(/anchored up to .* to be expected where the chain key was stolen/),
    ])
    expect(audit.restsOn).toContainEqual({ what: 'left_log' })
  })

  test('follows to the new log, but does not pass, if the old log is pinned', async () => {
    const audit = await audited([old])
    expect(audit.outcome).toBe('undecided')
    expect(audit.followed).toEqual([placeOf(old)])
    expect(audit.chain).toEqual(['skipped', expect.stringContaining('followed on the publisher’s word')])
    expect(audit.restsOn).toContainEqual({ what: 'succession' })
    const { chain, outcome } = await audited([old, next])
    expect([outcome, chain![0]]).toEqual(['passed', 'passed'])
  })

  test('claims no check if no node was asked, or if none on the old chain answers', async () => {
    for (const [urls, found] of [
      [[], 'not asked'],
      [['http://127.0.0.1:1'], 'unanswered'],
    ] as const) {
      const audit = await audited([next], { urls })
      expect(audit.outcome).toBe('undecided')
      expect(audit.successions).toMatchObject([{ found, beyond: null }])
      expect(audit.stated).toEqual(['skipped', expect.stringMatching(/was not checked; this log does go on from/)])
      expect(audit.left).toEqual(['skipped', 'Not checked'])
      expect(auditOutcome(audit, ['anchors.chain'])).toBe(found === 'unanswered' ? 'undecided' : 'passed')
    }
  })

  test('finds a service that hides a statement, or lists one that is not in the log', async () => {
    for (const [change, words] of [
      [() => [], 'of which the log tells is not there'],
      [(told: object[]) => [...told, { ...told[0], block: 1 }], 'of which the log does not tell'],
    ] as const) {
      const liar = await startLiar(service.url, change)
      const audit = await audited([next], { url: liar.url }).finally(liar.close)
      expect(audit.outcome).toBe('failed')
      expect(audit.stated).toEqual(['failed', expect.stringContaining(words)])
    }
  })

  test('does so on the command line too', async () => {
    const { contract, logId } = placeOf(old)
    const { out, code } = await killick(
      [
        'audit',
        '--rpc',
        world.chain.url,
        '--contract',
        contract,
        '--log-id',
        logId,
        '--registered-keys',
        '--log-key',
        pinned.logKeys![0]!,
      ],
      { env: { KILLICK_URL: service.url, KILLICK_TOKEN: READER } },
    )
    expect(code).toBe(3)
    expect(out).toContain(`It succeeds the log ${logId}`)
    expect(out).toMatch(/the contract +on test\.example\/log’s word/)
    expect(out).toContain('That is to be expected where the chain key was stolen')
  })
})

describe('a log that succeeds one that succeeded another', () => {
  let third: TestTarget
  /** An event that neither of the logs left covers. */
  let last: string

  beforeAll(async () => {
    await steal(next)
    third = await newTarget(world, { name: old.target.name })
    last = await record()
    const config = loadConfig({ ...settings(), KILLICK_CHAIN_KEY: third.key })
    await third.settle()
    await succeed(config, next.target.logId, true)
  })

  test('is followed step by step from the first, and in one step from the second', async () => {
    await expect.poll(async () => (await proofOf(last)).anchors[0]?.succeeds).toHaveLength(2)
    const proof = await proofOf(last)
    expect(parseProof(printProof(proof))).toEqual(proof)
    expect(proof.anchors.map(({ logId }) => logId)).toEqual([third.target.logId])
    for (const [pin, words] of [
      [old, /^It succeeds the pinned log by way of 1 more, .* lies after/],
      [next, /^It succeeds the pinned log, .* lies after/],
    ] as const) {
      const verdict = await judge(proof, { ...pinned, logs: [placeOf(pin)] })
      expect(verdict).toMatchObject({ outcome: 'undecided', level: 'final' })
      const log = find(verdict, 'anchor.0.log')
      expect(log).toMatchObject({ status: 'skipped', reason: 'succeeded' })
      expect(checkInWords(log).detail).toMatch(words)
    }
    expect((await judge(proof, { ...pinned, logs: [placeOf(third)] })).outcome).toBe('verified')
    // Each entry is proven by the log that was the publisher's then, too.
    expect((await proofOf(late)).anchors.map(({ logId }) => logId)).toEqual([next.target.logId, third.target.logId])
    expect((await proofOf(early)).anchors).toHaveLength(3)
  })

  test('is not followed if a step is missing, broken or denied', async () => {
    const proof = await proofOf(last)
    const [anchor] = proof.anchors as [Anchor]
    const [near, far] = anchor.succeeds as [Succeeds, Succeeds]
    const judged = async (...succeeds: Succeeds[]) => {
      const { status, reason } = find(
        await judge({ ...proof, anchors: [{ ...anchor, succeeds }] }, pinned),
        'anchor.0.log',
      )
      return { status, reason }
    }
    const failed = (reason: string) => ({ status: 'failed', reason })
    expect(await judged(near, far)).toEqual({ status: 'skipped', reason: 'succeeded' })
    expect(await judged(near)).toEqual(failed('pin_mismatch'))
    expect(await judged(far)).toEqual(failed('succession_invalid'))
    expect(await judged(far, near)).toEqual(failed('succession_invalid'))
    expect(await judged(near, near, far)).toEqual(failed('succession_invalid'))
    expect(await judged({ ...near, path: [] }, far)).toEqual(failed('succession_invalid'))
    expect(await judged(near, { ...far, path: near.path })).toEqual(failed('succession_invalid'))
    // What stands behind the pinned log counts for nothing.
    expect(await judged(near, far, { ...far, note: 'x' })).toEqual({ status: 'skipped', reason: 'succeeded' })
    expect(() => parseProof(printProof({ ...proof, anchors: [{ ...anchor, succeeds: Array(5).fill(near) }] }))).toThrow(
      /succeeds must be an array of 1 to 4/,
    )
  })

  test('is audited step by step, from whichever log was pinned', async () => {
    await expect.poll(listed).toBe(2)
    for (const [pin, outcome] of [
      [old, 'undecided'],
      [next, 'undecided'],
      [third, 'passed'],
    ] as const) {
      const audit = await audited([pin])
      expect(audit.outcome).toBe(outcome)
      expect(audit.successions.map(({ from, to, found }) => [from.logId, to.logId, found])).toEqual([
        [next.target.logId, third.target.logId, 'held'],
        [old.target.logId, next.target.logId, 'held'],
      ])
      expect(audit.chain![0]).toBe(outcome === 'passed' ? 'passed' : 'skipped')
    }
  })

  test('is at fault if it states a past that it or the old contract does not have', async () => {
    const signer = await loadSigner(join(world.env.KILLICK_DATA!, 'keys', 'log.json'))
    const [{ transaction, block }] = (await proofOf(last)).anchors[0]!.succeeds as [Succeeds]
    const from = {
      ...parseSuccession(openNote((await proofOf(last)).anchors[0]!.succeeds![0]!.note, pinned.logKeys!).text).from,
    }
    const origin = world.store.ledger.log.origin
    const state = async (change: Partial<typeof from>, by = signer) => {
      const text = printSuccession({ origin, from: { ...from, ...change }, to: placeOf(third) })
      const note = signNote(text, origin, Buffer.from(by.jwk.x, 'base64url'), by.sign)
      const { log } = world.store.ledger
      const target = { type: 'log', id: log.origin }
      await world.store.ledger.record({
        ...{ action: 'log.succeed', actor: { type: 'operator', id: 'succeed' }, targets: [target] },
        metadata: { note, transaction, block },
      })
    }
    for (const [change, by, words, count] of [
      [{ time: from.time - 1 }, signer, 'the contract does not hold it', 3],
      [{ root: asHash(sha256(new Uint8Array(1))) }, signer, 'its own root of', 4],
      [{}, newSigner() as typeof signer, 'whose statement does not hold', 4],
    ] as const) {
      await state(change, by)
      // It does not list what nobody would believe.
      await expect.poll(listed).toBe(count)
      const audit = await audited([third])
      expect(audit.outcome).toBe('failed')
      expect(audit.stated).toEqual(['failed', expect.stringContaining(words)])
    }
  })
})

/** The service, but for what it lists of successions. */
async function startLiar(url: string, change: (told: object[]) => object[]) {
  const server = createServer(async ({ url: path, headers }, response) => {
    const { authorization = '' } = headers
    const answer = await fetch(url + path, { headers: { authorization } })
    const body = Buffer.from(await answer.arrayBuffer())
    const log = path === '/v1/log' ? JSON.parse(body.toString()) : null
    response.writeHead(answer.status)
    response.end(log ? JSON.stringify({ ...log, successions: change(log.successions) }) : body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}
