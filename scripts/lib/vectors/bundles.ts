// Bundles, and the verdicts on them. The first case of each scope is what a ledger's reader makes; the others differ from one of them in one
// thing, and have a trailer that fits.
import { createHash } from 'node:crypto'
import {
  asHash,
  type BatchHeader,
  type Hash,
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
import {
  type BundleRequest,
  type FoundPlace,
  type LedgerReader,
  planBundle,
} from '../../../sdk/src/bundle/make-bundle.ts'
import { type BundleAnchor, printManifest, printTrailer } from '../../../sdk/src/bundle/manifest.ts'
import { TAR_END, tarHeader, tarPadding } from '../../../sdk/src/bundle/tar.ts'
import { seed, signerFor } from './keys.ts'
import { keyOf, OWN, register, settings } from './registrations.ts'
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

async function openWorld(broken: number | null = null) {
  const registered = await register([OWN, { index: 1, registration: settings(SOURCE, [keyOf(source)]) }], mintOf)
  const own = await batchesOf(SOURCE, source, [3, 2, 4], broken)
  const others = await batchesOf(OTHER, other, [1, 1])
  const [a, b, c] = own as [Batch, Batch, Batch]
  const [x, y] = others as [Batch, Batch]
  const carried: (Batch | null)[] = [
    ...registered.map(({ event, header }) => ({ header, tokens: [event] })),
    ...[a, x, b, y, c],
    ...[null, null],
  ]
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
  ) => ({ description, ...files, sha256: sha256(archive(files)), trust: by, outcome, completeness, reasons })
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
  const { reader: unchained, trust: itsTrust } = await openWorld(4)
  const broken = await write(unchained, { kind: 'stream', source: SOURCE, stream: STREAM, first: 1, last: 6 })
  const { facts: _, ...unasked } = trust
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
  ]
}
