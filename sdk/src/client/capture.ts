// Makes the same event tokens as core's `makeEvent`, byte for byte (a test compares the two), with node:crypto and in two steps:
// a draft when record() is called, and the signed event once the event's place in the stream is known.
import crypto from 'node:crypto'
import { isBytes } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { EVENT_TYP, MAX_EVENT_BYTES } from '../core/event.ts'
import { checkEventInput } from '../core/fields.ts'
import type { Signer } from '../core/signature.ts'

// Not imported by its name: where that is missing, nothing could say so (../node/version.ts).
const { hash } = crypto

/** An event without its place. The caller can no longer change it by changing the input. */
export type Draft = { id: string; time: number; disclosures: string; digests: string[] }

/** Hashes are base64url text, since the next event names this one that way. `prev` is null for the first event. */
export type StreamPlace = { source: string; stream: string; seq: number; prev: string | null }

/** An event ready to be stored at its place. */
export type SignedEvent = { token: string; leafHash: string; seq: number; prev: string | null }

// Reused for each short text, so that none becomes garbage.
const scratch = Buffer.alloc(16_384)
/** Longest text that fits; a character has at most three bytes. */
const FITS = 5_461

const base64url = (text: string): string =>
  text.length > FITS
    ? Buffer.from(text, 'utf8').toString('base64url')
    : scratch.toString('base64url', 0, scratch.write(text, 'utf8'))

// node:crypto, which is faster than core's portable hash: docs/decisions/0008-native-cryptography.md.
const digestOf = (disclosure: string): string => hash('sha256', disclosure, 'base64url')

/** Leaf hash of the JWS of an event, base64url. */
export const leafHashOf = (leaf: string): string => hash('sha256', `\0${leaf}`, 'base64url')

/**
 * @param declared names of fields beyond those of the protocol; null: any
 * @throws KillickError `field_invalid`, which names the field at fault; nothing has been recorded then
 */
export function draftEvent(
  input: unknown,
  mint: { id: string; time: number; salt: () => string },
  declared: ReadonlySet<string> | null = null,
): Draft {
  return draftOf(checkEventInput(input, declared), mint)
}

/** The draft of fields that were checked. */
export function draftOf(
  fields: readonly (readonly [string, unknown])[],
  mint: { id: string; time: number; salt: () => string },
): Draft {
  // One for all arrays or objects, as an old library adds, would have something else signed than was checked: the ledger refuses
  // that for ever, and with it all that follows in the stream.
  if ('toJSON' in Array.prototype)
    throw new KillickError(
      'field_invalid',
      'Array.prototype or Object.prototype has a toJSON, so JSON.stringify() makes something else of every event',
      { field: '' },
    )
  let disclosures = '~'
  const digests: string[] = []
  for (const [name, value] of fields) {
    const disclosure = base64url(JSON.stringify([mint.salt(), name, value]))
    disclosures += `${disclosure}~`
    digests.push(digestOf(disclosure))
  }
  return { id: mint.id, time: mint.time, disclosures, digests: digests.sort() }
}

/**
 * Puts a draft at its place and signs it; synchronously if the signer answers synchronously. Without a signer the event is
 * unsigned, for sources registered with `eventSignatures: optional`.
 * @throws KillickError `event_too_large`.
 */
export function placeEvent(
  draft: Draft,
  place: StreamPlace,
  signer: Signer | null,
): SignedEvent | Promise<SignedEvent> {
  const payload = base64url(
    JSON.stringify({
      iss: place.source,
      stm: place.stream,
      seq: place.seq,
      ...(place.prev !== null && { prev: place.prev }),
      jti: draft.id,
      iat: draft.time / 1000,
      _sd: draft.digests,
      _sd_alg: 'sha-256',
    }),
  )
  const withLeaf = (leaf: string): SignedEvent => {
    const token = leaf + draft.disclosures
    if (token.length > MAX_EVENT_BYTES)
      throw new KillickError(
        'event_too_large',
        `The event has ${token.length} bytes; at most ${MAX_EVENT_BYTES} are allowed`,
      )
    return { token, leafHash: leafHashOf(leaf), seq: place.seq, prev: place.prev }
  }
  if (signer === null) return withLeaf(payload)
  const input = `${headerOf(signer)}.${payload}`
  const signature = signer.sign(Buffer.from(input, 'latin1'))
  const finish = (bytes: Uint8Array) => withLeaf(`${input}.${Buffer.from(bytes).toString('base64url')}`)
  return isBytes(signature) ? finish(signature) : signature.then(finish)
}

const headers = new WeakMap<Signer, string>()

function headerOf(signer: Signer): string {
  let header = headers.get(signer)
  if (header === undefined) {
    header = base64url(JSON.stringify({ alg: signer.alg, typ: EVENT_TYP, kid: signer.kid }))
    headers.set(signer, header)
  }
  return header
}
