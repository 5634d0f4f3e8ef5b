// Walks the whole ledger, batch by batch in the order of the log: structure, digests, chain, root and every signature.
import { type BatchHeader, parseBatchHeader } from '../core/batch.ts'
import { equalBytes, utf8 } from '../core/bytes.ts'
import { InvariantError, KillickError } from '../core/errors.ts'
import { type ParsedEvent, parseEvent } from '../core/event.ts'
import { type Hash, parseHash, printHash } from '../core/hash.ts'
import type { PublicJwk } from '../core/jwk.ts'
import { headerReader } from '../core/jws.ts'
import { SYSTEM } from '../core/registry.ts'
import { nodePrimitives } from '../node/primitives.ts'
import { type Api, giveBack } from './api.ts'
import type { Fault, FaultPlace, Findings } from './findings.ts'
import type { Head, KeptAudit, OwnEntry } from './kept.ts'
import type { KeyRing } from './keys.ts'
import type { OwnCheck, WalkedEntry } from './own-check.ts'
import { keepPace } from './pace.ts'
import type { Prefix } from './prefix.ts'
import type { Readers } from './readers.ts'
import { type BatchReading, isValid, linesOf, type Signed } from './readings.ts'
import { readStretches, type Stretch } from './stretches.ts'
import type { LogTree } from './tree.ts'

// How many batches one request asks for (the service stops at 10,000 events), and of how many the additional checks may be under way.
const PAGE = 256
const IN_FLIGHT = 2

export type WalkOptions = {
  api: Api
  size: number
  keys: KeyRing
  tree: LogTree
  findings: Findings
  signal: AbortSignal | undefined
  /** Most events per second, on average; 0: no limit. */
  pace: number
  readers: Readers
  own: readonly OwnCheck[]
  /** Called after each batch. */
  onBatch: (batches: number, events: number) => void
  /** Called when the tree has `size` entries, for every size whose root is wanted. */
  onSize: (size: number, root: () => Hash) => void
  /** Where it begins. Default: at the log's first entry. */
  from?: WalkStart | null
  /** For an audit that keeps how far it has come: called where `isDue` says so, when all before is checked. */
  keep?: { isDue(size: number): boolean; write(place: WalkPlace): Promise<void> } | null
}

/** What an earlier audit kept, behind which a walk begins; whether that is the same audit, which goes on; and the log up to there. */
export type WalkStart = { readonly kept: KeptAudit; readonly isSame: boolean; readonly prefix: Prefix }

/** How far a walk has come: what it has counted, how many events the log has up to there, and what it needs to go on. */
export type WalkPlace = Pick<KeptAudit, 'events' | 'dropped' | 'signatures' | 'firstEvent' | 'heads' | 'own'>

