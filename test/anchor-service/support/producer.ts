import { generateKeyPairSync, randomBytes, randomUUID, sign as signBytes } from 'node:crypto'
import {
  algOf,
  BATCH_MEDIA_TYPE,
  type EventInput,
  type Hash,
  leafHash,
  parseHash,
  parsePublicJwk,
  printBatch,
  printHash,
  type Signer,
  signBatchHeader,
  thumbprint,
  treeRoot,
  utf8,
} from '@killick/sdk/core'
import { draftEvent, placeEvent } from '../../../sdk/src/client/capture.ts'
import { saltText } from '../../../sdk/src/client/random.ts'
import { findSodium, sodiumSigner } from '../../../sdk/src/node/sodium.ts'

/** A signer with a new key. */
export function newSigner(curve: 'Ed25519' | 'P-256' | 'secp256k1' = 'Ed25519'): Signer {
  const { privateKey, publicKey } =
    curve === 'Ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: curve })
  const jwk = parsePublicJwk(publicKey.export({ format: 'jwk' }))
  const named = { jwk, kid: thumbprint(jwk), alg: algOf(jwk) }
  const sodium = curve === 'Ed25519' ? findSodium() : null
  // The same bytes, in a third of the time: ledgers have tens of thousands of events, each of them signed.
  if (sodium !== null) return { ...named, sign: sodiumSigner(sodium, privateKey) }
  const digest = curve === 'Ed25519' ? null : 'sha256'
  const sign = (message: Uint8Array) =>
    new Uint8Array(signBytes(digest, message, { key: privateKey, dsaEncoding: 'ieee-p1363' }))
  return { ...named, sign }
}

export const uuidv7 = (time = Date.now()): string => {
  const hex = time.toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7${randomUUID().slice(15)}`
}

export const sampleEvent = (i = 0): EventInput => ({
  action: 'invoice.approve',
  actor: { type: 'user', id: `u-${i % 3}`, name: 'Ada' },
  targets: [{ type: 'invoice', id: `inv-${i}` }],
})

/** Overrides of what a well-behaved producer would write. */
export type Twist = {
  signer?: Signer
  eventSigner?: Signer | null
  seq?: number
  prev?: Hash | undefined
  eventPrev?: Hash | undefined
  n?: number
  root?: Hash
  source?: string
  stream?: string
  /** When its i-th event was recorded, in ms. */
  times?: readonly number[]
}

/** A producer of batches that keeps the head of its stream, as the sdk's recorder does, whose way to make events is its own too. */
export class Producer {
  readonly source: string
  readonly stream: string
  readonly signer: Signer
  seq = 0
  prev: Hash | undefined
  eventPrev: Hash | undefined

  constructor(source: string, signer: Signer, stream = `s-${randomBytes(4).toString('hex')}`) {
    this.source = source
    this.signer = signer
    this.stream = stream
  }

  /** The next batch of the stream; `advance` moves the head, as if it had been accepted. */
  async batch(inputs: readonly EventInput[], twist: Twist = {}) {
    const signer = twist.signer ?? this.signer
    const source = twist.source ?? this.source
    const stream = twist.stream ?? this.stream
    const seq = twist.seq ?? this.seq
    let eventPrev = 'eventPrev' in twist ? twist.eventPrev : this.eventPrev
    const tokens: string[] = []
    const leaves: Hash[] = []
    for (const [i, input] of inputs.entries()) {
      const time = twist.times?.[i] ?? Date.now()
      const draft = draftEvent(input, { id: uuidv7(time), time, salt: saltText })
      const place = { source, stream, seq: seq + i, prev: eventPrev ? printHash(eventPrev) : null }
      const event = await placeEvent(draft, place, twist.eventSigner === null ? null : (twist.eventSigner ?? signer))
      eventPrev = parseHash(event.leafHash)!
      tokens.push(event.token)
      leaves.push(eventPrev)
    }
    const header = await signBatchHeader(
      {
        ...{ source, stream, seq, n: twist.n ?? inputs.length, root: twist.root ?? treeRoot(leaves), time: Date.now() },
        prev: 'prev' in twist ? twist.prev : this.prev,
      },
      signer,
    )
    const advance = () => {
      this.seq = seq + inputs.length
      this.prev = leafHash(utf8(header))
      this.eventPrev = eventPrev
    }
    return { header, tokens, leaves, body: printBatch(header, tokens), advance }
  }
}

/** Sends a body to `POST /v1/batches`. */
export async function post(
  url: string,
  body: string | Uint8Array<ArrayBuffer> | ReadableStream,
  headers: Record<string, string> = {},
) {
  const response = await fetch(`${url}/v1/batches`, {
    method: 'POST',
    headers: { 'content-type': BATCH_MEDIA_TYPE, ...headers },
    body,
  })
  return {
    status: response.status,
    headers: response.headers,
    json: (await response.json()) as Record<string, unknown>,
  }
}
