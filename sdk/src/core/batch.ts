/**
 * A batch: consecutive events of one stream under one Merkle root, with a header signed by the source. The header's
 * ASCII is the entry in the log; on the wire it is the first line, and the events follow, one per line.
 */
import { equalBytes, fromUtf8 } from './bytes.ts'
import { ERROR_CODES, KillickError } from './errors.ts'
import { isCount, isSourceName, isStreamId, type ParsedEvent, parseEvent, parseTime } from './event.ts'
import { type Hash, parseHash, printHash } from './hash.ts'
import { hasMembers } from './json.ts'
import type { Alg } from './jwk.ts'
import { headerReader, parseJws, type ReadHeader, signJws } from './jws.ts'
import { treeRoot } from './merkle.ts'
import { PORTABLE, type Primitives } from './primitives.ts'
import type { Signer } from './signature.ts'

export const BATCH_TYP = 'audit-batch+jwt'
/** Media type of a batch's body in `POST /v1/batches`. */
export const BATCH_MEDIA_TYPE = 'application/vnd.killick.batch'
/** Most events in a batch. */
export const MAX_BATCH_EVENTS = 10_000
/**
 * Largest batch header, in bytes. An honest header has about 700. JSON allows any amount of white space, but a log entry must
 * stay below 65,536 to fit a tile.
 */
export const MAX_HEADER_BYTES = 2048
/** Largest body of a batch before compression, in bytes: 16 MiB. */
export const MAX_BATCH_BYTES = 16 * 1024 * 1024

/** Base64url of a hash. */
const HASH_CHARACTERS = 43

/** What a batch header says. */
export type BatchFields = {
  /** Names of the source and of its stream. */
  readonly source: string
  readonly stream: string
  /** `seq` of the first event. */
  readonly seq: number
  /** How many events; 1 to 10,000. */
  readonly n: number
  /** RFC 9162 root over the events' leaf hashes. */
  readonly root: Hash
  /** Leaf hash of the stream's previous batch header; absent for its first batch. */
  readonly prev?: Hash | undefined
  /** When the batch was closed, ms since 1970. */
  readonly time: number
}

/** A parsed batch header. `text` is the compact JWS that it was read from, and the entry in the log. */
export type BatchHeader = BatchFields & {
  readonly text: string
  /** Leaf hash of the header in the log. */
  readonly leafHash: Hash
  /** Not verified yet: 64 `bytes` over `input`, by the key whose RFC 7638 thumbprint is `kid`. */
  readonly signature: {
    readonly alg: Alg
    readonly kid: string
    readonly input: Uint8Array
    readonly bytes: Uint8Array
  }
}

/** Signs a batch header without checking the fields. @returns A compact JWS (RFC 7515) of type `audit-batch+jwt` */
export async function signBatchHeader(batch: BatchFields, signer: Signer): Promise<string> {
  const { source, stream, seq, n, root, prev, time } = batch
  const payload = {
    iss: source,
    stm: stream,
    seq,
    n,
    root: printHash(root),
    ...(prev && { prev: printHash(prev) }),
    iat: time / 1000,
  }
  return signJws(payload, BATCH_TYP, signer)
}

/**
 * Reads a batch header, strictly, from a compact JWS of at most 2,048 bytes. The caller checks its signature.
 * @param primitives a platform's own, for many headers; default: portable ones
 * @param read reads the header of its signature, for many that are alike; default: each is read by itself
 * @throws KillickError `batch_header_invalid`, `batch_too_large`, `jws_*`, `json_*`
 */
export function parseBatchHeader(text: string, primitives: Primitives = PORTABLE, read?: ReadHeader): BatchHeader {
  if (typeof text === 'string' && text.length > MAX_HEADER_BYTES) {
    throw new KillickError('batch_header_invalid', `A batch header has at most ${MAX_HEADER_BYTES} bytes`)
  }
  const jws = parseJws(text, BATCH_TYP, primitives, read)
  const { iss, stm, seq, n, iat } = jws.payload
  const root = parseHash(jws.payload.root)
  const prev = jws.payload.prev === undefined ? undefined : parseHash(jws.payload.prev)
  const time = parseTime(iat)
  if (
    !hasMembers(jws.payload, ['iss', 'stm', 'seq', 'n', 'root', 'iat'], ['prev']) ||
    !isSourceName(iss) ||
    !isStreamId(stm) ||
    !isCount(seq) ||
    !isCount(n) ||
    n < 1 ||
    !Number.isSafeInteger(seq + n) ||
    root === null ||
    prev === null ||
    time === null ||
    (prev === undefined) !== (seq === 0)
  ) {
    throw new KillickError('batch_header_invalid')
  }
  if (n > MAX_BATCH_EVENTS) throw new KillickError('batch_too_large')
  const signature = { alg: jws.alg, kid: jws.kid, input: jws.signingInput, bytes: jws.signature }
  return { text, leafHash: primitives.leafHash(text), signature, source: iss, stream: stm, seq, n, root, prev, time }
}

/** The body of a batch: its header, then its event tokens, each a line that ends in LF. */
export function printBatch(header: string, tokens: readonly string[]): string {
  return `${[header, ...tokens].join('\n')}\n`
}

/**
 * The lines of a batch's body, not yet parsed.
 * @param body bytes before compression, at most 16 MiB
 * @throws KillickError `batch_malformed`, `batch_too_large`
 */
