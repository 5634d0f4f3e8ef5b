// The ledgers that bundles are made of for vectors, and what a case is.
import { createHash } from 'node:crypto'
import {
  asHash,
  type BatchHeader,
  type ErasedEvent,
  type EventInput,
  erasedLeaf,
  type Hash,
  hideFields,
  makeEvent,
  nodePrimitives,
  parseBatchHeader,
  parseEvent,
  printCheckpoint,
  printHash,
  printVkey,
  publicKeyBytes,
  SYSTEM,
  signBatchHeader,
  signNote,
  treeRoot,
} from '@killick/sdk/core'
import type { FoundDrop, FoundPlace, LedgerReader } from '../../../sdk/src/bundle/ledger-reader.ts'
import { type BundleRequest, planBundle } from '../../../sdk/src/bundle/make-bundle.ts'
import { type BundleAnchor, printManifest, printTrailer } from '../../../sdk/src/bundle/manifest.ts'
import { TAR_END, tarHeader, tarPadding } from '../../../sdk/src/bundle/tar.ts'
import { type ExpiredBy, erasureFields } from '../../../sdk/src/core/erasure.ts'
import { seed, signerFor } from './keys.ts'
import { keyOf, OWN, register, SYSTEM_SIGNER, settings } from './registrations.ts'
import { CHAIN, factOf, INPUTS, mintOf, ORIGIN, SOURCE, STREAM, TIME } from './world.ts'

const source = signerFor('source Ed25519')
export const other = signerFor('other source')
const OTHER = 'other-source'
/** Sizes at which the log is anchored, and the seconds of their blocks. */
export const ANCHORED: readonly (readonly [size: number, time: number])[] = [
  [2, Math.floor(TIME / 1000) + 60],
  [7, Math.floor(TIME / 1000) + 660],
]
const SIZE = 9

export type Batch = { header: BatchHeader; tokens: string[] }

/** Batches of a stream: each header after the one before it, and each event, but for one at `broken` that names another. */
async function batchesOf(
  name: string,
  signer: typeof source,
  sizes: readonly number[],
  broken: number | null = null,
): Promise<Batch[]> {
  const made: Batch[] = []
  let [seq, eventPrev, headerPrev]: [number, Hash | undefined, Hash | undefined] = [0, undefined, undefined]
  for (const n of sizes) {
    const tokens: string[] = []
    const first = seq
    for (let i = 0; i < n; i++, seq++) {
      const position = {
        source: name,
        stream: STREAM,
        seq,
        ...(eventPrev && { prev: seq === broken ? asHash(Uint8Array.from(seed('another event'))) : eventPrev }),
      }
      const { token, leafHash } = await makeEvent(INPUTS[seq % INPUTS.length]!, position, mintOf(seq), signer)
      tokens.push(token)
      eventPrev = leafHash
    }
    const root = treeRoot(tokens.map((token) => parseEvent(token).leafHash))
    const fields = { source: name, stream: STREAM, seq: first, n, root, prev: headerPrev, time: TIME + 60_000 }
    const header = parseBatchHeader(await signBatchHeader(fields, signer))
    headerPrev = header.leafHash
    made.push({ header, tokens })
  }
  return made
}

/** An event without some of its fields, and what the list of the erasure says of it. */
function without(token: string, isGone: (name: string) => boolean): { token: string; entry: ErasedEvent } {
  const event = parseEvent(token, nodePrimitives)
  const [gone, kept] = [true, false].map((side) => event.disclosures.filter(({ name }) => isGone(name) === side))
  const digests = gone!.map(({ text }) => nodePrimitives.digest(text)).sort()
  return {
    token: hideFields(
      event,
      kept!.map(({ name }) => name),
    ),
    entry: { leafHash: event.leafHash, digests },
  }
}

