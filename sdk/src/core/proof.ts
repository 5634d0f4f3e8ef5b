/**
 * `killick-proof/1`: everything a stranger needs to check one event, in one JSON document. It is parsed strictly:
 * unknown, missing or duplicate members, wrong lengths and non-canonical encodings are refused. Only white space, member
 * order and JSON escapes are free.
 */
import { fromHex, fromUtf8 } from './bytes.ts'
import { KillickError } from './errors.ts'
import { isCount } from './event.ts'
import { type Hash, parseHash, printHash } from './hash.ts'
import { hasMembers, isObject, type JsonObject, type JsonValue, parseJson } from './json.ts'
import { type PublicJwk, parsePublicJwk } from './jwk.ts'

const PROOF_FORMAT = 'killick-proof/1'
/** Largest proof that is read, in bytes: 1 MiB. */
export const MAX_PROOF_BYTES = 1024 * 1024

/** A checkpoint's (size, root) that the contract holds, with the transaction that put it there. */
export type Anchor = {
  readonly chainId: number
  /** 0x and 40 lower-case hex digits, like every chain identifier here. */
  readonly contract: string
  /** 0x and 64 hex digits. */
  readonly logId: string
  readonly size: number
  readonly root: Hash
  /** Block time, seconds since 1970. */
  readonly time: number
  /** Transaction hash. */
  readonly transaction: string
  /** Block number. */
  readonly block: number
  /** Inclusion path of the header at this anchor's size; absent when that is `log.size`, whose path is `log.path`. */
  readonly path?: readonly Hash[]
  /** The last anchor of the same chain, contract and log that does not cover the entry; absent when there is none. */
  readonly before?: EarlierAnchor
  /** Statements that this log succeeds others, one of which a verifier may have pinned: 1 to 4 steps back from this log. */
  readonly succeeds?: readonly Succeeds[]
}

/** A statement of succession (a signed note), the place of the anchor that it names, and the path from there on. */
export type Succeeds = {
  readonly note: string
  readonly transaction: string
  readonly block: number
  /** Consistency path from the named size and root to the anchor's, or for a further step to those that the step before names. */
  readonly path: readonly Hash[]
}

/** An anchor whose size is at most the entry's index: the log as anchored then was without the entry. */
export type EarlierAnchor = Pick<Anchor, 'size' | 'root' | 'time' | 'transaction' | 'block'>

/** A registration as it stands in the log: an event alone in its batch, with the fields that say what is registered. */
export type CarriedRegistration = {
  /** The event token; it discloses action, targets and metadata. */
  readonly event: string
  readonly header: string
  /** Place in the log, with the inclusion path in the tree of `log.size`. */
  readonly index: number
  readonly path: readonly Hash[]
}

/**
 * That the ledger has erased fields of the event: the order of the erasure, an event alone in its batch, as it stands in the log
 * under a checkpoint of its own, and the event's entry in the list that the order commits to.
 */
export type CarriedErasure = CarriedRegistration & {
  /** C2SP signed note over a checkpoint; `path` leads to its root. */
  readonly checkpoint: string
  /** The entry's index in the list, the digests of the erased fields, sorted, and its path to the order's root. */
  readonly entry: { readonly index: number; readonly digests: readonly string[]; readonly path: readonly Hash[] }
}

/**
 * A proof that an event is in a log: a parsed `killick-proof/1`. `parseProof` reads it from a document, `printProof` prints it,
 * `verifyProof` checks it. Until then everything in it is a claim. Indices count from 0; a `path` is an RFC 9162
 * inclusion path.
 */
