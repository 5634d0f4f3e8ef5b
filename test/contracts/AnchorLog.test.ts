import { hexlify, id, type JsonRpcSigner, ZeroAddress, ZeroHash } from 'ethers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { anchorLogInterface as abi, anchorLog, type Chain, openChain } from '../support/chain.ts'
import { consistencyPath, inclusionPath, leafHash, treeRoot } from '../support/rfc9162.ts'

const MAX_SIZE = 40
const leaves = Array.from({ length: MAX_SIZE }, (_, i) => leafHash(Uint8Array.of(i)))
const tree = (size: number) => leaves.slice(0, size)
const roots = Array.from({ length: MAX_SIZE + 1 }, (_, size) => hexlify(treeRoot(tree(size))))
const root = (size: number) => roots[size]!
const path = (hashes: Uint8Array[]) => hashes.map((hash) => hexlify(hash))
const flipped = (hash: string) =>
  hexlify(Buffer.from(hash.slice(2), 'hex').map((byte, i) => (i === 9 ? byte ^ 4 : byte)))

let chain: Chain
let contract: string
let publisher: JsonRpcSigner
let heir: JsonRpcSigner
let stranger: JsonRpcSigner

beforeAll(async () => {
  chain = await openChain()
  ;[publisher, heir, stranger] = chain.signers as [JsonRpcSigner, JsonRpcSigner, JsonRpcSigner]
  contract = await chain.deploy(anchorLog)
})
afterAll(() => chain.close())

/** The results of a call, as a list. Throws the contract's error as `Name(arg,arg,…)`. */
async function call(method: string, args: readonly unknown[], from = publisher): Promise<unknown[]> {
  try {
    const data = abi.encodeFunctionData(method, args)
    return abi
      .decodeFunctionResult(method, await chain.provider.call({ to: contract, from: from.address, data }))
      .toArray()
  } catch (error) {
    const refusal = abi.parseError((error as { data?: string }).data ?? '0x')
    throw refusal === null ? error : new Error(`${refusal.name}(${refusal.args.join(',')})`)
  }
}

/** Sends the call as a transaction. @returns its events, and the time of its block */
async function send(method: string, args: readonly unknown[], from = publisher) {
  const sent = await from.sendTransaction({ to: contract, data: abi.encodeFunctionData(method, args) })
  const receipt = (await sent.wait())!
  const block = (await chain.provider.getBlock(receipt.blockNumber))!
  const events = receipt.logs.map((log) => {
    const event = abi.parseLog(log)!
    return `${event.name}(${event.args.join(',')})`
  })
  return { events, time: block.timestamp }
}

let opened = 0
/** Opens a log for the publisher and anchors it at each of these sizes in turn. */
async function newLog(...sizes: number[]): Promise<{ logId: string; time: number }> {
  const origin = id(`log ${opened++}`)
  const [logId] = (await call('open', [origin])) as [string]
  await send('open', [origin])
  let time = 0
  let oldSize = 0
  for (const size of sizes) {
    time = (await send('anchor', extension(logId, oldSize, size))).time
    oldSize = size
  }
  return { logId, time }
}

/** The arguments of an honest anchor. */
const extension = (logId: string, oldSize: number, size: number) =>
  [logId, size, root(size), root(oldSize), path(consistencyPath(tree(size), oldSize))] as const

const refusal = (name: string, ...args: unknown[]) => `${name}(${args.join(',')})`
const accepted = async (method: string, args: readonly unknown[], from = publisher) =>
  expect(await call(method, args, from)).toEqual([])

describe('I1: a log is opened once, and only by its creator', () => {
  test('opening makes the caller the publisher of an empty log', async () => {
    const origin = id('example.com/audit')
    const [logId] = await call('logIdOf', [publisher.address, origin])
    expect(await call('head', [logId])).toEqual([ZeroAddress, 0n, 0n])
    const { events } = await send('open', [origin])
    expect(events).toEqual([refusal('Opened', logId, publisher.address, origin)])
    expect(await call('head', [logId])).toEqual([publisher.address, 0n, 0n])
    await expect(call('open', [origin])).rejects.toThrow(refusal('AlreadyOpen', logId))
  })

  test('another account gets another log for the same origin, so nobody can squat', async () => {
    const origin = id('coveted')
    const [squat] = await call('open', [origin], stranger)
    await send('open', [origin], stranger)
    const [own] = await call('open', [origin])
    await send('open', [origin])
    expect(own).not.toBe(squat)
    await accepted('anchor', extension(own as string, 0, 5))
    await expect(call('anchor', extension(own as string, 0, 5), stranger)).rejects.toThrow('NotPublisher')
  })

  test('the creator cannot open a log again after handing it over', async () => {
    const origin = id('handed over')
    const [logId] = await call('open', [origin])
    await send('open', [origin])
    await send('offerPublisher', [logId, heir.address])
    await send('acceptPublisher', [logId], heir)
    await expect(call('open', [origin])).rejects.toThrow(refusal('AlreadyOpen', logId))
  })
})