/** An event of another source, of which an erasure takes a field too. */
const elsewhere = (n: number): ErasedEvent => ({
  leafHash: asHash(Uint8Array.from(seed(`elsewhere ${n}`))),
  digests: [printHash(asHash(Uint8Array.from(seed(`digest ${n}`))))],
})

export const DECIDED = { orderedBy: 'ada', confirmedBy: 'grace' }

/** The batch of an order. */
async function orderOf(
  n: number,
  list: readonly ErasedEvent[],
  policy: ExpiredBy | null,
  before: Hash | undefined,
): Promise<Batch & { leafHash: Hash }> {
  const said = policy
    ? { reason: 'expired', legalBasis: null, order: null, fields: null }
    : { reason: 'request of the person', legalBasis: 'GDPR Art. 17', order: '2026-17', fields: ['actor', 'context'] }
  const id = `00000000-0000-4000-8000-00000000000${n}`
  const fields = erasureFields({
    id,
    ...said,
    count: list.length,
    root: treeRoot(list.map(erasedLeaf)),
    policy,
    confirmed: policy ? null : { proposal: id, ...DECIDED },
  })
  return ownBatch(n, [fields], before)
}

/** A batch of the ledger's own stream, behind others that are not here. */
export async function ownBatch(
  n: number,
  all: readonly Pick<EventInput, 'action' | 'targets' | 'metadata'>[],
  before: Hash | undefined,
  signer = SYSTEM_SIGNER,
): Promise<Batch & { leafHash: Hash }> {
  const leaves: Hash[] = []
  const tokens: string[] = []
  for (const [i, fields] of all.entries()) {
    const input = { ...fields, actor: { type: 'service', id: 'anchor-service' } } as EventInput
    const prev = leaves.at(-1) ?? before ?? asHash(Uint8Array.from(seed('the system event before')))
    const { token, leafHash } = await makeEvent(
      input,
      { ...SYSTEM, seq: 10 + n + i, prev },
      mintOf(950 + n + i),
      signer,
    )
    tokens.push(token)
    leaves.push(leafHash)
  }
  const prev = asHash(Uint8Array.from(seed('the system batch before')))
  const header = { ...SYSTEM, seq: 10 + n, n: all.length, root: treeRoot(leaves), prev, time: TIME + 120_000 }
  return { header: parseBatchHeader(await signBatchHeader(header, signer)), tokens, leafHash: leaves.at(-1)! }
}

/** Takes fields out of the batches [3, 2, 4]: by an order of the first and the third, and by a policy of the second. */
async function erase([a, b, c]: readonly [Batch, Batch, Batch]) {
  const isPersonal = (name: string) => name === 'actor' || name === 'context'
  const ordered = [a.tokens[0]!, a.tokens[2]!, c.tokens[1]!].map((token) => without(token, isPersonal))
  const expired = b.tokens.map((token) => without(token, (name) => name !== 'action'))
  const lists = [
    [elsewhere(0), ordered[0]!, ordered[1]!, ...[1, 2, 3].map(elsewhere), ordered[2]!, elsewhere(4)],
    [elsewhere(5), ...expired, elsewhere(6), elsewhere(7)],
  ].map((list) => list.map((one) => ('entry' in one ? one.entry : one)))
  const first = await orderOf(1, lists[0]!, null, undefined)
  const policy = { id: 'orders', version: 1, size: 7, time: ANCHORED[1]![1] }
  const orders = [first, await orderOf(2, lists[1]!, policy, first.leafHash)]
  const put = (batch: Batch, tokens: readonly (readonly [at: number, token: string])[]): Batch => ({
    ...batch,
    tokens: tokens.reduce((all, [at, token]) => all.with(at, token), batch.tokens),
  })
  return {
    batches: [
      put(a, [
        [0, ordered[0]!.token],
        [2, ordered[1]!.token],
      ]),
      put(
        b,
        expired.map(({ token }, i) => [i, token] as const),
      ),
      put(c, [[1, ordered[2]!.token]]),
    ],
    orders,
    lists,
  }
}

