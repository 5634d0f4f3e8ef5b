import { sha256 } from '@noble/hashes/sha2.js'
import { equalBytes, fromUtf8, toHex } from '../core/bytes.ts'
import { parseCheckpoint } from '../core/checkpoint.ts'
import { KillickError } from '../core/errors.ts'
import type { ParsedEvent } from '../core/event.ts'
import type { PublicJwk } from '../core/jwk.ts'
import { openNote, parseNote, splitVkeys } from '../core/note.ts'
import { PORTABLE, type Primitives } from '../core/primitives.ts'
import { SYSTEM } from '../core/registry.ts'
import { verifySignature } from '../core/signature.ts'
import { anchorFinal, isAbout } from '../verify/checks.ts'
import type { HeadFact } from '../verify/read-log-heads.ts'
import { type Bounds, boundsFrom } from '../verify/times.ts'
import {
  type AnchorFact,
  checkTrust,
  DEFAULT_CONFIRMATIONS,
  type PinnedLog,
  requireTrust,
  type Trust,
  weightiest,
} from '../verify/trust.ts'
import type { Missing } from '../verify/verdict.ts'
import { type Confirmed, type Reach, ScopeWatch, unshown } from './completeness.ts'
import { ErasureWatch } from './erasures.ts'
import { BundleKeys } from './keys.ts'
import { linesOf } from './lines.ts'
import {
  type BundleAnchor,
  type BundleManifest,
  type BundleTrailer,
  MAX_MANIFEST_BYTES,
  parseManifest,
  parseTrailer,
} from './manifest.ts'
import type { CheckSignature, StretchReading } from './reading.ts'
import { PromiseWatch } from './silence.ts'
import { type BundleStretch, Stretches } from './stretches.ts'
import { readTar, type TarFile } from './tar.ts'
import { type BundleFault, type BundleVerdict, Few, type JudgedBundleAnchor } from './verdict.ts'
import { BundleWalk } from './walk.ts'

/** What a verifier of bundles brings along: as for a proof, and how to ask the chain about anchors that it does not know before. */
export type BundleTrust = Omit<Trust, 'facts' | 'timeTolerance'> & {
  /** Asks nodes about the anchors of the bundle, such as `(anchors) => readAnchors({ anchors }, urls)`. Default: nobody is asked. */
  readonly facts?: ((anchors: readonly BundleAnchor[]) => Promise<readonly AnchorFact[]>) | undefined
  /**
   * Asks nodes how far pinned logs are anchored, such as `(logs) => readLogHeads(logs, urls)`. Called only where an anchor in one pinned log
   * shows that the bundle reaches as far as was asked for, about those of which no anchor in it does. Default: nobody is asked.
   */
  readonly heads?: ((logs: readonly PinnedLog[]) => Promise<readonly HeadFact[]>) | undefined
}

