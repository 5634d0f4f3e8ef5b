// Walks the whole ledger, batch by batch in the order of the log: structure, digests, chain, root and every signature.
import { type BatchHeader, MAX_BATCH_BYTES, parseBatch, parseBatchHeader, printBatch } from '../core/batch.ts'
import { equalBytes, utf8 } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { MAX_EVENT_BYTES, type ParsedEvent } from '../core/event.ts'
import { type Hash, printHash } from '../core/hash.ts'
import type { PublicJwk } from '../core/jwk.ts'
import { nodePrimitives } from '../node/primitives.ts'
import type { Api } from './api.ts'
import { isUnreadable } from './faulty.ts'
import type { Fault, FaultPlace, Findings } from './findings.ts'
import type { KeyRing } from './keys.ts'
import type { OwnCheck, WalkedBatch } from './own-check.ts'
import { keepPace } from './pace.ts'
import { type Signature, SignatureChecker } from './signatures.ts'
import type { LogTree } from './tree.ts'

// How many batches one request asks for (the service stops at 10,000 events), and how many may have signatures in the thread pool
// while the next is read.
const PAGE = 256
const IN_FLIGHT = 2

type Head = { seq: number; prev: Hash; batchPrev: Hash }
type Batch = { header: BatchHeader; events: readonly ParsedEvent[] }

export type WalkOptions = {
  api: Api
  size: number
  keys: KeyRing
  tree: LogTree
  findings: Findings
  signal: AbortSignal | undefined
  /** Most events per second, on average; 0: no limit. */
  pace: number
  own: readonly OwnCheck[]
  /** Called after each batch. */
  onBatch: (batches: number, events: number) => void
  /** Called when the tree has `size` entries, for every size whose root is wanted. */
  onSize: (size: number, root: () => Hash) => void
}

export async function walkLedger(
  options: WalkOptions,
): Promise<{ events: number; signatures: number; streams: number }> {
  const { api, size, keys, tree, findings, signal, pace, own } = options
  const signatures = new SignatureChecker()
  const heads = new Map<string, Head>()
  const pending: Promise<unknown>[] = []
  let events = 0
  const keepUp = keepPace(pace, signal)
  // No page holds more batches than may be checked in a second.
  const page = pace > 0 ? Math.min(PAGE, Math.ceil(pace)) : PAGE

  /** @param key what the ring gave for it at its place in the log; the walk may have gone on since */
  const checkSignature = async (
    signature: Signature,
    key: PublicJwk | string,
    check: string,
    what: string,
    place: FaultPlace,
  ): Promise<boolean> => {
    if (typeof key === 'string') findings.fail(check, 'signature_invalid', `${what}: ${key}`, place)
    else if (await signatures.isValid(key, signature)) return true
    else
      findings.fail(
        check,
        'signature_invalid',
        `${what}: the signature does not verify under key ${signature.kid}`,
        place,
      )
    return false
  }

  const tell = async (id: string, faults: Promise<readonly Fault[]> | undefined) => {
    for (const { reason, message, place } of (await faults) ?? []) findings.fail(id, reason, message, place)
  }

  /** Looks up the batch's keys at once, and checks its signatures later. @returns whether the batch is signed */
  const checkBatch = (walked: WalkedBatch): { isSigned: Promise<boolean>; done: Promise<unknown> } => {
    const { logIndex, header, events } = walked
    const place = placeOf(logIndex, header)
    const find = (source: string, { kid }: Signature) => keys.find(source, kid, walked)
    const key = find(header.source, header.signature)
    const isSigned = checkSignature(header.signature, key, 'batches', `Batch ${logIndex}`, place)
    const done = Promise.all([
      isSigned,
      ...own.map((check) => tell(check.id, check.batch?.(walked))),
      ...(events ?? []).flatMap((event) =>
        event.signature
          ? [
              checkSignature(
                event.signature,
                event.signature.kid === header.signature.kid ? key : find(event.source, event.signature),
                ...(['events', nameOf(event), placeOf(logIndex, event)] as const),
              ),
            ]
          : [],
      ),
    ])
    // They are awaited later; until then nobody handles their rejection.
    done.catch(() => {})
    isSigned.catch(() => {})
    return { isSigned, done }
  }

  for await (const { header: text, tokens } of readBatches(api, size, findings, page, () => keepUp(events))) {
    signal?.throwIfAborted()
    const header = parseBatchHeader(text)
    if (pending.length >= IN_FLIGHT) await pending.shift()
    const batch = readBatch(tree.size, header, tokens, findings)
    checkStream(tree.size, header, batch, heads, findings)
    const walked = { logIndex: tree.size, firstEvent: events, header, events: batch?.events ?? null }
    keys.judge(walked)
    const { isSigned, done } = checkBatch(walked)
    pending.push(done)
    // The next entry may depend on what this one registers.
    if (keys.isRegistration(walked)) keys.apply(walked, await isSigned)
    await tree.append(utf8(text), header.leafHash)
    const entry = { ...walked, root: () => tree.root }
    for (const check of own) if (check.entry) await tell(check.id, check.entry(entry))
    events += tokens.length
    options.onSize(tree.size, () => tree.root)
    options.onBatch(tree.size, events)
  }
  await Promise.all(pending)
  return { events, signatures: signatures.count, streams: heads.size }
}

