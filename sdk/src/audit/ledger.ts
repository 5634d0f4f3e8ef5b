// Walks the whole ledger, batch by batch in the order of the log: structure, digests, chain, root and every signature.
import type { BatchHeader } from '../core/batch.ts'
import { equalBytes, utf8 } from '../core/bytes.ts'
import { type ParsedEvent, parseEvent } from '../core/event.ts'
import { type Hash, printHash } from '../core/hash.ts'
import type { PublicJwk } from '../core/jwk.ts'
import { nodePrimitives } from '../node/primitives.ts'
import type { Api } from './api.ts'
import type { Fault, FaultPlace, Findings } from './findings.ts'
import type { KeyRing } from './keys.ts'
import type { OwnCheck, WalkedEntry } from './own-check.ts'
import { keepPace } from './pace.ts'
import type { Readers } from './readers.ts'
import { type BatchReading, isValid, linesOf, type Signed } from './readings.ts'
import { readStretches } from './stretches.ts'
import type { LogTree } from './tree.ts'

// How many batches one request asks for (the service stops at 10,000 events), and of how many the additional checks may be under way.
const PAGE = 256
const IN_FLIGHT = 2

type Head = { seq: number; prev: Hash; batchPrev: Hash }

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
}

export async function walkLedger(
  options: WalkOptions,
): Promise<{ events: number; signatures: number; streams: number }> {
  const { api, size, keys, tree, findings, signal, pace, readers, own } = options
  const heads = new Map<string, Head>()
  const pending: Promise<unknown>[] = []
  let events = 0
  let signatures = 0
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

  const stretches = readStretches({ api, from: 0, size, findings, page, beforePage: keepUp })
  for await (const { headers, ends, counts, bytes, readings } of readers.readAll(stretches, (source) =>
    keys.known(source),
  )) {
    for (const [i, header] of headers.entries()) {
      signal?.throwIfAborted()
      if (pending.length >= IN_FLIGHT) await pending.shift()
      const reading = readings[i]!
      const walked = entryOf(tree, events, header, bytes.subarray(ends[i - 1] ?? 0, ends[i]), reading)
      if (reading.fault !== null) reportFault(tree.size, header, reading.fault, findings)
      checkStream(walked, reading, heads, findings)
      keys.judge(walked, reading)
      const isSigned = judgeSignatures(walked, reading)
      const done = Promise.all(own.map((check) => tell(check.id, check.batch?.(walked))))
      // They are awaited later; until then nobody handles their rejection.
      done.catch(() => {})
      pending.push(done)
      if (keys.isRegistration(walked)) keys.apply(walked, isSigned)
      await tree.append(utf8(header.text), header.leafHash)
      for (const check of own) if (check.entry) await tell(check.id, check.entry(walked))
      events += counts[i]!
      options.onSize(tree.size, () => tree.root)
      options.onBatch(tree.size, events)
    }
  }
  await Promise.all(pending)
  return { events, signatures, streams: heads.size }
}

/** A batch at its turn. Its events are parsed once more only if somebody asks for them. */
function entryOf(
  tree: LogTree,
  firstEvent: number,
  header: BatchHeader,
  bytes: Uint8Array,
  { fault }: BatchReading,
): WalkedEntry {
  const isWhole = fault === null
  let tokens: string[] | null = null
  const parsed: ParsedEvent[] = []
  const event = (i: number): ParsedEvent => {
    tokens ??= linesOf(bytes).tokens
    parsed[i] ??= parseEvent(tokens[i]!, nodePrimitives)
    return parsed[i]
  }
  let all: ParsedEvent[] | null = null
  return {
    ...{ logIndex: tree.size, firstEvent, header, isWhole },
    get events() {
      if (isWhole) all ??= Array.from({ length: header.n }, (_, i) => event(i))
      return all
    },
    event: (i) => (isWhole && i < header.n ? event(i) : null),
    root: () => tree.root,
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
    // If the events cannot be read, the chain is taken up again after them; the fault has been recorded.
    prev: reading.last ?? (head?.prev as Hash),
    batchPrev: header.leafHash,
  })
}

function placeOf(logIndex: number, at: { source: string; stream: string; seq: number; id?: string }): FaultPlace {
  const { source, stream, seq, id } = at
  return { logIndex, source, stream, seq, ...(id !== undefined && { id }) }
}

const nameOf = (event: ParsedEvent): string =>
  `Event ${event.id} (${event.source}/${event.stream} ${event.seq}, ${printHash(event.leafHash)})`