/**
 * `erases`: whether the log's last two entries order erasures. `notAfter`: of the source's key, ms. `alter`: makes other entries of them all.
 * `gone`: log entries that have lost their events. `drops`: what the ledger says of drops.
 */
type Twist = {
  broken?: number
  erases?: boolean
  notAfter?: number
  alter?: (carried: (Batch | null)[]) => (Batch | null)[]
  gone?: readonly number[]
  drops?: readonly FoundDrop[]
}

export async function openWorld({ broken, erases = false, notAfter, alter, gone = [], drops = [] }: Twist = {}) {
  const plan = { index: 1, registration: settings(SOURCE, [keyOf(source, null, notAfter ?? null)]) }
  const registered = await register([OWN, plan], mintOf)
  const own = await batchesOf(SOURCE, source, [3, 2, 4], broken ?? null)
  const others = await batchesOf(OTHER, other, [1, 1])
  const whole = own as [Batch, Batch, Batch]
  const { batches, orders, lists } = erases ? await erase(whole) : { batches: whole, orders: [], lists: [] }
  const [a, b, c] = batches as [Batch, Batch, Batch]
  const [x, y] = others as [Batch, Batch]
  const all: (Batch | null)[] = [
    ...registered.map(({ event, header }) => ({ header, tokens: [event] })),
    ...[a, x, b, y, c],
    ...(erases ? orders : [null, null]),
  ]
  const carried = alter?.(all) ?? all
  const FIRST_ORDER = carried.length - 2
  const named = lists.flatMap((list, i) =>
    list.map((entry, pos) => ({ ...entry, logIndex: FIRST_ORDER + i, pos, list: String(i) })),
  )
  const leaves = carried.map((batch, i) => batch?.header.leafHash ?? asHash(Uint8Array.from(seed(`bundle entry ${i}`))))
  const rootAt = (size: number) => treeRoot(leaves.slice(0, size))
  const anchors = ANCHORED.map(([size, time], i): BundleAnchor => {
    const where = { transaction: `0x${seed(`bundle transaction ${i}`).toString('hex')}`, block: 9_000_000 + i }
    return { ...CHAIN, size, root: rootAt(size), time, ...where }
  })
  const logKey = signerFor('log')
  const logPublic = publicKeyBytes(logKey.jwk)
  const text = printCheckpoint({ origin: ORIGIN, size: SIZE, root: rootAt(SIZE) })
  const checkpoint = signNote(text, ORIGIN, logPublic, logKey.sign as (message: Uint8Array) => Uint8Array)
  const reader: LedgerReader = {
    url: 'https://audit.example.com',
    checkpoint: async () => checkpoint,
    anchors: async () => anchors,
    async *entries(first, end) {
      for (const batch of carried.slice(first, end)) yield batch!.header.text
    },
    async *batches(first, count) {
      for (const [i, batch] of carried.slice(first, first + count).entries()) {
        const leaves = () => batch!.tokens.map((token) => printHash(parseEvent(token).leafHash))
        yield { header: batch!.header.text, tokens: gone.includes(first + i) ? leaves() : batch!.tokens }
      }
    },
    node: async (level, index) => treeRoot(leaves.slice(index * 2 ** level, (index + 1) * 2 ** level)),
    async *search(conditions) {
      const isBlind = conditions.action !== undefined || conditions.target !== undefined
      for (const [logIndex, batch] of carried.entries())
        if (!isBlind || !gone.includes(logIndex)) yield* placesOf(batch, logIndex, conditions)
    },
    erasures: async () => lists.map((list, i) => ({ id: String(i), logIndex: FIRST_ORDER + i, events: list.length })),
    erased: async (leafHashes) => {
      const asked = new Set(leafHashes.map(printHash))
      return named.filter(({ leafHash }) => asked.has(printHash(leafHash)))
    },
    async *erasedList(id) {
      yield* lists[Number(id)]!
    },
    async *drops(from) {
      yield* drops.filter(({ logIndex }) => logIndex >= from)
    },
  }
  return {
    reader,
    trust: {
      sourceKeys: [{ source: SOURCE, jwk: source.jwk }],
      logKeys: [printVkey(ORIGIN, logPublic)],
      logs: [CHAIN],
      facts: anchors.map((anchor) => {
        const fact = factOf(anchor)
        return { ...fact, root: printHash(fact.root) }
      }),
    },
  }
}

