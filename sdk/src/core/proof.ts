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

export const PROOF_FORMAT = 'killick-proof/1'
export const MAX_PROOF_BYTES = 1024 * 1024

/** A checkpoint's (size, root) as the contract holds it, and where that happened. */
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
}

export type Proof = {
  /** The event token, with the disclosures to be shown. */
  readonly event: string
  readonly batch: { readonly header: string; readonly index: number; readonly path: readonly Hash[] }
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
}

/** Compact JSON in a fixed member order. */
export function printProof(proof: Proof): string {
  const { event, batch, log, checkpoint, anchors, keys } = proof
  return JSON.stringify({
    format: PROOF_FORMAT,
    event,
    batch: { header: batch.header, index: batch.index, path: batch.path.map(printHash) },
    log: { origin: log.origin, index: log.index, size: log.size, path: log.path.map(printHash) },
    checkpoint,
    anchors: anchors.map(({ chainId, contract, logId, size, root, time, transaction, block, path }) => ({
      ...{ chainId, contract, logId, size, root: printHash(root), time, transaction, block },
      ...(path && { path: path.map(printHash) }),
    })),
    keys,
  })
}

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
  const names = ['chainId', 'contract', 'logId', 'size', 'root', 'time', 'transaction', 'block']
  const anchor = object(value, where, names, ['path'])
  const size = count(anchor.size, `${where}/size`)
  if ((anchor.path === undefined) !== (size === logSize))
    malformed(`${where} must have a path exactly when its size is not the log's`)
  return {
    chainId: count(anchor.chainId, `${where}/chainId`),
    contract: hex(anchor.contract, `${where}/contract`, 20),
    logId: hex(anchor.logId, `${where}/logId`, 32),
    size,
    root: hash(anchor.root, `${where}/root`),
    time: uint32(anchor.time, `${where}/time`),
    transaction: hex(anchor.transaction, `${where}/transaction`, 32),
    block: count(anchor.block, `${where}/block`),
    ...(anchor.path !== undefined && { path: path(anchor.path, `${where}/path`) }),
  }
}

function parseKeys(value: JsonValue | undefined): PublicJwk[] {
  if (!Array.isArray(value) || value.length < 1 || value.length > 2)
    malformed('keys must be an array of one or two JWKs')
  return value.map((item, i) => {
    const members = isObject(item) && item.kty === 'OKP' ? ['kty', 'crv', 'x'] : ['kty', 'crv', 'x', 'y']
    return parsePublicJwk(object(item, `keys/${i}`, members))
  })
}

/**
 * A proof from its JSON text or bytes. The event token, header and checkpoint inside are parsed by `verifyProof`.
 * @throws KillickError proof_malformed | proof_too_large | key_invalid | json_*
 */
export function parseProof(source: string | Uint8Array): Proof {
  if (typeof source !== 'string' && !(source instanceof Uint8Array)) malformed('it is neither text nor bytes')
  if (source.length > MAX_PROOF_BYTES) throw new KillickError('proof_too_large')
  const json = typeof source === 'string' ? source : fromUtf8(source)
  if (json === null) malformed('it is not UTF-8')
  const proof = object(parseJson(json), 'it', ['format', 'event', 'batch', 'log', 'checkpoint', 'anchors', 'keys'])
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
  }
}
