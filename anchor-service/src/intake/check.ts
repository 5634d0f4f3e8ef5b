import {
  type BatchHeader,
  type ErrorCode,
  fromUtf8,
  KillickError,
  nodePrimitives,
  type PublicJwk,
  parseBatchHeader,
  readBatch,
  splitBatch,
} from '@killick/sdk'
import { Refusal, type ServiceCode } from '../errors.ts'
import { type CheckedBatch, isSameBatch } from '../ledger/place.ts'
import { Packer } from '../ledger/rows.ts'
import { readSource, type Source } from '../ledger/sources.ts'
import { readKeptBatch } from '../ledger/streams.ts'
import { SYSTEM } from '../ledger/system.ts'
import type { Db } from '../ledger/tiles.ts'
import { type Claim, verifyAll } from './verify.ts'

/**
 * Everything about a batch that can be told before its turn in the log: keys and their validity, signatures, structure,
 * chain, digests, root. All or nothing. The header and its signature come first, so that only a registered source can
 * make the service look at the rest.
 *
 * @param now the service's clock in ms; keys are judged by it, not by what the batch claims
 * @throws KillickError | Refusal, with the 1-based line at fault in `details.line`
 */
export async function checkBatch(body: Uint8Array, db: Db, now: number): Promise<CheckedBatch> {
  const header = atHeader(() => parseBatchHeader(firstLine(body)))
  if (header.source === SYSTEM.source) throw new Refusal('source_reserved', undefined, { line: 1 })
  const source = await readSource(db, header.source)
  const headerClaim = claimOf(header.signature, source, 1)
  const [isAuthentic] = verifyAll([headerClaim])
  if (!isAuthentic) throw new KillickError('signature_invalid', 'The header signature does not verify.', { line: 1 })

  const packer = new Packer(header.n, body.length)
  const claims: SourcedClaim[] = []
  let line = 1
  readBatch(
    body,
    (event) => {
      line++
      if (event.signature !== undefined) claims.push(claimOf(event.signature, source, line))
      else if (source!.eventSignatures !== 'optional')
        throw new Refusal('event_signature_required', undefined, { line })
      packer.add(event)
    },
    nodePrimitives,
  )
  const expired = firstInvalidKey([headerClaim, ...claims], now)
  // A batch that was accepted while its key was valid gets its receipt again, however late it is repeated.
  if (expired !== null && !(await wasAccepted(db, header))) throw expired
  const bad = verifyAll(claims).indexOf(false)
  if (bad >= 0) {
    throw new KillickError('signature_invalid', 'The event signature does not verify.', { line: claims[bad]!.line })
  }
  return packer.done(header)
}

type Key = Source['keys'][number]
type SourcedClaim = Claim & { line: number; key: Key }
type Signature = BatchHeader['signature']

function claimOf(signature: Signature, source: Source | undefined, line: number): SourcedClaim {
  const key = source?.keys.find(({ kid }) => kid === signature.kid)
  if (key === undefined) throw new KillickError('key_unknown', undefined, { line, kid: signature.kid })
  const jwk: PublicJwk = key.jwk
  return { jwk, alg: signature.alg, message: signature.input, signature: signature.bytes, line, key }
}

function firstInvalidKey(claims: readonly SourcedClaim[], now: number): Refusal | null {
  for (const { key, line } of claims) {
    const { kid, notBefore, notAfter } = key
    const refuse = (code: ServiceCode) => new Refusal(code, undefined, { line, kid, notBefore, notAfter })
    if (notBefore !== null && now < notBefore.getTime()) return refuse('key_not_yet_valid')
    if (notAfter !== null && now >= notAfter.getTime()) return refuse('key_expired')
  }
  return null
}

async function wasAccepted(db: Db, header: BatchHeader): Promise<boolean> {
  const kept = await readKeptBatch(db, header, header.seq)
  return kept !== null && isSameBatch({ header }, kept)
}

/** Found without splitting the rest, which may be long and is not trusted yet. */
function firstLine(body: Uint8Array): string {
  const end = body.indexOf(0x0a)
  const line = end <= 0 ? null : fromUtf8(body.subarray(0, end))
  return line ?? splitBatch(body).header
}

function atHeader<T>(parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    // A body that is no list of lines has no line at fault.
    const isWhole: ErrorCode[] = ['batch_malformed', 'batch_too_large']
    throw isWhole.includes(error.code)
      ? error
      : new KillickError(error.code, error.message, { ...error.details, line: 1 })
  }
}