describe('I2: only the publisher anchors', () => {
  test('another account is refused', async () => {
    const { logId } = await newLog(3)
    await expect(call('anchor', extension(logId, 3, 7), stranger)).rejects.toThrow(
      refusal('NotPublisher', logId, publisher.address, stranger.address),
    )
  })

  test('a log that was never opened has no publisher', async () => {
    await expect(call('anchor', extension(ZeroHash, 0, 7))).rejects.toThrow(
      refusal('NotPublisher', ZeroHash, ZeroAddress, publisher.address),
    )
  })
})

describe('I3: sizes only grow', () => {
  test('the same size, a smaller one and zero are refused', async () => {
    const { logId } = await newLog(3, 7)
    for (const size of [7, 6, 3, 0]) {
      await expect(call('anchor', [logId, size, root(size), root(7), []])).rejects.toThrow(
        refusal('SizeNotGrown', logId, 7, size),
      )
    }
    const empty = await newLog()
    await expect(call('anchor', [empty.logId, 0, root(0), root(0), []])).rejects.toThrow('SizeNotGrown')
  })
})

describe('I8: no anchored size exceeds MAX_SIZE', () => {
  test('2^53 - 1 can be anchored; one more and 2^64 - 1 cannot', async () => {
    const { logId } = await newLog()
    const largest = 2n ** 53n - 1n
    expect(await call('MAX_SIZE', [])).toEqual([largest])
    for (const size of [largest + 1n, 2n ** 64n - 1n]) {
      await expect(call('anchor', [logId, size, root(5), root(0), []])).rejects.toThrow(refusal('SizeOutOfRange', size))
    }
    await accepted('anchor', [logId, largest, root(5), root(0), []])
  })
})