/** Options of `verifyBundle`. */
export type BundleOptions = {
  /** A platform's own for hashing and decoding. Default: portable code. */
  readonly primitives?: Primitives
  /** A platform's own, which may answer later. Default: `verifySignature`. */
  readonly checkSignature?: CheckSignature
  /** Reads on other threads, or wherever it likes. Default: each line is read when its turn comes. */
  readonly reader?: BundleReader | undefined
  /** Called with each event that is no registration, in the order of the log, before it is known whether the bundle holds. */
  readonly onEvent?: ((event: ParsedEvent, logIndex: number) => void) | undefined
  /** Called now and then. */
  readonly onProgress?: ((progress: BundleProgress) => void) | undefined
  /** Ends the check early: it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** How far the check of a bundle is: entries and events so far, and bytes of `log.txt`. */
export type BundleProgress = { readonly entries: number; readonly events: number; readonly bytes: number }

/** A stretch of `log.txt` that was read. */
export type BundleStretchRead = {
  /** Makes its lines, without their line feeds. */
  readonly lines: () => readonly string[]
  /** Null: nobody has looked into them. */
  readonly reading: StretchReading | null
  /** As it was given, or the same bytes elsewhere; used for others from then on. */
  readonly bytes: Uint8Array
}

/** Reads stretches of bundles, such as on other threads; what it says of them must be what `readStretch` says. */
export type BundleReader = {
  /** Reads one. @param keys those that may sign something, as far as is known by now: each call has those of the one before it, and perhaps more behind them */
  readonly read: (stretch: BundleStretch, keys: readonly PublicJwk[]) => Promise<BundleStretchRead>
  /** How many stretches are to be under way while the next is cut: none for a reader on the calling thread. Asked again and again. */
  readonly ahead: () => number
}

/** What a platform has for bundles beside the options. */
export type BundleEngine = {
  readonly reader: BundleReader
  /** Begins a SHA-256. */
  readonly newSha256: () => Sha256
  /** Checks the log's own signatures on the checkpoint, with the answers of `verifySignature`. */
  readonly verify: typeof verifySignature
}

/** A SHA-256 of bytes as they come. */
export type Sha256 = { update(bytes: Uint8Array): void; hex(): string }

export const PORTABLE_ENGINE: BundleEngine = {
  reader: {
    read: async ({ bytes }) => ({ lines: () => linesOf(bytes), reading: null, bytes }),
    ahead: () => 0,
  },
  newSha256() {
    const hash = sha256.create()
    return {
      update: (bytes) => void hash.update(bytes),
      hex: () => toHex(hash.digest()),
    }
  },
  verify: verifySignature,
}

/** Where one of these is missing, no anchor counts. */
const NO_ANCHOR: ReadonlySet<Missing> = new Set(['anchor', 'chain', 'contract'])
const MAX_TRAILER_BYTES = 64 << 10
/** Files that may stand between the log and the trailer, in this order: for people, and never looked into. */
const FOR_PEOPLE = ['report.html', 'verify.html', 'readme.txt']

/**
 * Checks a bundle against what the verifier trusts, while its bytes arrive. It holds one line at a time, a hash for each level of the trees, where
 * each stream stands, the erasures that it names, and the places that are missing. Damage is told as a fault with its place.
 * @param chunks the bytes of a `killick-bundle/1`
 * @throws KillickError `bundle_malformed` or `bundle_version` if the bytes do not begin as a bundle does, `json_*`; `vkey_invalid`,
 * `key_invalid`, `trust_invalid` if what was pinned is malformed; `option_invalid` if the bytes do not come as a stream
 * @example
 * const verdict = await verifyBundle(createReadStream('second-quarter.bundle'), {
 *   logKeys: ['ledger.example.com+1f2e3d4c+AQ…'],
 *   logs: [{ chainId: 1, contract: '0x…', logId: '0x…' }],
 *   sourceKeys: [{ source: 'billing-api', jwk: sourceKey }],
 *   facts: (anchors) => readAnchors({ anchors }, ['https://rpc.example.com']),
 *   heads: (logs) => readLogHeads(logs, ['https://rpc.example.com']),
 * })
 * verdict.outcome // 'verified': genuine
 * verdict.completeness.verdict // 'complete': and all there is
 */
export async function verifyBundle(
  chunks: AsyncIterable<Uint8Array>,
  trust: BundleTrust,
  options: BundleOptions = {},
): Promise<BundleVerdict> {
  const { reader = PORTABLE_ENGINE.reader } = options
  return verifyBundleWith({ ...PORTABLE_ENGINE, reader }, chunks, trust, options)
}

/** `verifyBundle` with what a platform has; the answer is the same. */
export async function verifyBundleWith(
  engine: BundleEngine,
  chunks: AsyncIterable<Uint8Array>,
  trust: BundleTrust,
  options: BundleOptions,
): Promise<BundleVerdict> {
  requireTrust(trust)
  const { facts, heads, ...pins } = trust
  checkTrust(pins)
  if (![facts, heads].every((ask) => typeof (ask ?? checkTrust) === 'function'))
    throw new KillickError('trust_invalid', 'facts and heads must be functions')
  const files = readTar(until(streamOf(chunks), options.signal))
  try {
    const first = await files.next()
    if (first.done || first.value.name !== 'manifest.json')
      throw new KillickError('bundle_malformed', 'Not a bundle: its first file is not manifest.json')
    const hashing = new Hashing(engine)
    const manifest = parseManifest(await readText(first.value, MAX_MANIFEST_BYTES, hashing))
    return await new Verification(manifest, trust, options, engine, hashing).run(files)
  } finally {
    await files.return(undefined)
  }
}

/**
 * What browsers call a stream, also in those that cannot go through one by `for await`, as Safari could not for years.
 * @throws KillickError `option_invalid` if the bytes do not come as a stream
 */
function streamOf(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const given = chunks as (Partial<AsyncIterable<Uint8Array>> & Partial<ReadableStream<Uint8Array>>) | undefined
  if (typeof given?.[Symbol.asyncIterator] === 'function') return chunks
  if (typeof given?.getReader === 'function') return readAll(given.getReader())
  throw new KillickError('option_invalid', 'A bundle is read from a stream of bytes, such as createReadStream(path)')
}

async function* readAll(reader: ReadableStreamDefaultReader<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value
  } finally {
    // Not awaited: the sender may never notice.
    reader.cancel().catch(() => {})
  }
}