export type Proof = {
  /** The event token, with the disclosures to be shown. */
  readonly event: string
  /** The signed header of its batch, the event's index in the batch, and its path to the batch's root. */
  readonly batch: { readonly header: string; readonly index: number; readonly path: readonly Hash[] }
  /** The log's name, the header's index in it, and its path to the root of the first `size` entries. */
  readonly log: {
    readonly origin: string
    readonly index: number
    readonly size: number
    readonly path: readonly Hash[]
  }
  /** C2SP signed note over the checkpoint of `log.size`. */
  readonly checkpoint: string
  /** Empty while the event is not anchored. */
  readonly anchors: readonly Anchor[]
  /** Public keys of the source that signed event and header: a claim to compare with pinned ones, never trust. */
  readonly keys: readonly PublicJwk[]
  /**
   * How many fields the log's operator accepted and no longer holds, by the operator's own word; at least 1, absent when none
   * is lost. It counts neither fields that the maker of the proof chose to hide nor those that erasures name.
   */
  readonly missing?: number
  /** Registrations of the source and its keys, in the order of the log; absent if the proof must be short. */
  readonly registrations?: readonly CarriedRegistration[]
  /** Erasures of fields of the event, in the order of the log; absent when there is none. */
  readonly erasures?: readonly CarriedErasure[]
}

const MAX_REGISTRATIONS = 16
/** How many erasures of one event a proof carries: 16. */
export const MAX_ERASURES = 16
/** Digests that an entry may name: more fields than any event has. */
const MAX_DIGESTS = 4096
/** How many successions a verifier follows back from one log: 4. Each costs one more question to a chain. */
export const MAX_SUCCESSIONS = 4

/** Prints a proof as a `killick-proof/1` document: compact JSON in a fixed member order. */
export function printProof(proof: Proof): string {
  const { event, batch, log, checkpoint, anchors, keys, missing, registrations, erasures } = proof
  return JSON.stringify({
    format: PROOF_FORMAT,
    event,
    batch: { header: batch.header, index: batch.index, path: batch.path.map(printHash) },
    log: { origin: log.origin, index: log.index, size: log.size, path: log.path.map(printHash) },
    checkpoint,
    anchors: anchors.map(
      ({ chainId, contract, logId, size, root, time, transaction, block, path, before, succeeds }) => ({
        ...{ chainId, contract, logId, size, root: printHash(root), time, transaction, block },
        ...(path && { path: path.map(printHash) }),
        ...(before && { before: printEarlier(before) }),
        ...(succeeds && { succeeds: succeeds.map(printSucceeds) }),
      }),
    ),
    keys,
    ...(missing !== undefined && { missing }),
    ...(registrations && {
      registrations: registrations.map(({ event, header, index, path }) => ({
        ...{ event, header, index, path: path.map(printHash) },
      })),
    }),
    ...(erasures && { erasures: erasures.map(printErasure) }),
  })
}

const printErasure = ({ event, header, index, path, checkpoint, entry }: CarriedErasure) => ({
  ...{ event, header, index, path: path.map(printHash), checkpoint },
  entry: { index: entry.index, digests: entry.digests, path: entry.path.map(printHash) },
})

const printSucceeds = ({ note, transaction, block, path }: Succeeds) => ({
  ...{ note, transaction, block, path: path.map(printHash) },
})

const printEarlier = ({ size, root, time, transaction, block }: EarlierAnchor) => ({
  ...{ size, root: printHash(root), time, transaction, block },
})

function malformed(why: string): never {
  throw new KillickError('proof_malformed', `Not a ${PROOF_FORMAT}: ${why}`)
}

function object(value: JsonValue | undefined, where: string, required: string[], optional: string[] = []): JsonObject {
  if (!isObject(value) || !hasMembers(value, required, optional)) {
    malformed(`${where} must be an object with exactly ${required.join(', ')}`)
  }
  return value
}

function text(value: JsonValue | undefined, where: string): string {
  return typeof value === 'string' ? value : malformed(`${where} must be a string`)
}

function count(value: JsonValue | undefined, where: string): number {
  return isCount(value) ? value : malformed(`${where} must be an integer from 0 to 2^53 - 1`)
}

/** The contract keeps 32 bits of block time. */
function uint32(value: JsonValue | undefined, where: string): number {
  return isCount(value) && value < 2 ** 32 ? value : malformed(`${where} must be an integer from 0 to 2^32 - 1`)
}

