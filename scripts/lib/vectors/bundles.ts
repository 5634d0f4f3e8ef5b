// Bundles, and the verdicts on them. The first case of each scope is what a ledger's reader makes; the others differ from one of them in one
// thing, and have a trailer that fits.
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
import type { FoundPlace, LedgerReader } from '../../../sdk/src/bundle/ledger-reader.ts'
import { type BundleRequest, planBundle } from '../../../sdk/src/bundle/make-bundle.ts'
import { type BundleAnchor, printManifest, printTrailer } from '../../../sdk/src/bundle/manifest.ts'
import { TAR_END, tarHeader, tarPadding } from '../../../sdk/src/bundle/tar.ts'
import { type ExpiredBy, erasureFields } from '../../../sdk/src/core/erasure.ts'
import { seed, signerFor } from './keys.ts'
import { keyOf, OWN, register, SYSTEM_SIGNER, settings } from './registrations.ts'
import { CHAIN, factOf, INPUTS, mintOf, ORIGIN, SOURCE, STREAM, TIME } from './world.ts'

const source = signerFor('source Ed25519')
const other = signerFor('other source')
const OTHER = 'other-source'
/** Sizes at which the log is anchored, and the seconds of their blocks. */
const ANCHORED: readonly (readonly [size: number, time: number])[] = [
  [2, Math.floor(TIME / 1000) + 60],
  [7, Math.floor(TIME / 1000) + 660],
]
const SIZE = 9

type Batch = { header: BatchHeader; tokens: string[] }

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

const DECIDED = { orderedBy: 'ada', confirmedBy: 'grace' }

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
  const input = { ...fields, actor: { type: 'service', id: 'anchor-service' } } as EventInput
  const position = { ...SYSTEM, seq: 10 + n, prev: before ?? asHash(Uint8Array.from(seed('the system event before'))) }
  const { token, leafHash } = await makeEvent(input, position, mintOf(950 + n), SYSTEM_SIGNER)
  const prev = asHash(Uint8Array.from(seed('the system batch before')))
  const header = { ...SYSTEM, seq: 10 + n, n: 1, root: treeRoot([leafHash]), prev, time: TIME + 120_000 }
  return { header: parseBatchHeader(await signBatchHeader(header, SYSTEM_SIGNER)), tokens: [token], leafHash }
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

/** `erases`: whether the log's last two entries order erasures. `notAfter`: of the source's key, ms */
type Twist = { broken?: number; erases?: boolean; notAfter?: number }