/** Chunks until a signal says that no more are wanted; it does not wait for one that may never come. */
async function* until(chunks: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]()
  const aborted = Promise.withResolvers<never>()
  aborted.promise.catch(() => {})
  const abort = () => aborted.reject(signal!.reason)
  signal?.addEventListener('abort', abort)
  try {
    for (;;) {
      signal?.throwIfAborted()
      const next = await Promise.race([iterator.next(), aborted.promise])
      if (next.done) return
      yield next.value
    }
  } finally {
    signal?.removeEventListener('abort', abort)
    const closed = Promise.resolve(iterator.return?.())
    if (signal?.aborted) closed.catch(() => {})
    else await closed
  }
}

class Verification {
  readonly #manifest: BundleManifest
  readonly #trust: BundleTrust
  readonly #options: BundleOptions
  readonly #engine: BundleEngine
  readonly #hashing: Hashing
  readonly #faults = new Few<BundleFault>()
  readonly #forPeople: BundleVerdict['forPeople'][number][] = []

  constructor(
    manifest: BundleManifest,
    trust: BundleTrust,
    options: BundleOptions,
    engine: BundleEngine,
    hashing: Hashing,
  ) {
    this.#manifest = manifest
    this.#trust = trust
    this.#options = options
    this.#engine = engine
    this.#hashing = hashing
  }

