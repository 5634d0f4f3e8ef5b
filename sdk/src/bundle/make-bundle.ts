/** Makes a bundle out of what a ledger gives its readers: plans what to carry, and prints the lines. */
import { droppedLeaves, parseBatchHeader } from '../core/batch.ts'
import { utf8 } from '../core/bytes.ts'
import { parseCheckpoint } from '../core/checkpoint.ts'
import { KillickError } from '../core/errors.ts'
import { parseEvent } from '../core/event.ts'
import { leafHash } from '../core/hash.ts'
import { treeRoot } from '../core/merkle.ts'
import { PORTABLE, type Primitives } from '../core/primitives.ts'
import { SYSTEM } from '../core/registry.ts'
import { ErasedLines } from './erased-lines.ts'
import { subtreesOf } from './growing-tree.ts'
import { registrationIn } from './keys.ts'
import type { LedgerReader } from './ledger-reader.ts'
import { printLine } from './lines.ts'
import type { BundleAnchor, BundleManifest, BundleScope } from './manifest.ts'
import { NamedDrops } from './named-drops.ts'

/** What a bundle is asked to hold. Times are ms since 1970; places count from 0, and `last` is included. */
export type BundleRequest =
  | {
      readonly kind: 'stream'
      readonly source: string
      readonly stream: string
      readonly first?: number | undefined
      readonly last?: number | undefined
    }
  | {
      readonly kind: 'source'
      readonly source: string
      readonly since?: number | undefined
      readonly until?: number | undefined
    }
  | { readonly kind: 'search'; readonly conditions: Readonly<Record<string, string>> }

/**
 * A bundle that is ready to be written: the manifest at once, and the lines of `log.txt` as they are read; `entries` of these will be
 * entries of the log, and those besides that order what was erased of its events, or say what was dropped. `dropped`: how many events
 * were, as far as lines were read.
 */
export type PlannedBundle = {
  readonly manifest: BundleManifest
  readonly entries: number
  readonly dropped: () => number
  readonly lines: () => AsyncGenerator<string>
}

/** Entries to carry, from `first` to before `end`; `wants` says of each header which of its events. */
type Segment = { readonly first: number; readonly end: number; readonly wants: Wants }
type Wants = (source: string, stream: string, logIndex: number) => Wanted
type Wanted = 'all' | 'none' | ((seq: number) => boolean)

/** Anchors between the first and the last carried entry that are taken, for each log on a chain. */
const ANCHORS_BETWEEN = 64
/** Batches that are asked for at a time. */
const PAGE = 64

/**
 * Plans a bundle.
 * @param now by the maker's clock, ms since 1970
 * @throws KillickError `bundle_empty`; what the reader throws; while lines are read, also `bundle_too_large` and `bundle_outdated`
 */
export async function planBundle(
  reader: LedgerReader,
  request: BundleRequest,
  now: number,
  primitives: Primitives = PORTABLE,
): Promise<PlannedBundle> {
  // Before the checkpoint, which then is not behind any of them.
  const anchors = [...(await reader.anchors())].sort((a, b) => a.size - b.size)
  const checkpoint = await reader.checkpoint()
  const size = Number(parseCheckpoint(checkpoint).size)
  const { scope, segments, sources, ends = [] } = await planScope(reader, request, anchors, size)
  const registered = await registrationsOf(reader, await alsoRegistered(reader, sources, segments, size), size)
  // All of a source that is misspelt would be nothing, and complete.
  if (request.kind === 'source' && !registered.sources.has(request.source))
    throw new KillickError('bundle_empty', `The ledger has registered no source ${request.source}`)
  const orders = (await reader.erasures()).filter(({ logIndex }) => logIndex < size)
  const all = withRegistrations(segments, registered.entries)
  // Of nothing too anchors show how far it reaches.
  const { from, to } = scope.kind === 'source' ? scope : { from: segments[0]!.first, to: segments.at(-1)!.end }
  const manifest: BundleManifest = {
    ...{ scope, checkpoint, anchors: chosen(anchors, from, to - 1, size, ends) },
    made: { at: new Date(now).toISOString(), url: reader.url },
  }
  const edges = manifest.anchors.map((anchor) => anchor.size)
  const entries = all.reduce((sum, segment) => sum + segment.end - segment.first, 0)
  const parts: Parts = {
    ...{ reader, primitives },
    erased: new ErasedLines(reader, orders, size, primitives),
    dropped: new NamedDrops(reader, size),
  }
  const lines = () => printLines(parts, all, size, edges)
  return { manifest, entries, dropped: () => parts.dropped.events, lines }
}

