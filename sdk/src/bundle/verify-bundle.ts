import { sha256 } from '@noble/hashes/sha2.js'
import { equalBytes, fromUtf8, toHex } from '../core/bytes.ts'
import { parseCheckpoint } from '../core/checkpoint.ts'
import { KillickError } from '../core/errors.ts'
import type { ParsedEvent } from '../core/event.ts'
import { openNote, parseNote, splitVkeys } from '../core/note.ts'
import { PORTABLE, type Primitives } from '../core/primitives.ts'
import { SYSTEM } from '../core/registry.ts'
import { verifySignature } from '../core/signature.ts'
import type { Bounds } from '../verify/times.ts'
import { type AnchorFact, checkTrust, type Trust, weightiest } from '../verify/trust.ts'
import type { Missing } from '../verify/verdict.ts'
import { type Confirmed, ScopeWatch } from './completeness.ts'
import { ErasureWatch } from './erasures.ts'
import { BundleKeys } from './keys.ts'
import { MAX_LINE_BYTES } from './lines.ts'
import {
  type BundleAnchor,
  type BundleManifest,
  type BundleTrailer,
  MAX_MANIFEST_BYTES,
  parseManifest,
  parseTrailer,
} from './manifest.ts'
import { PromiseWatch } from './silence.ts'
import { readTar, type TarFile } from './tar.ts'
import { type BundleFault, type BundleVerdict, Few, type JudgedBundleAnchor } from './verdict.ts'
import { BundleWalk, type CheckSignature } from './walk.ts'

/** What a verifier of bundles brings along: as for a proof, and how to ask the chain about anchors that it does not know before. */
export type BundleTrust = Omit<Trust, 'facts' | 'confirmations' | 'timeTolerance'> & {
  /** Asks nodes about the anchors of the bundle, such as `(anchors) => readAnchors({ anchors }, urls)`. Default: nobody is asked. */
  readonly facts?: ((anchors: readonly BundleAnchor[]) => Promise<readonly AnchorFact[]>) | undefined
}

/** Options of `verifyBundle`. */
export type BundleOptions = {
  /** A platform's own for hashing and decoding. Default: portable code. */
  readonly primitives?: Primitives
  /** A platform's own, which may answer later. Default: `verifySignature`. */
  readonly checkSignature?: CheckSignature
  /** Called with each event that is no registration, in the order of the log, before it is known whether the bundle holds. */
  readonly onEvent?: ((event: ParsedEvent, logIndex: number) => void) | undefined
  /** Called now and then. */
  readonly onProgress?: (progress: {
    readonly entries: number
    readonly events: number
    readonly bytes: number
  }) => void
}

const MAX_TRAILER_BYTES = 64 << 10
/** Files that may stand between the log and the trailer, in this order: for people, and never looked into. */
const FOR_PEOPLE = ['report.html', 'verify.html', 'readme.txt']
const STEP_LINES = 1_000

/**
 * Checks a bundle against what the verifier trusts, while its bytes arrive. It holds one line at a time, a hash for each level of the trees, where
 * each stream stands, and the erasures that it names. Damage is told as a fault with its place.
 * @param chunks the bytes of a `killick-bundle/1`
 * @throws KillickError `bundle_malformed` or `bundle_version` if the bytes do not begin as a bundle does, `json_*`; `vkey_invalid`,
 * `key_invalid`, `trust_invalid` if what was pinned is malformed
 * @example
 * const verdict = await verifyBundle(createReadStream('second-quarter.bundle'), {
 *   logKeys: ['ledger.example.com+1f2e3d4c+AQ…'],
 *   logs: [{ chainId: 1, contract: '0x…', logId: '0x…' }],
 *   sourceKeys: [{ source: 'billing-api', jwk: sourceKey }],
 *   facts: (anchors) => readAnchors({ anchors }, ['https://rpc.example.com']),
 * })
 * verdict.outcome // 'verified': genuine
 * verdict.completeness.verdict // 'complete': and all there is
 */