  async run(files: AsyncGenerator<TarFile>): Promise<BundleVerdict> {
    const { scope, anchors, made } = this.#manifest
    const checkpoint = this.#checkpoint()
    const asked = await this.#ask()
    // Anybody can anchor an old root of this log in a log of their own, as late as they like.
    const pinned = confirmedOf(asked.filter((anchor) => anchor.pinned))
    const reach = await this.#reach(pinned)
    const times = reach.logs.length > 0 ? pinned : confirmedOf(asked)
    const keys = new BundleKeys(this.#trust.sourceKeys ?? [], (logIndex) => boundsOf(times, logIndex))
    const watch = new ScopeWatch(scope)
    const silence = new PromiseWatch()
    const { primitives = PORTABLE, onEvent = null } = this.#options
    const erasures = new ErasureWatch(primitives)
    const walk = new BundleWalk({
      ...{ keys, watch, silence, erasures, faults: this.#faults, onEvent, primitives },
      checkSignature: this.#options.checkSignature ?? ((jwk, { input, bytes }) => verifySignature(jwk, input, bytes)),
      edges: new Set(anchors.map(({ size }) => size)),
      anchored: Math.max(0, ...times.map(({ size }) => size)),
    })
    await this.#read(files, walk, keys)
    if (checkpoint !== null && (walk.size !== checkpoint.size || !equalBytes(walk.root, checkpoint.root)))
      this.#faults.add({ reason: 'log_root_mismatch', file: 'log.txt' })
    for (const anchor of anchors) {
      const root = walk.roots.get(anchor.size)
      if (root === undefined || !equalBytes(root, anchor.root))
        this.#faults.add({ reason: 'anchor_mismatch', file: 'manifest.json', code: `${anchor.chainId}/${anchor.size}` })
    }
    const isSound = this.#faults.count === 0
    const completeness = watch.finish(walk.size, reach, isSound)
    const missing = isSound ? this.#missing(checkpoint?.isPinned ?? false, asked, keys, walk.size) : []
    return {
      outcome: isSound ? (missing.length === 0 ? 'verified' : 'undecided') : 'failed',
      missing,
      ...{ faults: this.#faults.list, faultCount: this.#faults.count, scope, made },
      origin: checkpoint?.origin ?? null,
      size: checkpoint?.size ?? null,
      ...{ entries: walk.entries, events: walk.events, registrations: walk.registrations, signatures: walk.signatures },
      sources: [...keys.sources].map(([source, how]) => ({ source, pinned: how === 'pinned' })),
      anchors: asked,
      unanchored: isSound && !missing.some((each) => NO_ANCHOR.has(each)) ? walk.unanchored : null,
      forPeople: this.#forPeople,
      completeness,
      fields: isSound ? erasures.finish() : null,
      keysOutside: { found: keys.outside.list, foundCount: keys.outside.count },
      silences: isSound ? silence.finish(scope, completeness.verdict === 'complete') : null,
    }
  }

  /** Null: it cannot be read, or is not signed as it should be. */
  #checkpoint(): { origin: string; size: number; root: Uint8Array; isPinned: boolean } | null {
    const { checkpoint: note } = this.#manifest
    try {
      const { origin, size, root, extensions } = parseCheckpoint(note)
      const { supported } = splitVkeys(this.#trust.logKeys ?? [])
      const isPinned = supported.length > 0
      const signatures = isPinned
        ? openNote(note, supported, this.#engine.verify).signatures
        : parseNote(note).signatures
      if (
        typeof size === 'number' &&
        extensions.length === 0 &&
        (!isPinned || signatures.some(({ name }) => name === origin))
      )
        return { origin, size, root, isPinned }
      this.#faults.add({ reason: 'note_invalid', file: 'manifest.json' })
    } catch (error) {
      if (!(error instanceof KillickError)) throw error
      this.#faults.add({ reason: 'note_invalid', file: 'manifest.json', code: error.code })
    }
    return null
  }

  async #ask(): Promise<JudgedBundleAnchor[]> {
    const { anchors } = this.#manifest
    const { logs = [], confirmations = DEFAULT_CONFIRMATIONS } = this.#trust
    const facts = anchors.length > 0 ? ((await this.#trust.facts?.(anchors)) ?? []) : []
    const names = new Set(logs.map(nameOfLog))
    const isPinned = (anchor: BundleAnchor) => names.has(nameOfLog(anchor))
    const hasPinned = anchors.some(isPinned)
    return anchors.map((anchor) => {
      const fact = weightiest(facts.filter((fact) => isAbout(fact, anchor)))
      const held = heldBy(fact)
      const pinned = isPinned(anchor)
      // What another contract says is no fault, as long as the pinned one has its say.
      if (held === false && (pinned || !hasPinned))
        this.#faults.add({ reason: 'anchor_denied', file: 'manifest.json', code: `${anchor.chainId}/${anchor.size}` })
      const { root: _, ...told } = anchor
      const counts = held !== true || pinned || !hasPinned
      const final = held && counts ? anchorFinal(fact, { confirmations }).status === 'passed' : null
      return { ...told, held: counts ? held : null, final, pinned }
    })
  }

  /** @param confirmed anchors in pinned logs */
  async #reach(confirmed: readonly Confirmed[]): Promise<Reach> {
    const { logs: pins = [], heads: ask } = this.#trust
    const logs = pins.map(nameOfLog)
    const open = unshown(this.#manifest.scope, logs, confirmed)
    const told = open.length === 0 ? [] : ((await ask?.(pins.filter((log) => open.includes(nameOfLog(log))))) ?? [])
    const heads = told.map((head) => ({ ...head, log: nameOfLog(head), time: 1000 * head.at }))
    return { logs, confirmed, heads: heads.filter(({ log }) => open.includes(log)) }
  }

  #missing(isLogPinned: boolean, anchors: readonly JudgedBundleAnchor[], keys: BundleKeys, size: number): Missing[] {
    const covering = anchors.filter((anchor) => anchor.size > 0 && anchor.size <= size)
    const held = covering.filter((anchor) => anchor.held)
    const found = [...keys.sources].filter(([source]) => source !== SYSTEM.source).map(([, how]) => how)
    return [
      ...(covering.length === 0 ? ['anchor' as const] : held.length === 0 ? ['chain' as const] : []),
      ...(found.includes('registered') ? ['source_key' as const] : []),
      ...(found.includes('open') ? ['key_time' as const] : []),
      ...(isLogPinned ? [] : ['log_key' as const]),
      ...(covering.length === 0 || held.some(({ pinned }) => pinned) ? [] : ['contract' as const]),
    ]
  }

  async #read(files: AsyncGenerator<TarFile>, walk: BundleWalk, keys: BundleKeys): Promise<void> {
    let at = 'log.txt'
    try {
      const log = await files.next()
      if (log.done || log.value.name !== 'log.txt') return this.#malformed(at)
      await this.#lines(log.value, walk, keys)
      at = 'trailer.json'
      let last = -1
      for (let file = await files.next(); !file.done; file = await files.next()) {
        const { name } = file.value
        if (name === 'trailer.json') {
          const trailer = parseTrailer(await readText(file.value, MAX_TRAILER_BYTES, null))
          if (trailer === null || !this.#fits(trailer, walk))
            this.#faults.add({ reason: 'trailer_mismatch', file: name })
          if (!(await files.next()).done) this.#malformed('bundle')
          return
        }
        const place = FOR_PEOPLE.indexOf(name)
        if (place <= last) return this.#malformed(name)
        last = place
        for await (const _ of this.#hashing.pass(file.value));
        this.#forPeople.push({ name, bytes: file.value.size, sha256: this.#hashing.digests.get(name)! })
      }
      this.#malformed(at)
    } catch (error) {
      // What else goes wrong is no fault of the bundle.
      if (!(error instanceof KillickError) || error.code !== 'bundle_malformed') throw error
      this.#faults.add({ reason: 'malformed', file: at, code: error.code })
    } finally {
      await walk.finish()
    }
  }

  #fits({ entries, events, files }: BundleTrailer, walk: BundleWalk): boolean {
    const isSame = ([name, hash]: [string, string]) => files[name] === hash
    const isCounted = entries === walk.lines.entry && events === walk.lines.event
    const { digests } = this.#hashing
    return isCounted && Object.keys(files).length === digests.size && [...digests].every(isSame)
  }

  async #lines(file: TarFile, walk: BundleWalk, keys: BundleKeys): Promise<void> {
    const { signal, onProgress } = this.#options
    const stretches = new Stretches(this.#hashing.pass(file))
    const { read, ahead } = this.#engine.reader
    const underWay: Promise<BundleStretchRead>[] = []
    let bytes = 0
    const judge = async ({ lines, reading, bytes: own }: BundleStretchRead): Promise<void> => {
      signal?.throwIfAborted()
      await walk.take(lines, reading)
      bytes += own.length
      stretches.reuse(own)
      onProgress?.({ entries: walk.entries, events: walk.events, bytes })
    }
    for await (const stretch of stretches) {
      const answer = read(stretch, keys.all)
      // Awaited in their order; until then nobody handles their rejection.
      answer.catch(() => {})
      underWay.push(answer)
      while (underWay.length > ahead()) await judge(await underWay.shift()!)
    }
    for (const answer of underWay) await judge(await answer)
    if (stretches.fault !== null) throw stretches.fault.error
  }

  #malformed(file: string): void {
    this.#faults.add({ reason: 'malformed', file })
  }
}

class Hashing {
  /** SHA-256 of the files that have passed, lower-case hex, by name. */
  readonly digests = new Map<string, string>()
  readonly #engine: BundleEngine

  constructor(engine: BundleEngine) {
    this.#engine = engine
  }

  /** The bytes of a file as they arrive; its hash is noted behind the last. */
  async *pass({ name, bytes }: TarFile): AsyncGenerator<Uint8Array> {
    const hash = this.#engine.newSha256()
    for await (const chunk of bytes) {
      hash.update(chunk)
      yield chunk
    }
    this.digests.set(name, hash.hex())
  }
}

/** @param hashing null: its hash is not wanted */
async function readText(file: TarFile, maxBytes: number, hashing: Hashing | null): Promise<string> {
  if (file.size > maxBytes) throw new KillickError('bundle_malformed', `${file.name} has more than ${maxBytes} bytes`)
  const bytes = new Uint8Array(file.size)
  let at = 0
  for await (const chunk of hashing === null ? file.bytes : hashing.pass(file)) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return fromUtf8(bytes) ?? malformed(`${file.name} is not UTF-8`)
}

function malformed(why: string): never {
  throw new KillickError('bundle_malformed', `Not a bundle: ${why}`)
}

/** Whether the chain holds an anchor; null: nobody was asked, or nobody answered. */
function heldBy(fact: AnchorFact | undefined): boolean | null {
  if (fact === undefined || 'unreadable' in fact) return null
  return fact.genuineCode && fact.anchored && fact.located !== false
}

const nameOfLog = ({ chainId, contract, logId }: Pick<BundleAnchor, 'chainId' | 'contract' | 'logId'>): string =>
  [chainId, contract.toLowerCase(), logId.toLowerCase()].join()

const confirmedOf = (anchors: readonly JudgedBundleAnchor[]): Confirmed[] =>
  anchors.flatMap((anchor) => {
    const { held, size, time } = anchor
    return held ? [{ log: nameOfLog(anchor), size, time: 1000 * time }] : []
  })

const boundsOf = (confirmed: readonly Confirmed[], logIndex: number): Bounds => {
  const times = (isWithout: boolean) =>
    confirmed.filter(({ size }) => size <= logIndex === isWithout).map(({ time }) => time)
  return boundsFrom(times(true), times(false))
}