/**
 * Batches 0 to `size` in wire form, in order, each with as many event lines as its header says; each request asks for `page` of
 * them.
 */
async function* readBatches(
  api: Api,
  size: number,
  findings: Findings,
  page: number,
  beforePage: () => Promise<void>,
): AsyncGenerator<{ header: string; tokens: string[] }> {
  for (let next = 0; next < size; ) {
    const before = next
    await beforePage()
    const lines = api.lines(`/v1/batches?from=${next}&limit=${Math.min(page, size - next)}`, MAX_EVENT_BYTES)
    try {
      for await (const header of lines) {
        if (next >= size) {
          findings.fail(
            'batches',
            'untold',
            `More batches than the ${size} of the checkpoint come where they are asked for`,
          )
          return
        }
        let n: number
        try {
          n = parseBatchHeader(header).n
        } catch (error) {
          // Without a header nobody knows where the batch ends.
          findings.fail('batches', 'unreadable', `Batch ${next}: ${(error as Error).message}`, { logIndex: next })
          return
        }
        const tokens: string[] = []
        let bytes = header.length
        while (tokens.length < n && bytes <= MAX_BATCH_BYTES) {
          const line = await lines.next()
          if (line.done) break
          tokens.push(line.value)
          bytes += line.value.length + 1
        }
        yield { header, tokens }
        next += 1
        if (tokens.length < n) return
      }
    } catch (error) {
      if (!isUnreadable(error)) throw error
      findings.fail('batches', 'unreadable', `Batch ${next}: ${error.message}`, { logIndex: next })
      return
    }
    if (next === before) {
      findings.fail('batches', 'absent', `Batch ${next} of ${size} is missing`, { logIndex: next })
      return
    }
  }
}

function readBatch(logIndex: number, header: BatchHeader, tokens: string[], findings: Findings): Batch | null {
  try {
    return parseBatch(utf8(printBatch(header.text, tokens)), nodePrimitives, 'stored')
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    const line = Number(error.details.line ?? 1)
    const place = placeOf(logIndex, { ...header, seq: header.seq + Math.max(0, line - 2) })
    if (line === 1) findings.fail('batches', 'unreadable', `Batch ${logIndex}: ${error.message}`, place)
    else
      findings.fail(
        'events',
        'unreadable',
        `Event ${place.seq} of ${place.source}/${place.stream}: ${error.message}`,
        place,
      )
    return null
  }
}

/** The batch must follow its stream's last one, and its first event that one's last event. */
function checkStream(
  logIndex: number,
  header: BatchHeader,
  batch: Batch | null,
  heads: Map<string, Head>,
  findings: Findings,
): void {
  const name = `${header.source}/${header.stream}`
  const head = heads.get(name)
  const isSame = (a: Hash | undefined, b: Hash | undefined) => (a && b ? equalBytes(a, b) : a === b)
  const place = placeOf(logIndex, header)
  const first = batch?.events[0]
  if (header.seq !== (head?.seq ?? 0) || !isSame(header.prev, head?.batchPrev))
    findings.fail(
      'streams',
      'misplaced',
      `Batch ${logIndex} does not follow the stream ${name}: it begins at ${header.seq}, expected ${head?.seq ?? 0}`,
      place,
    )
  else if (first && !isSame(first.prev, head?.prev))
    findings.fail(
      'streams',
      'misplaced',
      `${nameOf(first)} does not follow the event before it`,
      placeOf(logIndex, first),
    )
  const last = batch?.events.at(-1)
  heads.set(name, {
    seq: header.seq + header.n,
    // If the events cannot be read, the chain is taken up again after them; the fault has been recorded.
    prev: last?.leafHash ?? (head?.prev as Hash),
    batchPrev: header.leafHash,
  })
}

function placeOf(logIndex: number, at: { source: string; stream: string; seq: number; id?: string }): FaultPlace {
  const { source, stream, seq, id } = at
  return { logIndex, source, stream, seq, ...(id !== undefined && { id }) }
}

const nameOf = (event: ParsedEvent): string =>
  `Event ${event.id} (${event.source}/${event.stream} ${event.seq}, ${printHash(event.leafHash)})`