describe('I4: each anchored tree extends the one before', () => {
  test(`every pair of sizes up to ${MAX_SIZE} is accepted with its proof`, async () => {
    for (let oldSize = 0; oldSize < MAX_SIZE; oldSize++) {
      const { logId } = await (oldSize === 0 ? newLog() : newLog(oldSize))
      for (let size = oldSize + 1; size <= MAX_SIZE; size++) await accepted('anchor', extension(logId, oldSize, size))
    }
  }, 60_000)

  test('an anchor emits an event and moves the head', async () => {
    const { logId } = await newLog(3)
    const { events, time } = await send('anchor', extension(logId, 3, 7))
    expect(events).toEqual([refusal('Anchored', logId, 7, root(7), time)])
    expect(await call('head', [logId])).toEqual([publisher.address, 7n, BigInt(time)])
  })

  test('no proof with a single mistake is accepted', async () => {
    for (const [oldSize, size] of [
      [1, 2],
      [4, 7],
      [6, 8],
      [7, 39],
      [21, 40],
    ] as const) {
      const { logId } = await newLog(oldSize)
      const [, , newRoot, oldRoot, proof] = extension(logId, oldSize, size)
      const slips = [
        [],
        [...proof, root(1)],
        [root(1), ...proof],
        ...proof.map((hash, i) => proof.with(i, flipped(hash))),
        ...proof.map((_, i) => proof.toSpliced(i, 1)),
        ...proof.map((hash, i) => proof.toSpliced(i, 0, hash)),
        ...proof.slice(1).map((hash, i) => proof.with(i, hash).with(i + 1, proof[i]!)),
      ]
      const inconsistent = (claimed: string) => refusal('Inconsistent', logId, oldSize, oldRoot, size, claimed)
      for (const slip of slips) {
        await expect(call('anchor', [logId, size, newRoot, oldRoot, slip])).rejects.toThrow(inconsistent(newRoot))
      }
      const wrongRoot = flipped(newRoot)
      await expect(call('anchor', [logId, size, wrongRoot, oldRoot, proof])).rejects.toThrow(inconsistent(wrongRoot))
      await expect(call('anchor', [logId, size + 64, newRoot, oldRoot, proof])).rejects.toThrow('Inconsistent')
      const wrongOldRoot = flipped(oldRoot)
      await expect(call('anchor', [logId, size, newRoot, wrongOldRoot, proof])).rejects.toThrow(
        refusal('WrongOldRoot', logId, oldSize, wrongOldRoot),
      )
    }
  })

  test('the first anchor starts from the empty root and takes no proof', async () => {
    const { logId } = await newLog()
    await expect(call('anchor', [logId, 5, root(5), ZeroHash, []])).rejects.toThrow(
      refusal('WrongOldRoot', logId, 0, ZeroHash),
    )
    await expect(call('anchor', [logId, 5, root(5), root(0), [root(1)]])).rejects.toThrow('Inconsistent')
    await accepted('anchor', [logId, 5, root(5), root(0), []])
  })

  test('the publisher itself cannot anchor a rewritten past', async () => {
    const { logId } = await newLog(5, 11)
    // Entry 4 is replaced; everything else, and every proof, is made from the rewritten log.
    const rewritten = tree(20).with(4, leafHash(Uint8Array.of(255)))
    const newRoot = hexlify(treeRoot(rewritten))
    const proof = path(consistencyPath(rewritten, 11))
    const rewrittenOldRoot = hexlify(treeRoot(rewritten.slice(0, 11)))
    await expect(call('anchor', [logId, 20, newRoot, root(11), proof])).rejects.toThrow('Inconsistent')
    await expect(call('anchor', [logId, 20, newRoot, rewrittenOldRoot, proof])).rejects.toThrow('WrongOldRoot')
    // It cannot start again from an earlier anchor or from nothing either.
    const fromFive = path(consistencyPath(rewritten, 5))
    await expect(call('anchor', [logId, 20, newRoot, root(5), fromFive])).rejects.toThrow('WrongOldRoot')
    await expect(call('anchor', [logId, 20, newRoot, root(0), []])).rejects.toThrow('WrongOldRoot')
    // A mined transaction is refused as well, and changes nothing.
    const before = await call('head', [logId])
    const data = abi.encodeFunctionData('anchor', [logId, 20, newRoot, root(11), proof])
    await expect(publisher.sendTransaction({ to: contract, data, gasLimit: 500_000 })).rejects.toThrow()
    expect(await call('head', [logId])).toEqual(before)
  })
})

describe('I5: what is anchored stays anchored', () => {
  test('isAnchored is true for its own log, size, root and time, and for no other', async () => {
    const { logId, time } = await newLog(3)
    const other = await newLog(4)
    await send('anchor', extension(logId, 3, 9))
    expect(await call('isAnchored', [logId, 3, root(3), time])).toEqual([true])
    for (const wrong of [
      [other.logId, 3, root(3), time],
      [logId, 4, root(3), time],
      [logId, 3, root(4), time],
      [logId, 3, root(3), time + 1],
      [logId, 3, root(3), 0],
      [logId, 0, root(0), 0],
      [logId, 5, ZeroHash, 0],
    ]) {
      expect(await call('isAnchored', wrong)).toEqual([false])
    }
  })

  test('every leaf of an anchored tree is included, and nothing else is', async () => {
    for (let size = 1; size <= 20; size++) {
      const { logId, time } = await newLog(size)
      for (let index = 0; index < size; index++) {
        const leaf = hexlify(leaves[index]!)
        const proof = path(inclusionPath(tree(size), index))
        const args: unknown[] = [logId, size, root(size), time, leaf, index, proof]
        expect(await call('verifyInclusion', args)).toEqual([true])
        if (size !== 13) continue
        const slips: [number, unknown][] = [
          [0, ZeroHash],
          [1, size + 1],
          [2, flipped(root(size))],
          [3, time + 1],
          [4, flipped(leaf)],
          [5, (index + 1) % size],
          [6, proof.with(0, flipped(proof[0]!))],
          [6, proof.slice(1)],
          [6, [...proof, leaf]],
        ]
        for (const [i, slip] of slips) expect(await call('verifyInclusion', args.with(i, slip))).toEqual([false])
      }
    }
  }, 30_000)

  test('a correct path to a root that is not anchored proves nothing', async () => {
    const { logId, time } = await newLog(3)
    const leaf = hexlify(leaves[4]!)
    const proof = path(inclusionPath(tree(9), 4))
    expect(await call('verifyInclusion', [logId, 9, root(9), time, leaf, 4, proof])).toEqual([false])
  })
})