export async function verifyBundle(
  chunks: AsyncIterable<Uint8Array>,
  trust: BundleTrust,
  options: BundleOptions = {},
): Promise<BundleVerdict> {
  const { facts: _, ...pins } = trust
  checkTrust(pins)
  const files = readTar(chunks)
  const first = await files.next()
  if (first.done || first.value.name !== 'manifest.json')
    throw new KillickError('bundle_malformed', 'Not a bundle: its first file is not manifest.json')
  const digests = new Map<string, string>()
  const manifest = parseManifest(await readText(first.value, MAX_MANIFEST_BYTES, digests))
  return new Verification(manifest, trust, options, digests).run(files)
}

class Verification {
  readonly #manifest: BundleManifest
  readonly #trust: BundleTrust
  readonly #options: BundleOptions
  readonly #digests: Map<string, string>
  readonly #faults = new Few<BundleFault>()
  readonly #forPeople: BundleVerdict['forPeople'][number][] = []

  constructor(manifest: BundleManifest, trust: BundleTrust, options: BundleOptions, digests: Map<string, string>) {
    this.#manifest = manifest
    this.#trust = trust
    this.#options = options
    this.#digests = digests
  }

  async run(files: AsyncGenerator<TarFile>): Promise<BundleVerdict> {
    const { scope, anchors, made } = this.#manifest
    const checkpoint = this.#checkpoint()
    const asked = await this.#ask()
    const confirmed = asked.flatMap(({ held, size, time }): Confirmed[] => (held ? [{ size, time: 1000 * time }] : []))
    const keys = new BundleKeys(this.#trust.sourceKeys ?? [], (logIndex) => boundsOf(confirmed, logIndex))
    const watch = new ScopeWatch(scope)
    const silence = new PromiseWatch()
    const { primitives = PORTABLE, onEvent = () => {} } = this.#options
    const erasures = new ErasureWatch(primitives)
    const walk = new BundleWalk({
      ...{ keys, watch, silence, erasures, faults: this.#faults, onEvent, primitives },
      checkSignature: this.#options.checkSignature ?? ((jwk, { input, bytes }) => verifySignature(jwk, input, bytes)),
      edges: new Set(anchors.map(({ size }) => size)),
    })
    await this.#read(files, walk)
    if (checkpoint !== null && (walk.size !== checkpoint.size || !equalBytes(walk.root, checkpoint.root)))
      this.#faults.add({ reason: 'log_root_mismatch', file: 'log.txt' })
    for (const anchor of anchors) {
      const root = walk.roots.get(anchor.size)
      if (root === undefined || !equalBytes(root, anchor.root))
        this.#faults.add({ reason: 'anchor_mismatch', file: 'manifest.json', code: `${anchor.chainId}/${anchor.size}` })
    }
    const isSound = this.#faults.count === 0
    const completeness = watch.finish(walk.size, confirmed, isSound)
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
      const signatures = isPinned ? openNote(note, supported).signatures : parseNote(note).signatures
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
    const { logs = [] } = this.#trust
    const facts = anchors.length > 0 ? ((await this.#trust.facts?.(anchors)) ?? []) : []
    const isPinned = ({ chainId, contract, logId }: BundleAnchor) =>
      logs.some(
        (log) =>
          log.chainId === chainId && log.contract.toLowerCase() === contract && log.logId.toLowerCase() === logId,
      )
    const hasPinned = anchors.some(isPinned)
    return anchors.map((anchor) => {
      const held = heldOf(anchor, facts)
      const pinned = isPinned(anchor)
      // What another contract says is no fault, as long as the pinned one has its say.
      if (held === false && (pinned || !hasPinned))
        this.#faults.add({ reason: 'anchor_denied', file: 'manifest.json', code: `${anchor.chainId}/${anchor.size}` })
      const { root: _, ...told } = anchor
      return { ...told, held: held === true && hasPinned && !pinned ? null : held, pinned }
    })
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

  async #read(files: AsyncGenerator<TarFile>, walk: BundleWalk): Promise<void> {
    let at = 'log.txt'
    try {
      const log = await files.next()
      if (log.done || log.value.name !== 'log.txt') return this.#malformed(at)
      await this.#lines(log.value, walk)
      at = 'trailer.json'
      let last = -1
      for (let file = await files.next(); !file.done; file = await files.next()) {
        const { name } = file.value
        if (name === 'trailer.json') {
          const trailer = parseTrailer(await readText(file.value, MAX_TRAILER_BYTES, new Map()))
          if (trailer === null || !this.#fits(trailer, walk))
            this.#faults.add({ reason: 'trailer_mismatch', file: name })
          if (!(await files.next()).done) this.#malformed('bundle')
          return
        }
        const place = FOR_PEOPLE.indexOf(name)
        if (place <= last) return this.#malformed(name)
        last = place
        for await (const _ of hashing(file.value, this.#digests));
        this.#forPeople.push({ name, bytes: file.value.size, sha256: this.#digests.get(name)! })
      }
      this.#malformed(at)
    } catch (error) {
      if (!(error instanceof KillickError)) throw error
      this.#faults.add({ reason: 'malformed', file: at, code: error.code })
    } finally {
      await walk.finish()
    }
  }

  #fits({ entries, events, files }: BundleTrailer, walk: BundleWalk): boolean {
    const isSame = ([name, hash]: [string, string]) => files[name] === hash
    const isCounted = entries === walk.lines.entry && events === walk.lines.event
    return isCounted && Object.keys(files).length === this.#digests.size && [...this.#digests].every(isSame)
  }

  async #lines(file: TarFile, walk: BundleWalk): Promise<void> {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
    const decode = (chunk: Uint8Array): string => {
      try {
        return decoder.decode(chunk, { stream: true })
      } catch {
        return malformed('log.txt is not UTF-8')
      }
    }
    let rest = ''
    let bytes = 0
    let lines = 0
    const take = async (text: string) => {
      await walk.take(text)
      lines += 1
      if (lines % STEP_LINES === 0) this.#options.onProgress?.({ entries: walk.entries, events: walk.events, bytes })
    }
    for await (const chunk of hashing(file, this.#digests)) {
      bytes += chunk.length
      const parts = (rest + decode(chunk)).split('\n')
      rest = parts.pop()!
      if (rest.length > MAX_LINE_BYTES) throw new KillickError('bundle_malformed', 'A line of log.txt has no end')
      for (const part of parts) await take(part)
    }
    if (rest !== '') throw new KillickError('bundle_malformed', 'The last line of log.txt has no end')
  }

  #malformed(file: string): void {
    this.#faults.add({ reason: 'malformed', file })
  }
}

/** The bytes of a file as they arrive; its SHA-256 is noted behind the last. */
async function* hashing({ name, bytes }: TarFile, digests: Map<string, string>): AsyncGenerator<Uint8Array> {
  const hash = sha256.create()
  for await (const chunk of bytes) {
    hash.update(chunk)
    yield chunk
  }
  digests.set(name, toHex(hash.digest()))
}

async function readText(file: TarFile, maxBytes: number, digests: Map<string, string>): Promise<string> {
  if (file.size > maxBytes) throw new KillickError('bundle_malformed', `${file.name} has more than ${maxBytes} bytes`)
  const bytes = new Uint8Array(file.size)
  let at = 0
  for await (const chunk of hashing(file, digests)) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return fromUtf8(bytes) ?? malformed(`${file.name} is not UTF-8`)
}

function malformed(why: string): never {
  throw new KillickError('bundle_malformed', `Not a bundle: ${why}`)
}

/** Whether the chain holds an anchor; null: nobody was asked, or nobody answered. */
function heldOf(anchor: BundleAnchor, facts: readonly AnchorFact[]): boolean | null {
  const names = ['chainId', 'contract', 'logId', 'size', 'time', 'transaction', 'block'] as const
  const isAbout = (fact: AnchorFact) =>
    names.every((name) => fact[name] === anchor[name]) && equalBytes(fact.root, anchor.root)
  const fact = weightiest(facts.filter(isAbout))
  if (fact === undefined || 'unreadable' in fact) return null
  return fact.genuineCode && fact.anchored && fact.located !== false
}

/** @param confirmed by rising size */
function boundsOf(confirmed: readonly Confirmed[], logIndex: number): Bounds {
  return {
    after: confirmed.findLast(({ size }) => size <= logIndex)?.time ?? null,
    by: confirmed.find(({ size }) => size > logIndex)?.time ?? null,
  }
}