async function openWorld({ broken, erases = false, notAfter }: Twist = {}) {
  const plan = { index: 1, registration: settings(SOURCE, [keyOf(source, null, notAfter ?? null)]) }
  const registered = await register([OWN, plan], mintOf)
  const own = await batchesOf(SOURCE, source, [3, 2, 4], broken ?? null)
  const others = await batchesOf(OTHER, other, [1, 1])
  const whole = own as [Batch, Batch, Batch]
  const { batches, orders, lists } = erases ? await erase(whole) : { batches: whole, orders: [], lists: [] }
  const [a, b, c] = batches as [Batch, Batch, Batch]
  const [x, y] = others as [Batch, Batch]
  const carried: (Batch | null)[] = [
    ...registered.map(({ event, header }) => ({ header, tokens: [event] })),
    ...[a, x, b, y, c],
    ...(erases ? orders : [null, null]),
  ]
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
      for (const batch of carried.slice(first, first + count))
        yield { header: batch!.header.text, tokens: batch!.tokens }
    },
    node: async (level, index) => treeRoot(leaves.slice(index * 2 ** level, (index + 1) * 2 ** level)),
    async *search(conditions) {
      for (const [logIndex, batch] of carried.entries()) yield* placesOf(batch, logIndex, conditions)
    },
    erasures: async () => lists.map((list, i) => ({ id: String(i), logIndex: FIRST_ORDER + i, events: list.length })),
    erased: async (leafHashes) => {
      const asked = new Set(leafHashes.map(printHash))
      return named.filter(({ leafHash }) => asked.has(printHash(leafHash)))
    },
    async *erasedList(id) {
      yield* lists[Number(id)]!
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

type Files = { manifest: string; log: string; forPeople?: readonly (readonly [name: string, text: string])[] }
/** What a case alters in a manifest. */
type Told = { scope: object; anchors: { size: number }[] }

async function write(reader: LedgerReader, request: BundleRequest): Promise<Files> {
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

export async function bundles() {
  const { reader, trust } = await openWorld()
  const iso = (seconds: number) => 1000 * seconds
  const whole = await write(reader, {
    ...{ kind: 'source', source: SOURCE },
    ...{ since: iso(ANCHORED[0]![1]), until: iso(ANCHORED[1]![1]) },
  })
  const stream = await write(reader, { kind: 'stream', source: SOURCE, stream: STREAM, first: 1, last: 6 })
  const search = await write(reader, { kind: 'search', conditions: { source: SOURCE, action: 'login' } })
  const make = (
    description: string,
    files: Files,
    outcome: string,
    completeness: string,
    reasons: readonly string[] = [],
    by: object = trust,
    lacking: object = {},
    keysOutside = 0,
  ) => ({
    ...{ description, ...files, sha256: sha256(archive(files)), trust: by, outcome, completeness, reasons },
    fields: outcome === 'failed' ? null : { erased: 0, expired: 0, hidden: 0, undecided: 0, ...lacking },
    keysOutside,
  })
  const lined = (files: Files, change: (lines: string[]) => string[]): Files => ({
    manifest: files.manifest,
    log: change(files.log.split('\n').slice(0, -1))
      .map((line) => `${line}\n`)
      .join(''),
  })
  const told = (files: Files, change: (manifest: Told) => object): Files => ({
    manifest: `${JSON.stringify(change(JSON.parse(files.manifest)), null, 1)}\n`,
    log: files.log,
  })
  const at = (files: Files, letter: string, n: number) =>
    files.log
      .split('\n')
      .map((line, i) => (line.startsWith(letter) ? i : -1))
      .filter((i) => i >= 0)
      .at(n)!
  const event = at(whole, 'E ', -1)
  const flip = (line: string) => `${line.slice(0, 40)}${line[40] === 'A' ? 'B' : 'A'}${line.slice(41)}`
  const { reader: unchained, trust: itsTrust } = await openWorld({ broken: 4 })
  const broken = await write(unchained, { kind: 'stream', source: SOURCE, stream: STREAM, first: 1, last: 6 })
  const { facts: _, ...unasked } = trust
  const { reader: forgetful, trust: its } = await openWorld({ erases: true })
  const erased = await write(forgetful, { kind: 'source', source: SOURCE })
  const partly = await write(forgetful, { kind: 'stream', source: SOURCE, stream: STREAM, first: 1, last: 3 })
  const { reader: late, trust: of } = await openWorld({ notAfter: TIME + 30_000 })
  const expired = await write(late, { kind: 'source', source: SOURCE, until: iso(ANCHORED[1]![1]) })
  const unfounded = (description: string, files: Files, reasons = ['erasure_invalid']) =>
    make(description, files, 'failed', 'not_judged', reasons, its)
  return [
    make('of a source between two anchors', whole, 'verified', 'complete'),
    make('of a part of a stream, whose batches are carried in part', stream, 'verified', 'complete'),
    make('of a search', search, 'verified', 'as_index_says'),
    make('the chain was not asked', whole, 'undecided', 'open', [], { ...unasked, facts: [] }),
    make('nothing is pinned', whole, 'undecided', 'complete', [], { facts: trust.facts }),
    make('the chain does not hold an anchor', whole, 'failed', 'not_judged', ['anchor_denied'], {
      ...trust,
      facts: trust.facts.map((fact) => ({ ...fact, anchored: false })),
    }),
    make('another key of the source is pinned', whole, 'failed', 'not_judged', ['pin_mismatch'], {
      ...trust,
      sourceKeys: [{ source: SOURCE, jwk: other.jwk }],
    }),
    make(
      'without one of the events of a batch',
      lined(whole, (lines) => lines.toSpliced(event, 1)),
      'failed',
      'not_judged',
      ['batch_incomplete'],
    ),
    make(
      'with an event twice',
      lined(whole, (lines) => lines.toSpliced(event, 0, lines[event]!)),
      'failed',
      'not_judged',
      ['place_mismatch'],
    ),
    make(
      'an event with another byte',
      lined(whole, (lines) => lines.with(event, flip(lines[event]!))),
      'failed',
      'not_judged',
      ['batch_incomplete', 'event_invalid'],
    ),
    make(
      'the events of the last batch left out, its header stays',
      lined(whole, (lines) => lines.filter((line, i) => !(line.startsWith('E ') && i > at(whole, 'H ', -1)))),
      'verified',
      'incomplete',
    ),
    make(
      'a header of another source replaced by its hash',
      lined(whole, (lines) => {
        const i = at(whole, 'H ', 3)
        return lines.with(i, `T 0 ${printHash(parseBatchHeader(lines[i]!.slice(2)).leafHash)}`)
      }),
      'verified',
      'incomplete',
    ),
    make(
      'a hash of entries that are not carried is another',
      lined(whole, (lines) => lines.with(-1, `T 1 ${printHash(asHash(seed('another')))}`)),
      'failed',
      'not_judged',
      ['log_root_mismatch'],
    ),
    make(
      'a line that is none',
      lined(whole, (lines) => lines.with(-1, 'X 1')),
      'failed',
      'not_judged',
      ['log_root_mismatch', 'malformed'],
    ),
    make(
      'two events change places',
      lined(stream, (lines) => {
        const i = at(stream, 'E ', -2)
        return lines.with(i, lines[i + 1]!).with(i + 1, lines[i]!)
      }),
      'failed',
      'not_judged',
      ['batch_incomplete', 'place_mismatch'],
    ),
    make(
      'the scope reaches beyond what is carried',
      told(stream, ({ scope, ...rest }) => ({
        ...{ format: 'killick-bundle/1', scope: { ...scope, last: 8 } },
        ...rest,
      })),
      'verified',
      'incomplete',
    ),
    make(
      'an anchor of another size',
      told(whole, ({ anchors, ...rest }) => ({
        ...rest,
        anchors: anchors.map((anchor, i) => (i === 1 ? { ...anchor, size: 6 } : anchor)),
      })),
      'failed',
      'not_judged',
      ['anchor_mismatch'],
    ),
    make(
      'files for people behind the log',
      {
        ...whole,
        forPeople: [
          ['report.html', '<p>What is in it</p>'],
          ['verify.html', '<p>A page</p>'],
          ['readme.txt', 'A note'],
        ],
      },
      'verified',
      'complete',
    ),
    make(
      'files for people in another order',
      {
        ...whole,
        forPeople: [
          ['verify.html', '<p>A page</p>'],
          ['report.html', '<p>What is in it</p>'],
        ],
      },
      'failed',
      'not_judged',
      ['malformed'],
    ),
    make(
      'an event that its source signed names another before it',
      broken,
      'failed',
      'not_judged',
      ['chain_broken'],
      itsTrust,
    ),
    make(
      'the key of the source signed behind the time for which it is registered',
      ...([expired, 'verified', 'complete', [], of, {}, 3] as const),
    ),
    make('of events of which some were erased and some have expired', erased, 'verified', 'complete', [], its, {
      ...{ erased: 3, expired: 2, erasureCount: 2 },
      erasures: [
        {
          ...{ id: '00000000-0000-4000-8000-000000000001', logIndex: 7, at: new Date(mintOf(951).time).toISOString() },
          ...{ reason: 'request of the person', legalBasis: 'GDPR Art. 17', order: '2026-17', events: 3 },
          ...{ policy: null, confirmed: DECIDED },
        },
        {
          ...{ id: '00000000-0000-4000-8000-000000000002', logIndex: 8, at: new Date(mintOf(952).time).toISOString() },
          ...{ reason: 'expired', legalBasis: null, order: null, events: 2 },
          ...{ policy: { id: 'orders', version: 1 }, confirmed: null },
        },
      ],
    }),
    make('of a part of them', partly, 'verified', 'complete', [], its, { erased: 1, expired: 1 }),
    make(
      'what was erased without what says so',
      lined(partly, (lines) => lines.filter((line) => !/^[XL] /.test(line))),
      ...(['verified', 'complete', [], its, { hidden: 2 }] as const),
    ),
    unfounded(
      'what was erased of one event is not said',
      lined(erased, (lines) => lines.toSpliced(at(erased, 'X ', 0), 1)),
    ),
    unfounded(
      'what was erased is said twice',
      lined(erased, (lines) => lines.toSpliced(at(erased, 'X ', 0), 0, lines[at(erased, 'X ', 0)]!)),
    ),
    unfounded(
      'one digest more is said to be erased',
      lined(erased, (lines) => {
        const i = at(erased, 'X ', -1)
        const [own, other] = [lines[i]!, lines[at(erased, 'X ', 0)]!].map((line) => line.split(' ')[2]!.split(','))
        return lines.with(i, `X 7 ${[...own!, other![0]!].sort().join()}`)
      }),
    ),
    unfounded(
      'one digest fewer is said to be erased',
      lined(erased, (lines) => {
        const i = at(erased, 'X ', 0)
        return lines.with(i, lines[i]!.replace(/,[^,]*$/, ''))
      }),
    ),
    unfounded(
      'digests are not in order',
      lined(erased, (lines) => {
        const i = at(erased, 'X ', 0)
        const [, order, digests] = lines[i]!.split(' ')
        return lines.with(i, `X ${order} ${digests!.split(',').reverse().join()}`)
      }),
    ),
    unfounded(
      'the rest of a list is cut off',
      lined(erased, (lines) => lines.toSpliced(at(erased, 'L ', -1), 1)),
    ),
    unfounded(
      'another order is named',
      lined(erased, (lines) => lines.map((line) => line.replace(/^([XL]) 8 /, '$1 7 '))),
    ),
    unfounded(
      'the order is not carried',
      lined(erased, (lines) =>
        lines.filter((line, i) => !line.startsWith('L 8') || i < at(erased, 'E ', -1)).toSpliced(-1, 1),
      ),
    ),
    unfounded(
      'what comes before the event is named as the order',
      lined(erased, (lines) => lines.map((line) => line.replace(/^([XL]) 8 /, '$1 1 '))),
    ),
    unfounded(
      'one of two fields that were erased is shown all the same',
      lined(erased, (lines) => {
        const event = parseEvent(whole.log.split('\n')[at(whole, 'E ', 2)]!.slice(2), nodePrimitives)
        const names = event.disclosures.map(({ name }) => name).filter((name) => name !== 'context')
        return lines.with(at(erased, 'E ', 2), `E ${hideFields(event, names)}`)
      }),
    ),
    unfounded(
      'a field that was erased is shown all the same',
      lined(erased, (lines) => {
        const i = at(erased, 'E ', 2)
        return lines.with(i, `E ${whole.log.split('\n')[at(whole, 'E ', 2)]!.slice(2)}`)
      }),
    ),
  ]
}