describe('I6: the publisher changes only by offer and acceptance', () => {
  test('an offer alone changes nothing; its acceptance ends the old publisher’s rights', async () => {
    const { logId } = await newLog(3)
    const offer = await send('offerPublisher', [logId, heir.address])
    expect(offer.events).toEqual([refusal('PublisherOffered', logId, publisher.address, heir.address)])
    expect(await call('offeredTo', [logId])).toEqual([heir.address])
    await expect(call('anchor', extension(logId, 3, 7), heir)).rejects.toThrow('NotPublisher')
    await accepted('anchor', extension(logId, 3, 7))

    const acceptance = await send('acceptPublisher', [logId], heir)
    expect(acceptance.events).toEqual([refusal('PublisherChanged', logId, publisher.address, heir.address)])
    await expect(call('anchor', extension(logId, 3, 7))).rejects.toThrow(
      refusal('NotPublisher', logId, heir.address, publisher.address),
    )
    await expect(call('offerPublisher', [logId, publisher.address])).rejects.toThrow('NotPublisher')
    // The heir continues from the same head.
    const { time } = await send('anchor', extension(logId, 3, 7), heir)
    expect(await call('head', [logId])).toEqual([heir.address, 7n, BigInt(time)])
    // An offer is used up by its acceptance.
    await expect(call('acceptPublisher', [logId], heir)).rejects.toThrow(
      refusal('NotOffered', logId, ZeroAddress, heir.address),
    )
  })

  test('a stranger can neither offer nor accept', async () => {
    const { logId } = await newLog()
    await expect(call('acceptPublisher', [logId], stranger)).rejects.toThrow(
      refusal('NotOffered', logId, ZeroAddress, stranger.address),
    )
    await expect(call('offerPublisher', [logId, stranger.address], stranger)).rejects.toThrow(
      refusal('NotPublisher', logId, publisher.address, stranger.address),
    )
    await send('offerPublisher', [logId, heir.address])
    await expect(call('acceptPublisher', [logId], stranger)).rejects.toThrow(
      refusal('NotOffered', logId, heir.address, stranger.address),
    )
  })

  test('an offer can be replaced and withdrawn', async () => {
    const { logId } = await newLog()
    await send('offerPublisher', [logId, stranger.address])
    await send('offerPublisher', [logId, heir.address])
    await expect(call('acceptPublisher', [logId], stranger)).rejects.toThrow('NotOffered')
    await accepted('acceptPublisher', [logId], heir)
    await send('offerPublisher', [logId, ZeroAddress])
    await expect(call('acceptPublisher', [logId], heir)).rejects.toThrow('NotOffered')
    expect(await call('head', [logId])).toEqual([publisher.address, 0n, 0n])
  })
})

describe('I7: the contract holds no ether', () => {
  test('every call with ether is refused', async () => {
    const { logId } = await newLog(3)
    const calls = [
      '0x',
      '0xdeadbeef',
      abi.encodeFunctionData('open', [id('paid')]),
      abi.encodeFunctionData('anchor', extension(logId, 3, 7)),
      abi.encodeFunctionData('offerPublisher', [logId, heir.address]),
    ]
    for (const data of calls) {
      await expect(chain.provider.call({ to: contract, from: publisher.address, data, value: 1n })).rejects.toThrow()
    }
    for (const data of calls.slice(2)) {
      await chain.provider.call({ to: contract, from: publisher.address, data })
    }
    expect(await chain.provider.getBalance(contract)).toBe(0n)
  })
})

test('when block times outgrow 32 bits, anchors are refused and what is anchored stays readable', async () => {
  const late = await openChain()
  const deployed = await late.deploy(anchorLog)
  const from = late.signers[0]!
  const tell = (method: string, args: readonly unknown[]) =>
    from.sendTransaction({ to: deployed, data: abi.encodeFunctionData(method, args) })
  const [logId] = await call('logIdOf', [from.address, id('late')])
  await tell('open', [id('late')])
  await late.provider.send('evm_setNextBlockTimestamp', [2 ** 32 - 1])
  await tell('anchor', extension(logId as string, 0, 3))
  await expect(tell('anchor', extension(logId as string, 3, 7))).rejects.toThrow(
    abi.getError('TimeOutOfRange')!.selector,
  )
  const data = abi.encodeFunctionData('isAnchored', [logId, 3, root(3), 2 ** 32 - 1])
  expect(BigInt(await late.provider.call({ to: deployed, data }))).toBe(1n)
  await late.close()
})