/** What a ledger would find. */
function* placesOf(
  batch: Batch | null,
  logIndex: number,
  { source: name, action, target }: Readonly<Record<string, string>>,
): Generator<FoundPlace> {
  for (const [i, token] of (batch?.tokens ?? []).entries()) {
    const { fields } = parseEvent(token)
    const { source: own, stream, seq } = batch!.header
    const targets = (fields.targets ?? []) as { id: string }[]
    if (name !== undefined && own !== name) continue
    if (action !== undefined && fields.action !== action) continue
    if (target !== undefined && !targets.some(({ id }) => id === target)) continue
    if (name !== SYSTEM.source && own === SYSTEM.source) continue
    yield { logIndex, source: own, stream, seq: seq + i }
  }
}

export type Files = { manifest: string; log: string; forPeople?: readonly (readonly [name: string, text: string])[] }

export async function write(reader: LedgerReader, request: BundleRequest): Promise<Files> {
  const { manifest, lines } = await planBundle(reader, request, TIME + 3_600_000, nodePrimitives)
  let log = ''
  for await (const line of lines()) log += line
  return { manifest: printManifest(manifest), log }
}

const sha256 = (bytes: string | Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** The archive, with a trailer that fits. */
export function archive({ manifest, log, forPeople = [] }: Files): Uint8Array {
  const count = (letter: string) => log.split('\n').filter((line) => line.startsWith(letter)).length
  const hashes = Object.fromEntries(forPeople.map(([name, text]) => [name, sha256(text)]))
  const files = { 'manifest.json': sha256(manifest), 'log.txt': sha256(log), ...hashes }
  const trailer = printTrailer({ entries: count('H '), events: count('E '), files })
  const part = (name: string, text: string) => {
    const bytes = Buffer.from(text)
    return [tarHeader(name, bytes.length), bytes, tarPadding(bytes.length)]
  }
  const all = [['manifest.json', manifest], ['log.txt', log], ...forPeople, ['trailer.json', trailer]] as const
  return Buffer.concat([...all.flatMap(([name, text]) => part(name, text)), TAR_END])
}

/** What a verifier comes to. `absent`: what is missing without a drop */
export type Judged = { by?: object; lacking?: object; keysOutside?: number; dropped?: number; absent?: object }

/** A case. */
export const caseOf = (
  description: string,
  files: Files,
  outcome: string,
  completeness: string,
  reasons: readonly string[],
  { by, lacking = {}, keysOutside = 0, dropped = 0, absent = {} }: Judged,
) => ({
  ...{ description, ...files, sha256: sha256(archive(files)), trust: by, outcome, completeness, reasons },
  fields: outcome === 'failed' ? null : { erased: 0, expired: 0, hidden: 0, undecided: 0, ...lacking },
  keysOutside,
  dropped,
  absent: outcome === 'failed' ? null : { events: 0, entries: 0, ...absent },
})

/** With other lines. */
export const lined = (files: Files, change: (lines: string[]) => string[]): Files => ({
  manifest: files.manifest,
  log: change(files.log.split('\n').slice(0, -1))
    .map((line) => `${line}\n`)
    .join(''),
})

/** Where the n-th line of a kind is. */
export const at = (files: Files, letter: string, n: number): number =>
  files.log
    .split('\n')
    .map((line, i) => (line.startsWith(letter) ? i : -1))
    .filter((i) => i >= 0)
    .at(n)!