export async function walkLedger(
  options: WalkOptions,
): Promise<{ events: number; dropped: number; signatures: number; streams: number; isUnread: boolean }> {
  const { api, size, keys, tree, findings, signal, pace, readers, own, from = null, keep = null } = options
  const heads = new Map<string, Head>()
  /** The ledger's own entries, for who keeps them. */
  const ledgers: OwnEntry[] = []
  const pending: Promise<unknown>[] = []
  let events = 0
  let dropped = 0
  let firstEvent = 0
  let signatures = 0
  /** Whether there are batches of which no event can be read. */
  let isUnread = false
  const keepUp = keepPace(pace, signal)
  // No page holds more batches than may be checked in a second.
  const page = pace > 0 ? Math.min(PAGE, Math.ceil(pace)) : PAGE

  /** Says what is wrong with a signature, if anything is. @param key what the ring gave for it at its place in the log */
  const judgeSignature = (
    signature: BatchHeader['signature'],
    read: Signed,
    key: PublicJwk | string,
    ...[check, what, place]: [check: string, what: string, place: FaultPlace]
  ): boolean => {
    const signed = read === 'unknown' && typeof key !== 'string' ? isValid(key, signature) : read === 'valid'
    if (typeof key !== 'string') signatures += 1
    if (typeof key !== 'string' && signed) return true
    const why = typeof key === 'string' ? key : `the signature does not verify under key ${signature.kid}`
    findings.fail(check, 'signature_invalid', `${what}: ${why}`, place)
    return false
  }

  const tell = async (id: string, faults: Promise<readonly Fault[]> | undefined) => {
    for (const { reason, message, place } of (await faults) ?? []) findings.fail(id, reason, message, place)
  }

  /** @returns whether the batch is signed */
  const judgeSignatures = (walked: WalkedEntry, { header: read, signers, unsigned }: BatchReading): boolean => {
    const { logIndex, header } = walked
    const key = keys.find(header.source, header.signature.kid, walked)
    const place = placeOf(logIndex, header)
    const isSigned = judgeSignature(header.signature, read, key, 'batches', `Batch ${logIndex}`, place)
    // Nearly always all of them verify, and by one key.
    const found = new Map(
      signers.map(([kid]) => [kid, kid === header.signature.kid ? key : keys.find(header.source, kid, walked)]),
    )
    const isClear = unsigned.length === 0 && [...found.values()].every((one) => typeof one !== 'string')
    if (isClear) signatures += signers.reduce((sum, [, count]) => sum + count, 0)
    else {
      const wrong = new Map(unsigned.map(({ at, signed }) => [at, signed]))
      for (const [i, event] of (walked.events ?? []).entries())
        if (event.signature)
          judgeSignature(
            ...([event.signature, wrong.get(i) ?? 'valid', found.get(event.signature.kid)!] as const),
            ...(['events', nameOf(event), placeOf(logIndex, event)] as const),
          )
    }
    return isSigned
  }

  /** Judges a batch by what stands before it, and takes what it registers. */
  const judge = (walked: WalkedEntry, reading: BatchReading) => {
    checkStream(walked, reading, heads, findings)
    keys.judge(walked, reading)
    const isSigned = judgeSignatures(walked, reading)
    if (keys.isRegistration(walked)) keys.apply(walked, isSigned)
  }

  /** Goes on behind what was kept: the ledger's own entries say what counts there. */
  async function goOn({ kept, isSame, prefix }: WalkStart): Promise<void> {
    const again = own.filter(({ resumes }) => resumes!.again)
    let i = 0
    for await (const { headers, bytes, readings } of readers.readAll(stretchesOf(kept.own), (source) =>
      keys.known(source),
    )) {
      signal?.throwIfAborted()
      const { logIndex, firstEvent } = kept.own[i++]!
      const walked = entryOf(
        { logIndex, firstEvent, isEarlier: true, root: unknownRoot },
        headers[0]!,
        bytes,
        readings[0]!,
      )
      findings.silently(() => judge(walked, readings[0]!))
      for (const check of again) if (check.entry) await tell(check.id, check.entry(walked))
    }
    checkOwn(heads, kept)
    ledgers.push(...kept.own)
    for (const [name, head] of kept.heads) heads.set(name, head)
    firstEvent = kept.firstEvent
    events = isSame ? kept.events : 0
    dropped = isSame ? (kept.dropped ?? 0) : 0
    signatures = isSame ? kept.signatures : 0
    keys.load(kept.keys, isSame)
    for (const { id, resumes } of own) for (const value of kept.states.get(id) ?? []) resumes!.load?.(value, isSame)
    // Of the faults of one check, only the earliest was kept.
    isUnread = isSame && kept.faults.some(({ check }) => check === 'batches' || check === 'events')
    if (isSame) findings.load(kept.faults.filter(({ check }) => !again.some(({ id }) => id === check)))
    for (const { id, resumes } of own) await tell(id, resumes!.begin?.(prefix))
  }

  if (from !== null) await goOn(from)
  const stretches = readStretches({ api, from: tree.size, size, findings, page, beforePage: keepUp })
  for await (const { headers, ends, counts, bytes, readings } of readers.readAll(stretches, (source) =>
    keys.known(source),
  )) {
    const ofStretch: Promise<unknown>[] = []
    for (const [i, header] of headers.entries()) {
      signal?.throwIfAborted()
      if (pending.length >= IN_FLIGHT) await pending.shift()
      const reading = readings[i]!
      const wire = bytes.subarray(ends[i - 1] ?? 0, ends[i])
      const place = { logIndex: tree.size, firstEvent, isEarlier: false, root: () => tree.root }
      const walked = entryOf(place, header, wire, reading)
      if (reading.fault !== null) reportFault(tree.size, header, reading.fault, findings)
      isUnread ||= reading.fault !== null
      judge(walked, reading)
      if (keep !== null && isLedgers(header))
        ledgers.push({ logIndex: tree.size, firstEvent, wire: Buffer.from(wire).toString('latin1') })
      const done = Promise.all(own.map((check) => tell(check.id, check.batch?.(walked))))
      // They are awaited later; until then nobody handles their rejection.
      done.catch(() => {})
      pending.push(done)
      ofStretch.push(done)
      await tree.append(utf8(header.text), header.leafHash)
      for (const check of own) if (check.entry) await tell(check.id, check.entry(walked))
      if (reading.isDropped) dropped += counts[i]!
      else events += counts[i]!
      firstEvent += counts[i]!
      options.onSize(tree.size, () => tree.root)
      options.onBatch(tree.size, events)
      if (keep?.isDue(tree.size)) {
        await Promise.all(pending.splice(0))
        await keep.write({ events, dropped, signatures, firstEvent, heads, own: ledgers })
      }
    }
    // No check asks for an event of a batch that it has answered for.
    void Promise.allSettled(ofStretch).then(() => giveBack(new Uint8Array(bytes.buffer)))
  }
  await Promise.all(pending)
  return { events, dropped, signatures, streams: heads.size, isUnread }
}

const isLedgers = ({ source, stream }: { source: string; stream: string }) =>
  source === SYSTEM.source && stream === SYSTEM.stream