/** What lines are made of. */
type Parts = {
  readonly reader: LedgerReader
  readonly primitives: Primitives
  readonly erased: ErasedLines
  readonly dropped: NamedDrops
}

/** `ends`: anchors which show that it reaches as far as was asked for */
type Planned = { scope: BundleScope; segments: Segment[]; sources: string[]; ends?: readonly BundleAnchor[] }

async function planScope(
  reader: LedgerReader,
  request: BundleRequest,
  anchors: readonly BundleAnchor[],
  size: number,
): Promise<Planned> {
  if (request.kind === 'source') return planSource(request, anchors, size)
  const isStream = request.kind === 'stream'
  const { first = 0, last = Number.MAX_SAFE_INTEGER } = isStream ? request : {}
  const conditions = isStream ? { source: request.source, stream: request.stream } : request.conditions
  const places = new Map<number, Set<number>>()
  const sources = new Set<string>()
  let [lowest, highest] = [Number.MAX_SAFE_INTEGER, -1]
  for await (const { logIndex, source, stream, seq } of reader.search(conditions)) {
    // What came after the checkpoint is not under it.
    if (logIndex >= size || seq < first || seq > last) continue
    if (isStream && (source !== request.source || stream !== request.stream)) continue
    places.set(logIndex, (places.get(logIndex) ?? new Set()).add(seq))
    sources.add(source)
    lowest = Math.min(lowest, seq)
    highest = Math.max(highest, seq)
  }
  if (places.size === 0) throw new KillickError('bundle_empty', 'The ledger has no such event')
  const scope: BundleScope = isStream
    ? {
        ...{ kind: 'stream', source: request.source, stream: request.stream },
        // What was asked for, so that a reader sees what is not there.
        ...{ first: request.first ?? 0, last: request.last ?? highest },
      }
    : { kind: 'search', conditions }
  const segments = [...places]
    .sort(([a], [b]) => a - b)
    .map(([logIndex, seqs]): Segment => ({ first: logIndex, end: logIndex + 1, wants: () => (seq) => seqs.has(seq) }))
  return { scope, segments, sources: [...sources] }
}

/** From the last anchor before the time to the first one after it in each log on a chain, so that all of them show that the range reaches as far. */
function planSource(
  { source, since, until }: Extract<BundleRequest, { kind: 'source' }>,
  anchors: readonly BundleAnchor[],
  size: number,
): Planned {
  const within = anchors.filter((anchor) => anchor.size <= size)
  const from = since === undefined ? 0 : (within.findLast(({ time }) => 1000 * time <= since)?.size ?? 0)
  // Of several chains one may have had more by then than the next anchor on another.
  const had = until === undefined ? 0 : (within.findLast(({ time }) => 1000 * time <= until)?.size ?? 0)
  const ends = until === undefined ? [] : firstOfEach(within.filter(({ time }) => 1000 * time >= until))
  const to = ends.length === 0 ? size : Math.max(had, ...ends.map((anchor) => anchor.size))
  const iso = (time: number | undefined) => (time === undefined ? null : new Date(time).toISOString())
  const wants: Wants = (name) => (name === source ? 'all' : 'none')
  return {
    scope: { kind: 'source', source, from, to: Math.max(from, to), since: iso(since), until: iso(until) },
    segments: from < to ? [{ first: from, end: to, wants }] : [],
    sources: [source],
    ends,
  }
}

/** Anchors by their logs on chains, each in the order in which they are given. */
const byLog = (anchors: readonly BundleAnchor[]): BundleAnchor[][] => [
  ...Map.groupBy(anchors, ({ chainId, contract, logId }) => [chainId, contract, logId].join()).values(),
]

const firstOfEach = (anchors: readonly BundleAnchor[]): BundleAnchor[] => byLog(anchors).map(([first]) => first!)