function hash(value: JsonValue | undefined, where: string): Hash {
  return parseHash(value) ?? malformed(`${where} must be a hash, 43 characters of base64url`)
}

function path(value: JsonValue | undefined, where: string): Hash[] {
  if (!Array.isArray(value) || value.length > 64) malformed(`${where} must be an array of at most 64 hashes`)
  return value.map((item, i) => hash(item, `${where}/${i}`))
}

function hex(value: JsonValue | undefined, where: string, bytes: number): string {
  const isHex = typeof value === 'string' && value.startsWith('0x') && fromHex(value.slice(2))?.length === bytes
  return isHex ? value : malformed(`${where} must be 0x and ${2 * bytes} lower-case hex digits`)
}

function parseAnchor(value: JsonValue, where: string, logSize: number): Anchor {
  const names = ['chainId', 'contract', 'logId', ...COMMITMENT]
  const anchor = object(value, where, names, ['path', 'before', 'succeeds'])
  const size = count(anchor.size, `${where}/size`)
  if ((anchor.path === undefined) !== (size === logSize))
    malformed(`${where} must have a path exactly when its size is not the log's`)
  return {
    chainId: count(anchor.chainId, `${where}/chainId`),
    contract: hex(anchor.contract, `${where}/contract`, 20),
    logId: hex(anchor.logId, `${where}/logId`, 32),
    ...parseCommitment(anchor, where),
    ...(anchor.path !== undefined && { path: path(anchor.path, `${where}/path`) }),
    ...(anchor.before !== undefined && { before: parseEarlier(anchor.before, `${where}/before`) }),
    ...(anchor.succeeds !== undefined && { succeeds: parseSucceeds(anchor.succeeds, `${where}/succeeds`) }),
  }
}

const COMMITMENT = ['size', 'root', 'time', 'transaction', 'block']

function parseCommitment(anchor: JsonObject, where: string): EarlierAnchor {
  return {
    size: count(anchor.size, `${where}/size`),
    root: hash(anchor.root, `${where}/root`),
    time: uint32(anchor.time, `${where}/time`),
    transaction: hex(anchor.transaction, `${where}/transaction`, 32),
    block: count(anchor.block, `${where}/block`),
  }
}

function parseEarlier(value: JsonValue, where: string): EarlierAnchor {
  return parseCommitment(object(value, where, COMMITMENT), where)
}

function parseSucceeds(value: JsonValue, where: string): Succeeds[] {
  if (!Array.isArray(value) || value.length < 1 || value.length > MAX_SUCCESSIONS)
    malformed(`${where} must be an array of 1 to ${MAX_SUCCESSIONS}`)
  return value.map((item, i) => {
    const step = object(item, `${where}/${i}`, ['note', 'transaction', 'block', 'path'])
    return {
      note: text(step.note, `${where}/${i}/note`),
      transaction: hex(step.transaction, `${where}/${i}/transaction`, 32),
      block: count(step.block, `${where}/${i}/block`),
      path: path(step.path, `${where}/${i}/path`),
    }
  })
}

const IN_LOG = ['event', 'header', 'index', 'path']

function list(value: JsonValue, where: string, most: number): JsonValue[] {
  if (!Array.isArray(value) || value.length < 1 || value.length > most)
    malformed(`${where} must be an array of 1 to ${most}`)
  return value
}

const parseCarried = (carried: JsonObject, where: string): CarriedRegistration => ({
  event: text(carried.event, `${where}/event`),
  header: text(carried.header, `${where}/header`),
  index: count(carried.index, `${where}/index`),
  path: path(carried.path, `${where}/path`),
})

const parseRegistrations = (value: JsonValue): CarriedRegistration[] =>
  list(value, 'registrations', MAX_REGISTRATIONS).map((item, i) => {
    const where = `registrations/${i}`
    return parseCarried(object(item, where, IN_LOG), where)
  })

