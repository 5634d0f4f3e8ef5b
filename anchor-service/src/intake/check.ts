import {
  type BatchHeader,
  type ErrorCode,
  fromUtf8,
  InvariantError,
  KillickError,
  nodePrimitives,
  parseBatchHeader,
  readBatch,
  type SourceRecord,
  SYSTEM,
  splitBatch,
} from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import { Refusal } from '../errors.ts'
import { type CheckedBatch, type Demands, isSameBatch } from '../ledger/packs/checked-batch.ts'
import { Packer } from '../ledger/packs/packer.ts'
import { keyUnknown, refusalOf } from '../ledger/registry/sources.ts'
import { readKeptBatch } from '../ledger/registry/streams.ts'
import { type Verifier, verifierOf } from '../verifier.ts'
import type { HeldCatalogue, HeldToCatalogues } from './catalogue-check.ts'
import type { Portion } from './checkers.ts'
import type { DecodedBody } from './decode.ts'
import type { KnownSource, KnownSources } from './known-sources.ts'
import { type LineSignature, readEvents } from './read-batch.ts'

/**
 * Everything about a batch that can be told before its turn in the log: keys and their validity, signatures, structure,
 * chain, digests, times, root. All or nothing. The header and its signature come first, so that only a registered source can
 * make the service look at the rest.
 *
 * @param known the known sources, and those held to a catalogue; a batch is never refused for something that may have changed since
 * @param since the version of the registry that must be known
 * @param now the service's clock in ms; keys are judged by it, not by what the batch claims
 * @param share which of the events' signatures to verify
 * @returns null if another thread builds the batch
 * @throws KillickError | Refusal, with the 1-based line at fault in `details.line`
 */
export async function checkBatch(
  body: DecodedBody,
  { sources, catalogues }: { sources: KnownSources; catalogues: HeldToCatalogues },
  db: Db,
  since: number,
  now: number,
  share: Portion,
): Promise<CheckedBatch | null> {
  const header = atHeader(() => parseBatchHeader(firstLine(body.text)))
  if (header.source === SYSTEM.source) throw new Refusal('source_reserved', undefined, { line: 1 })
  const known = await sources.read(header.source, since)
  const catalogue = catalogues.isHeld(header.source) ? await catalogues.read(header.source) : null
  try {
    return await checkAgainst(known, catalogue, body, header, db, now, share)
  } catch (error) {
    const newest = await sources.readAgain(header.source, since)
    if (newest.newest === known.newest) throw error
    return checkAgainst(newest, catalogue, body, header, db, now, share)
  }
}

async function checkAgainst(
  { source, newest }: KnownSource,
  catalogue: HeldCatalogue | null,
  body: DecodedBody,
  header: BatchHeader,
  db: Db,
  now: number,
  share: Portion,
): Promise<CheckedBatch | null> {
  const { text } = body
  const seen = new Seen(header.source, source, share)
  seen.check({ ...header.signature, line: 1 })
  if (seen.badLine !== null)
    throw new KillickError('signature_invalid', 'The header signature does not verify.', { line: 1 })

  const packer = new Packer(header)
  const events = readEvents(text, header, {
    event: (sketch, size) => share.index === 0 && packer.add(sketch, size),
    signature: (signature) => seen.check(signature),
    unsigned: (line) => seen.checkUnsigned(line),
    hidden(line) {
      seen.hiddenLine ??= line
    },
    ...(catalogue && { whole: (token, line) => seen.checkAction(catalogue, token(), header.stream, line) }),
  })
  if (events === null) refuse(text)
  const { kids, unsignedLine, hiddenLine } = seen
  const { earliest, latest } = events
  const demands: Demands = { kids, unsignedLine, hiddenLine, earliest, latest }
  const invalid = refusalOf(header.source, source, demands, now)
  // A batch that was accepted while its key was valid gets its receipt again, however late it is repeated.
  if (invalid !== null && !(await wasAccepted(db, header))) throw invalid
  if (seen.badLine !== null)
    throw new KillickError('signature_invalid', 'The event signature does not verify.', { line: seen.badLine })
  if (seen.misfit !== null && !(await wasAccepted(db, header))) throw seen.misfit
  if (share.index > 0) return null
  const judged = { ...demands, registered: newest, catalogue: catalogue?.newest ?? null }
  return packer.done(body, events, events.prev, judged)
}

/** Lets core's reader say what is wrong with a batch. @throws KillickError */
function refuse(text: Uint8Array): never {
  readBatch(text, () => {}, nodePrimitives)
  throw new InvariantError('intake cannot read a batch that core reads')
}

/** Checks the signatures of a batch as they come, so that none has to be kept, and notes what else its source must allow. */
class Seen {
  /** The first line whose signature does not verify; later lines are not reported. */
  badLine: number | null = null
  unsignedLine: number | null = null
  hiddenLine: number | null = null
  /** Why the first event of its share that does not fit the catalogue does not. */
  misfit: KillickError | null = null
  readonly kids = new Map<string, number>()
  readonly #name: string
  readonly #source: SourceRecord | undefined
  readonly #share: Portion
  readonly #verifiers = new Map<string, Verifier>()

  constructor(name: string, source: SourceRecord | undefined, share: Portion) {
    this.#name = name
    this.#source = source
    this.#share = share
  }

  /** @throws KillickError `key_unknown` */
  check({ alg, kid, input, bytes, line }: LineSignature): void {
    const verify = this.#verifiers.get(kid) ?? this.#take(kid, line)
    // The header, on line 1, is everybody's.
    const isMine = line === 1 || this.#isMine(line)
    if (isMine && this.badLine === null && !verify(alg, input, bytes)) this.badLine = line
  }

  checkAction(catalogue: HeldCatalogue, token: string, stream: string, line: number): void {
    if (this.#isMine(line)) this.misfit ??= catalogue.misfit(token, stream, line)
  }

  #isMine(line: number): boolean {
    return line % this.#share.of === this.#share.index
  }

  /** @throws Refusal `event_signature_required` */
  checkUnsigned(line: number): void {
    this.unsignedLine ??= line
    if (this.#source!.eventSignatures !== 'optional') throw new Refusal('event_signature_required', undefined, { line })
  }

  #take(kid: string, line: number): Verifier {
    const key = this.#source?.keys.get(kid)
    if (key === undefined) throw keyUnknown(this.#name, this.#source, kid, line)
    this.kids.set(kid, line)
    const verifier = verifierOf(key.jwk)
    this.#verifiers.set(kid, verifier)
    return verifier
  }
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