export function splitBatch(body: Uint8Array): { header: string; tokens: string[] } {
  if (body.length > MAX_BATCH_BYTES) throw new KillickError('batch_too_large')
  let lines = 0
  for (let at = body.indexOf(0x0a); at >= 0; at = body.indexOf(0x0a, at + 1)) {
    if (++lines > MAX_BATCH_EVENTS + 1) throw new KillickError('batch_too_large')
  }
  const text = fromUtf8(body)
  if (text === null) throw new KillickError('batch_malformed', 'The body is not UTF-8')
  if (!text.endsWith('\n'))
    throw new KillickError('batch_malformed', 'The body is cut off: its last line has no line feed')
  const [header, ...tokens] = text.slice(0, -1).split('\n')
  return { header: header!, tokens }
}

/**
 * Leaf hashes of a batch whose events a retention policy has dropped (docs/PROTOCOL.md §17): there is one on each line in place of the event.
 * The caller checks which event of the log drops it.
 * @returns null if it is another batch: a line is no hash, there are not as many as the header says, or they do not make its root
 */
export function droppedLeaves(
  header: Pick<BatchHeader, 'n' | 'root'>,
  tokens: readonly string[],
  primitives: Primitives = PORTABLE,
): Hash[] | null {
  if (tokens.length !== header.n || tokens[0]?.length !== HASH_CHARACTERS) return null
  const leaves = tokens.map(parseHash)
  const isAll = leaves.every((leaf): leaf is Hash => leaf !== null)
  return isAll && equalBytes(treeRoot(leaves, primitives.nodeHash), header.root) ? leaves : null
}

/** Adds the 1-based line of the body to an error about it. */
function atLine<T>(line: number, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    throw new KillickError(error.code, error.message, { ...error.details, line })
  }
}

/**
 * Reads a batch, and checks all that can be checked without keys or a ledger: structure, count, chain from event to event,
 * and the recomputed root. The caller checks signatures, keys and the stream's head.
 * @param body bytes before compression, at most 16 MiB
 * @param primitives a platform's own, such as `nodePrimitives`, for many batches; default: portable ones
 * @throws KillickError `batch_*`, `event_*`, `disclosure_*`, `jws_*`, `json_*`, with the line at fault in `details.line` (1 is
 * the header)
 * @param stage `entering`: its events must disclose action, actor and targets; `stored`: a ledger may have erased any of them
 */
export function parseBatch(
  body: Uint8Array,
  primitives: Primitives = PORTABLE,
  stage: 'entering' | 'stored' = 'entering',
): { header: BatchHeader; events: ParsedEvent[] } {
  const events: ParsedEvent[] = []
  const header = readBatch(body, (event) => events.push(event), primitives, stage)
  return { header, events }
}

/**
 * Reads and checks a batch as `parseBatch` does, but hands over the events one after another, so that a caller who needs only a
 * part of each keeps little in memory.
 * @param take called with each event in order; the events count only once `readBatch` returns, since the root is checked last
 * @throws KillickError as `parseBatch`
 */
export function readBatch(
  body: Uint8Array,
  take: (event: ParsedEvent) => void,
  primitives: Primitives = PORTABLE,
  stage: 'entering' | 'stored' = 'entering',
): BatchHeader {
  return readBatchLines(splitBatch(body), take, primitives, stage)
}

/**
 * `readBatch` for who has split the body already.
 * @throws KillickError as `readBatch`, but for what `splitBatch` throws
 */
export function readBatchLines(
  lines: { readonly header: string; readonly tokens: readonly string[] },
  take: (event: ParsedEvent) => void,
  primitives: Primitives,
  stage: 'entering' | 'stored',
): BatchHeader {
  const header = atLine(1, () => parseBatchHeader(lines.header, primitives))
  if (lines.tokens.length !== header.n) {
    throw new KillickError(
      'batch_count_mismatch',
      `The header announces ${header.n} events, the body holds ${lines.tokens.length}`,
      { line: 1 },
    )
  }
  const leaves: Hash[] = []
  const read = headerReader(primitives)
  for (const [i, token] of lines.tokens.entries()) {
    const event = atLine(i + 2, () => {
      const event = parseEvent(token, primitives, read)
      checkFollows(event, header, i, leaves[i - 1])
      if (stage === 'entering') checkComplete(event)
      return event
    })
    leaves.push(event.leafHash)
    take(event)
  }
  if (!equalBytes(treeRoot(leaves, primitives.nodeHash), header.root)) {
    throw new KillickError('batch_root_mismatch', ERROR_CODES.batch_root_mismatch, { line: 1 })
  }
  return header
}

function checkFollows(event: ParsedEvent, header: BatchHeader, i: number, before: Hash | undefined): void {
  const expected = { source: header.source, stream: header.stream, seq: header.seq + i }
  const isNext = event.source === expected.source && event.stream === expected.stream && event.seq === expected.seq
  // The first event's prev names an event before this batch, which only the ledger knows.
  const isChained = before === undefined || (event.prev !== undefined && equalBytes(event.prev, before))
  if (!isNext || !isChained) {
    throw new KillickError('batch_chain_broken', ERROR_CODES.batch_chain_broken, {
      expected: { ...expected, ...(before && { prev: printHash(before) }) },
    })
  }
}

/** An event must enter the ledger with its required fields; the ledger may show less of it later. */
function checkComplete(event: ParsedEvent): void {
  const [hidden] = requiredAbsent(event)
  if (hidden !== undefined) throw new KillickError('event_incomplete', `The event does not disclose its ${hidden}`)
}

/** Names of the fields that every event enters a ledger with and that this one does not disclose. */
export const requiredAbsent = ({ fields }: ParsedEvent): string[] =>
  ['action', 'actor', 'targets'].filter((name) => fields[name] === undefined)