/** The ledger's own entries, as they would be read from it. */
async function* stretchesOf(entries: readonly OwnEntry[]): AsyncGenerator<Stretch> {
  for (const { logIndex, wire } of entries) {
    // Of memory that nothing else has: it goes to a thread.
    const bytes = new Uint8Array(Buffer.from(wire, 'latin1'))
    const header = parseBatchHeader(wire.slice(0, wire.indexOf('\n')), nodePrimitives)
    yield { first: logIndex, headers: [header], counts: [header.n], ends: [bytes.length], bytes }
  }
}

/** Nobody may need it of an entry that was walked by an earlier audit. */
function unknownRoot(): never {
  throw new InvariantError('the root of the log at an entry that was not read again')
}

/** Entries that were kept must be all that there were. @throws KillickError `audit_folder_failed` */
function checkOwn(heads: ReadonlyMap<string, Head>, kept: KeptAudit): void {
  const name = `${SYSTEM.source}/${SYSTEM.stream}`
  const [read, known] = [heads.get(name), kept.heads.get(name)]
  const isSame = read && known ? read.seq === known.seq && equalBytes(read.batchPrev, known.batchPrev) : read === known
  if (!isSame)
    throw new KillickError('audit_folder_failed', 'What was kept of an earlier audit lacks entries of the ledger’s own')
}

/** A batch at its turn. Its events are parsed once more only if somebody asks for them. */
function entryOf(
  at: Pick<WalkedEntry, 'logIndex' | 'firstEvent' | 'isEarlier' | 'root'>,
  header: BatchHeader,
  bytes: Uint8Array,
  { fault, isDropped, noted }: BatchReading,
): WalkedEntry {
  const isWhole = fault === null && !isDropped
  let tokens: string[] | null = null
  const parsed: ParsedEvent[] = []
  const read = headerReader(nodePrimitives)
  const event = (i: number): ParsedEvent => {
    tokens ??= linesOf(bytes).tokens
    parsed[i] ??= parseEvent(tokens[i]!, nodePrimitives, read)
    return parsed[i]
  }
  let all: ParsedEvent[] | null = null
  let leaves: readonly Hash[] | null = null
  return {
    ...{ ...at, header, isWhole, noted },
    get dropped() {
      // That they are hashes and make the root was seen when they were read.
      if (isDropped) leaves ??= linesOf(bytes).tokens.map((line) => parseHash(line)!)
      return leaves
    },
    get events() {
      if (isWhole) all ??= Array.from({ length: header.n }, (_, i) => event(i))
      return all
    },
    event: (i) => (isWhole && i < header.n ? event(i) : null),
  }
}

function reportFault(
  logIndex: number,
  header: BatchHeader,
  { line, message }: NonNullable<BatchReading['fault']>,
  findings: Findings,
): void {
  const place = placeOf(logIndex, { ...header, seq: header.seq + Math.max(0, line - 2) })
  const { source, stream, seq } = place
  if (line === 1) findings.fail('batches', 'unreadable', `Batch ${logIndex}: ${message}`, place)
  else findings.fail('events', 'unreadable', `Event ${seq} of ${source}/${stream}: ${message}`, place)
}

/** The batch must follow its stream's last one, and its first event that one's last event. */
function checkStream(walked: WalkedEntry, reading: BatchReading, heads: Map<string, Head>, findings: Findings): void {
  const { logIndex, header, isWhole } = walked
  const name = `${header.source}/${header.stream}`
  const head = heads.get(name)
  const isSame = (a: Hash | undefined, b: Hash | undefined) => (a && b ? equalBytes(a, b) : a === b)
  const place = placeOf(logIndex, header)
  if (header.seq !== (head?.seq ?? 0) || !isSame(header.prev, head?.batchPrev))
    findings.fail(
      'streams',
      'misplaced',
      `Batch ${logIndex} does not follow the stream ${name}: it begins at ${header.seq}, expected ${head?.seq ?? 0}`,
      place,
    )
  else if (isWhole && !isSame(reading.prev, head?.prev)) {
    const first = walked.event(0)!
    findings.fail(
      'streams',
      'misplaced',
      `${nameOf(first)} does not follow the event before it`,
      placeOf(logIndex, first),
    )
  }
  heads.set(name, {
    seq: header.seq + header.n,
    // If the events cannot be read, the chain is taken up again after them; the fault has been recorded. Of a batch that was dropped, the
    // leaf hash of its last event is known.
    prev: reading.last ?? head?.prev,
    batchPrev: header.leafHash,
  })
}

function placeOf(logIndex: number, at: { source: string; stream: string; seq: number; id?: string }): FaultPlace {
  const { source, stream, seq, id } = at
  return { logIndex, source, stream, seq, ...(id !== undefined && { id }) }
}

const nameOf = (event: ParsedEvent): string =>
  `Event ${event.id} (${event.source}/${event.stream} ${event.seq}, ${printHash(event.leafHash)})`
