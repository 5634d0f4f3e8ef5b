// A small world to take vectors from: one source, one stream, one batch, a log, an anchor. Everything in it follows from
// labels, so it is the same on every run.
import type { Alg, Proof, Signer, Trust } from '@killick/sdk'
import {
  type Anchor,
  type AnyEventInput,
  asHash,
  type BatchHeader,
  type Hash,
  leafHash,
  makeEvent,
  type Node,
  type Plan,
  parseBatchHeader,
  parseEvent,
  planConsistency,
  planInclusion,
  planRoot,
  printCheckpoint,
  printVkey,
  publicKeyBytes,
  signBatchHeader,
  signNote,
  treeRoot,
  utf8,
} from '@killick/sdk/core'
import { batchRoot } from '../../../anchor-service/src/ledger/tree/merkle-tree.ts'
import { seed, signerFor } from './keys.ts'
import { type RegistrationPlan, register } from './registrations.ts'

export const SOURCE = 'billing-api'
export const STREAM = '7f3c9a10'
export const ORIGIN = 'audit.example.com/log'
export const TIME = Date.UTC(2026, 6, 1, 12, 0, 0, 250)
export const CHAIN = {
  chainId: 11155111,
  contract: '0x5fbdb2315678afecb367f032d93f642f64180aa3',
  logId: `0x${seed('log id').toString('hex')}`,
}

export const INPUTS: readonly AnyEventInput[] = [
  {
    action: 'invoice.approve',
    actor: { type: 'user', id: 'u-17', name: 'Zoë Ångström' },
    targets: [{ type: 'invoice', id: '2026-0042' }],
    outcome: 'success',
    context: { ip: '192.0.2.7', userAgent: 'curl/8.5', requestId: 'r-1' },
    changes: [{ path: '/status', before: 'open', after: 'approved' }],
    metadata: { amount: 129.95, note: '50 % off 🎉', tags: ['a', null, true] },
    occurredAt: '2026-07-01T11:59:58Z',
  },
  { action: 'invoice.read', actor: { type: 'user', id: 'u-18' }, targets: [] },
  { action: 'invoice.delete', actor: { type: 'service', id: 'cron' }, targets: [], outcome: 'denied', tenant: 'north' },
  { action: 'login', actor: { type: 'user', id: 'u-17' }, targets: [], outcome: 'failure' },
  { action: 'logout', actor: { type: 'user', id: 'u-17' }, targets: [] },
]

/** UUIDv7, time and salts of the n-th event. */
export function mintOf(n: number) {
  const time = TIME + n * 1500
  const hex = seed(`event ${n}`).toString('hex')
  const id = [
    time.toString(16).padStart(12, '0').replace(/.{8}/, '$&-'),
    `7${hex.slice(0, 3)}`,
    `8${hex.slice(3, 6)}`,
    hex.slice(6, 18),
  ].join('-')
  let field = 0
  return { id, time, salt: () => new Uint8Array(seed(`salt ${n} ${field++}`).subarray(0, 16)) }
}

/** A gapless chain of events, as a recorder would make it. */
export async function makeEvents(signer: Signer | undefined, first = 0, inputs = INPUTS): Promise<string[]> {
  const tokens: string[] = []
  let prev: Hash | undefined = first === 0 ? undefined : leafHash(utf8('the event before'))
  for (const [i, input] of inputs.entries()) {
    const position = { source: SOURCE, stream: STREAM, seq: first + i, prev }
    const event = await makeEvent(input, position, mintOf(first + i), signer)
    tokens.push(event.token)
    prev = event.leafHash
  }
  return tokens
}

export async function makeHeader(signer: Signer, tokens: readonly string[], first = 0): Promise<BatchHeader> {
  // By another implementation than the one that checks it.
  const root = batchRoot(tokens.map((token) => parseEvent(token).leafHash))
  const prev = first === 0 ? undefined : leafHash(utf8('the batch before'))
  const time = TIME + 60_000
  return parseBatchHeader(
    await signBatchHeader({ source: SOURCE, stream: STREAM, seq: first, n: tokens.length, root, prev, time }, signer),
  )
}

/** Runs a plan over leaf hashes in memory. */
export function run<T>(plan: Plan<T>, leaves: readonly Hash[]): T {
  const read = ({ level, index }: Node) => treeRoot(leaves.slice(index * 2 ** level, (index + 1) * 2 ** level))
  return plan.fold(plan.nodes.map(read))
}

export type World = { proof: Proof; trust: Required<Pick<Trust, 'sourceKeys' | 'logKeys' | 'logs' | 'facts'>> }

/** Of a log: roots by size, paths from the entry and between two sizes. */
export type Tree = {
  root(size: number): Hash
  inclusion(size: number): Hash[]
  consistency(from: number, to: number): Hash[]
}