const parseErasures = (value: JsonValue): CarriedErasure[] =>
  list(value, 'erasures', MAX_ERASURES).map((item, i) => {
    const where = `erasures/${i}`
    const carried = object(item, where, [...IN_LOG, 'checkpoint', 'entry'])
    const entry = object(carried.entry, `${where}/entry`, ['index', 'digests', 'path'])
    const digests = list(entry.digests!, `${where}/entry/digests`, MAX_DIGESTS)
    return {
      ...parseCarried(carried, where),
      checkpoint: text(carried.checkpoint, `${where}/checkpoint`),
      entry: {
        index: count(entry.index, `${where}/entry/index`),
        digests: digests.map((digest, j) => printHash(hash(digest, `${where}/entry/digests/${j}`))),
        path: path(entry.path, `${where}/entry/path`),
      },
    }
  })

function parseKeys(value: JsonValue | undefined): PublicJwk[] {
  if (!Array.isArray(value) || value.length < 1 || value.length > 2)
    malformed('keys must be an array of one or two JWKs')
  return value.map((item, i) => {
    const members = isObject(item) && item.kty === 'OKP' ? ['kty', 'crv', 'x'] : ['kty', 'crv', 'x', 'y']
    return parsePublicJwk(object(item, `keys/${i}`, members))
  })
}

/**
 * Refuses what `parseProof` did not make. `JSON.parse` leaves hashes as text, which lead nowhere: a slip of the caller would look like
 * a forged proof.
 * @throws KillickError `proof_malformed`
 */
export function requireParsed(proof: Partial<Proof>, members: readonly ('batch' | 'log')[] = []): void {
  const isRead = isObject(proof) && !('format' in proof) && Array.isArray(proof.anchors)
  if (!isRead || !members.every((member) => isObject(proof[member]))) malformed('it was not read by parseProof')
}

/**
 * Reads a proof, strictly, from its JSON text or the bytes of one (UTF-8, at most 1 MiB). The event token, header and checkpoint
 * inside are read by `verifyProof`.
 * @throws KillickError `proof_malformed`, `proof_too_large`, `key_invalid`, `json_*`
 * @example
 * const proof = parseProof(await readFile('event.proof.json'))
 */
export function parseProof(source: string | Uint8Array): Proof {
  if (typeof source !== 'string' && !(source instanceof Uint8Array)) malformed('it is neither text nor bytes')
  if (source.length > MAX_PROOF_BYTES) throw new KillickError('proof_too_large')
  const json = typeof source === 'string' ? source : fromUtf8(source)
  if (json === null) malformed('it is not UTF-8')
  const names = ['format', 'event', 'batch', 'log', 'checkpoint', 'anchors', 'keys']
  const proof = object(parseJson(json), 'it', names, ['missing', 'registrations', 'erasures'])
  if (proof.format !== PROOF_FORMAT) malformed(`format must be ${PROOF_FORMAT}`)
  const batch = object(proof.batch, 'batch', ['header', 'index', 'path'])
  const log = object(proof.log, 'log', ['origin', 'index', 'size', 'path'])
  const size = count(log.size, 'log/size')
  if (!Array.isArray(proof.anchors) || proof.anchors.length > 16) malformed('anchors must be an array of at most 16')
  return {
    event: text(proof.event, 'event'),
    batch: {
      header: text(batch.header, 'batch/header'),
      index: count(batch.index, 'batch/index'),
      path: path(batch.path, 'batch/path'),
    },
    log: {
      origin: text(log.origin, 'log/origin'),
      index: count(log.index, 'log/index'),
      size,
      path: path(log.path, 'log/path'),
    },
    checkpoint: text(proof.checkpoint, 'checkpoint'),
    anchors: proof.anchors.map((anchor, i) => parseAnchor(anchor, `anchors/${i}`, size)),
    keys: parseKeys(proof.keys),
    ...(proof.missing !== undefined && {
      missing: count(proof.missing, 'missing') || malformed('missing must be 1 or more'),
    }),
    ...(proof.registrations !== undefined && { registrations: parseRegistrations(proof.registrations) }),
    ...(proof.erasures !== undefined && { erasures: parseErasures(proof.erasures) }),
  }
}