/**
 * These sources, and those that a carried change is of: a registration counts only behind the ones before it, which may lie before what
 * was asked for.
 */
async function alsoRegistered(
  reader: LedgerReader,
  sources: readonly string[],
  segments: readonly Segment[],
  size: number,
): Promise<string[]> {
  const all = new Set(sources)
  if (!all.has(SYSTEM.source)) return [...all]
  const isCarried = (at: number) =>
    segments.some(
      ({ first, end, wants }) => at >= first && at < end && wants(SYSTEM.source, SYSTEM.stream, at) !== 'none',
    )
  for await (const { logIndex, stream } of reader.search({ source: SYSTEM.source, action: 'source.change' })) {
    if (logIndex >= size || stream !== SYSTEM.stream || !isCarried(logIndex)) continue
    for await (const { tokens } of reader.batches(logIndex, 1)) {
      const registration = registrationIn(parseEvent(tokens[0]!))
      // What cannot be read, a reader of the bundle is told of.
      if (registration !== null && registration !== 'fault') all.add(registration.source)
    }
  }
  return [...all]
}

/** Log entries that register the ledger itself and these sources, and which of these they register. */
async function registrationsOf(
  reader: LedgerReader,
  names: readonly string[],
  size: number,
): Promise<{ entries: number[]; sources: Set<string> }> {
  const entries = new Set<number>([0])
  const sources = new Set<string>([SYSTEM.source])
  for (const source of new Set([SYSTEM.source, ...names]))
    for (const action of ['source.register', 'source.change'])
      for await (const { logIndex, stream } of reader.search({ source: SYSTEM.source, action, target: source }))
        if (logIndex < size && stream === SYSTEM.stream) {
          entries.add(logIndex)
          sources.add(source)
        }
  return { entries: [...entries].sort((a, b) => a - b), sources }
}

function withRegistrations(segments: readonly Segment[], registered: readonly number[]): Segment[] {
  const isRegistered = new Set(registered)
  // A registration inside a segment is carried whole, whatever the segment wants of it.
  const inside = segments.map(
    ({ first, end, wants }): Segment => ({
      ...{ first, end },
      wants: (source, stream, logIndex) => (isRegistered.has(logIndex) ? 'all' : wants(source, stream, logIndex)),
    }),
  )
  const outside = registered.filter((at) => !segments.some(({ first, end }) => at >= first && at < end))
  const alone = outside.map((at): Segment => ({ first: at, end: at + 1, wants: () => 'all' }))
  return [...inside, ...alone].sort((a, b) => a.first - b.first)
}

/** Of each log on a chain: the last anchor without the first entry, the first with the last entry, those that are needed, and some between. */
function chosen(
  anchors: readonly BundleAnchor[],
  first: number,
  last: number,
  size: number,
  needed: readonly BundleAnchor[],
): BundleAnchor[] {
  const logs = byLog(anchors.filter((anchor) => anchor.size > 0 && anchor.size <= size))
  const picked = logs.flatMap((own) => {
    const before = own.findLast((anchor) => anchor.size <= first)
    const behind = own.find((anchor) => anchor.size > last)
    const between = own.filter((anchor) => anchor.size > first && anchor.size <= last)
    const step = Math.ceil(between.length / ANCHORS_BETWEEN)
    // Counted from the newest: where nothing is anchored behind the last entry, it is the one that covers the most.
    const some = between.filter((anchor, i) => (between.length - 1 - i) % step === 0 || needed.includes(anchor))
    return [...new Set([before, ...some, behind])].filter((anchor) => anchor !== undefined)
  })
  return picked.sort((a, b) => a.size - b.size)
}

async function* printLines(
  parts: Parts,
  segments: readonly Segment[],
  size: number,
  edges: readonly number[],
): AsyncGenerator<string> {
  const { reader, erased, dropped } = parts
  let at = 0
  for (const segment of [...segments, { first: size, end: size, wants: () => 'none' } satisfies Segment]) {
    // What has become of events so far is said between them, or behind them all.
    const named = [...erased.namedIn(at, segment.first), ...dropped.namedIn(at, segment.first)]
    for (const one of named.sort((a, b) => a - b)) {
      yield* treeLines(reader, at, one, size, edges)
      yield* segmentLines(parts, { first: one, end: one + 1, wants: () => 'all' })
      at = one + 1
    }
    yield* treeLines(reader, at, segment.first, size, edges)
    yield* segmentLines(parts, segment)
    at = segment.end
  }
  await erased.settle()
}