export type WorldOptions = {
  alg?: Alg
  /** Default: the events are signed by the source's key. */
  unsigned?: boolean
  /** A key of its own for the events; the source's signs the batch. */
  eventKey?: Signer
  /** `seq` of the batch's first event; default 7. */
  first?: number
  /** Place of the event in the batch, of the batch in the log, size of the log. */
  place?: number
  index?: number
  size?: number
  /** Sizes that are anchored; default: the size of the log. */
  anchored?: readonly number[]
  inputs?: readonly AnyEventInput[]
  /** Size of an anchor before the entry; default: none. */
  before?: number
  /** Between that anchor and the first that covers the entry, ms; default: BETWEEN. */
  between?: number
  /** What the log holds of registrations; default: nothing, and the proof carries none. */
  registrations?: readonly RegistrationPlan[]
}

export const BETWEEN = 600_000

/** A proof, and the trust under which it verifies. */
export async function makeWorld(options: WorldOptions = {}): Promise<World & { tree: Tree }> {
  const { alg = 'Ed25519', first = 7, place = 0, index = 11, size = 21, anchored = [size], inputs = INPUTS } = options
  const sourceKey = signerFor(`source ${alg}`, alg)
  const eventKey = options.unsigned ? undefined : (options.eventKey ?? sourceKey)
  const logKey = signerFor('log')
  const tokens = await makeEvents(eventKey, first, inputs)
  const header = await makeHeader(sourceKey, tokens, first)

  const registered = await register(options.registrations ?? [], mintOf)
  const known = new Map([
    ...registered.map((one) => [one.index, one.header.leafHash] as const),
    [index, header.leafHash],
  ])
  const longest = Math.max(size, ...anchored)
  const leaves = Array.from({ length: longest }, (_, i) => known.get(i) ?? asHash(Uint8Array.from(seed(`entry ${i}`))))
  const rootAt = (n: number) => run(planRoot(n), leaves)
  const pathAt = (n: number, of = index) => run(planInclusion(of, n), leaves)
  const text = printCheckpoint({ origin: ORIGIN, size, root: rootAt(size) })
  const logPublic = publicKeyBytes(logKey.jwk)

  const anchors = anchored.map((n, i): Anchor => {
    const time = TIME / 1000 + 90 + 12 * i
    const where = { transaction: `0x${seed(`transaction ${i}`).toString('hex')}`, block: 9_000_000 + i }
    return {
      ...{ ...CHAIN, size: n, root: rootAt(n), time: Math.floor(time), ...where },
      ...(n !== size && { path: pathAt(n) }),
      ...(options.before !== undefined && {
        before: {
          ...{
            size: options.before,
            root: rootAt(options.before),
            time: Math.floor(time) - (options.between ?? BETWEEN) / 1000,
          },
          ...{ transaction: `0x${seed(`transaction before ${i}`).toString('hex')}`, block: 8_999_000 + i },
        },
      }),
    }
  })
  const keys = [...new Map([eventKey, sourceKey].flatMap((key) => (key ? [[key.kid, key.jwk] as const] : []))).values()]
  const leafHashes = tokens.map((token) => parseEvent(token).leafHash)
  return {
    proof: {
      event: tokens[place]!,
      batch: { header: header.text, index: place, path: run(planInclusion(place, tokens.length), leafHashes) },
      log: { origin: ORIGIN, index, size, path: pathAt(size) },
      checkpoint: signNote(text, ORIGIN, logPublic, logKey.sign as (message: Uint8Array) => Uint8Array),
      anchors,
      keys,
      ...(options.registrations && {
        registrations: registered.map((one) => ({
          ...{ event: one.event, header: one.header.text, index: one.index, path: pathAt(size, one.index) },
        })),
      }),
    },
    tree: {
      root: rootAt,
      inclusion: (n) => pathAt(n),
      consistency: (from, to) => run(planConsistency(from, to), leaves),
    },
    trust: {
      sourceKeys: keys.map((jwk) => ({ source: SOURCE, jwk })),
      logKeys: [printVkey(ORIGIN, logPublic)],
      logs: [CHAIN],
      facts: anchors.flatMap(({ before, ...anchor }) => [
        factOf(anchor),
        ...(before ? [factOf({ ...CHAIN, ...before })] : []),
      ]),
    },
  }
}

/** What an honest node says about a true anchor long past. */
export function factOf({ path: _, before: __, ...about }: Anchor): Required<Trust>['facts'][number] {
  return {
    ...about,
    node: 'node.example.com',
    anchored: true,
    genuineCode: true,
    located: true,
    confirmations: 64,
    finalized: true,
  }
}