/** Hashes for entries that are not carried. An anchor's size must be an edge between two of them. */
async function* treeLines(
  reader: LedgerReader,
  first: number,
  end: number,
  size: number,
  edges: readonly number[],
): AsyncGenerator<string> {
  const stops = [...new Set(edges.filter((edge) => edge > first && edge < end)), end]
  let at = first
  for (const stop of stops) {
    for (const { level, index } of subtreesOf(at, stop))
      yield printLine({ kind: 'tree', level, hash: await reader.node(level, index, size) })
    at = stop
  }
}

async function* segmentLines(
  { reader, primitives, erased, dropped }: Parts,
  { first, end, wants }: Segment,
): AsyncGenerator<string> {
  let logIndex = first
  /** Consecutive entries whose batches are wanted. */
  let run: Wanted[] = []
  const flush = async function* (): AsyncGenerator<string> {
    const [from, wanted] = [logIndex - run.length, run]
    run = []
    let i = 0
    for await (const { header, tokens } of reader.batches(from, wanted.length)) {
      const [want, at] = [wanted[i]!, from + i]
      i += 1
      if (droppedLeaves(parseBatchHeader(header), tokens, primitives) !== null) {
        await dropped.take(at, tokens.length)
        yield printLine({ kind: 'entry', text: header })
        continue
      }
      yield* batchLines(header, tokens, want, await erased.behind(at, carriedOf(header, tokens, want)), primitives)
      if (erased.isNamed(at)) yield await erased.rest(at)
    }
    if (i !== wanted.length)
      throw new KillickError('answer_malformed', `The service has no batch ${from + i} of the log`)
  }
  for await (const text of reader.entries(first, end)) {
    const { source, stream } = parseBatchHeader(text)
    const own = wants(source, stream, logIndex)
    // Whether an order or a drop is needed depends on the events before it.
    if (erased.isOrder(logIndex) || (own === 'none' && source === SYSTEM.source)) yield* flush()
    const want = erased.isNamed(logIndex) || dropped.isNamed(logIndex) ? 'all' : own
    if (want === 'none') {
      yield* flush()
      yield printLine({ kind: 'entry', text })
    } else {
      run.push(want)
    }
    logIndex += 1
    if (run.length === PAGE) yield* flush()
  }
  yield* flush()
  if (logIndex !== end) throw new KillickError('answer_malformed', `The service has no entry ${logIndex} of the log`)
}

/** The events of a batch that are carried. */
function carriedOf(header: string, tokens: readonly string[], want: Wanted): readonly string[] {
  if (want === 'all' || want === 'none') return want === 'all' ? tokens : []
  const { seq } = parseBatchHeader(header)
  return tokens.filter((_, i) => want(seq + i))
}

/** @param behind what stands behind an event, by its text */
function* batchLines(
  text: string,
  tokens: readonly string[],
  want: Wanted,
  behind: ReadonlyMap<string, string>,
  primitives: Primitives,
): Generator<string> {
  yield printLine({ kind: 'entry', text })
  if (want === 'none') return
  const { seq } = parseBatchHeader(text)
  const isWanted = (i: number) => want === 'all' || want(seq + i)
  for (let at = 0; at < tokens.length; ) {
    if (isWanted(at)) {
      yield `${printLine({ kind: 'event', text: tokens[at]! })}${behind.get(tokens[at]!) ?? ''}`
      at += 1
      continue
    }
    let end = at
    while (end < tokens.length && !isWanted(end)) end += 1
    for (const { level, index } of subtreesOf(at, end)) {
      const width = 2 ** level
      const leaves = tokens
        .slice(index * width, (index + 1) * width)
        .map((token) => leafHash(utf8(token.split('~')[0]!)))
      yield printLine({ kind: 'node', level, hash: treeRoot(leaves, primitives.nodeHash) })
    }
    at = end
  }
}
