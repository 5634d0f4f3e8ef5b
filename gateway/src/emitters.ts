import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { PeerCertificate, TLSSocket } from 'node:tls'
import type { EmitterConfig } from './config.ts'
import { GatewayRefusal } from './errors.ts'

/** How an emitter showed who it is; what the event says of it. */
export type Authenticated = {
  readonly emitter: EmitterConfig
  readonly auth: 'key' | 'certificate' | 'socket' | 'file' | 'hmac' | 'none'
  /** The key's prefix, or the certificate's SHA-256 fingerprint in hex; null for others. */
  readonly credential: string | null
}

const PREFIX_CHARACTERS = 'abcdefghijklmnopqrstuvwxyz0123456789'
/** 32 bytes of base64url: nobody guesses it, so one round of SHA-256 hides it as well as many. */
const KEY = /^kgw_([a-z0-9]{8})_[\w-]{43}$/

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest()

/** A new key for an emitter: `key` is shown once and given to the emitter, `entry` goes into the configuration. */
export function makeEmitterKey(): { key: string; entry: string } {
  const prefix = Array.from(randomBytes(8), (byte) => PREFIX_CHARACTERS[byte % PREFIX_CHARACTERS.length]).join('')
  const key = `kgw_${prefix}_${randomBytes(32).toString('base64url')}`
  return { key, entry: `${prefix}:${sha256(key).toString('hex')}` }
}

/** Finds out who sends a request. */
export type Authenticate = (request: Pick<IncomingMessage, 'headers' | 'socket'>, isSocket: boolean) => Authenticated

/**
 * A key comes first, then a client certificate, then the socket: whoever shows a key means to be that emitter.
 * @returns a function that throws GatewayRefusal `emitter_unknown`
 */
export function authenticator(emitters: readonly EmitterConfig[]): Authenticate {
  const byKey = new Map<string, { emitter: EmitterConfig; hash: Buffer }>()
  const byCertificate = new Map<string, EmitterConfig>()
  for (const emitter of emitters) {
    for (const entry of emitter.keys)
      byKey.set(entry.slice(0, 8), { emitter, hash: Buffer.from(entry.slice(9), 'hex') })
    for (const name of emitter.certificates) byCertificate.set(name.toLowerCase(), emitter)
  }
  const ofSocket = emitters.find(({ socket }) => socket)

  function ofKey(key: string): Authenticated {
    const prefix = KEY.exec(key)?.[1]
    const known = prefix === undefined ? undefined : byKey.get(prefix)
    if (known === undefined || !timingSafeEqual(sha256(key), known.hash))
      throw new GatewayRefusal('emitter_unknown', 'The key is not one that the collector knows.')
    return { emitter: known.emitter, auth: 'key', credential: prefix! }
  }

  function identify(header: string | undefined, socket: TLSSocket, isSocket: boolean): Authenticated {
    const key = keyIn(header)
    if (key !== null) return ofKey(key)
    const certificate = certificateOf(socket)
    if (certificate !== null) {
      const emitter = namesOf(certificate)
        .map((name) => byCertificate.get(name))
        .find((it) => it !== undefined)
      if (emitter === undefined)
        throw new GatewayRefusal('emitter_unknown', 'The client certificate is not one that the collector knows.')
      return { emitter, auth: 'certificate', credential: fingerprint(certificate) }
    }
    if (isSocket && ofSocket !== undefined) return { emitter: ofSocket, auth: 'socket', credential: null }
    throw new GatewayRefusal('emitter_unknown')
  }

  /** A connection shows the same thing again and again. */
  const last = new WeakMap<object, { header: string | undefined; who: Authenticated }>()
  return ({ headers: { authorization: header }, socket }, isSocket) => {
    const before = last.get(socket)
    if (before !== undefined && before.header === header) return before.who
    const who = identify(header, socket as TLSSocket, isSocket)
    last.set(socket, { header, who })
    return who
  }
}

/** The key of `Authorization: Bearer <key>`, or the password of `Basic`, for senders that can do nothing else. */
function keyIn(header: string | undefined): string | null {
  const [, scheme, value] = /^(Bearer|Basic) +(\S+)$/i.exec(header ?? '') ?? []
  if (value === undefined) return header === undefined ? null : ''
  if (scheme!.toLowerCase() === 'bearer') return value
  const text = Buffer.from(value, 'base64').toString('latin1')
  return text.slice(text.indexOf(':') + 1)
}

/** The client's certificate, if there is one and somebody signed it who may. */
function certificateOf(socket: TLSSocket): PeerCertificate | null {
  if (socket.authorized !== true) return null
  const certificate = socket.getPeerCertificate()
  return Object.keys(certificate).length === 0 ? null : certificate
}

const fingerprint = ({ fingerprint256 }: PeerCertificate): string => fingerprint256.replaceAll(':', '').toLowerCase()

/** Node prints alternative names as `DNS:a, URI:b`, and quotes those that could be mistaken for several. */
function namesOf(certificate: PeerCertificate): string[] {
  const names = (certificate.subjectaltname ?? '').split(', ').flatMap((entry) => {
    const [, kind, value] = /^(DNS|URI):([^"\s,]+)$/.exec(entry) ?? []
    return value === undefined ? [] : [`${kind!.toLowerCase()}:${value.toLowerCase()}`]
  })
  return [`sha256:${fingerprint(certificate)}`, ...names]
}

/** Whether a list of names has this one; an entry that ends in `*` stands for everything that begins so. */
export const allows = (list: readonly string[], name: string): boolean =>
  list.some((entry) => (entry.endsWith('*') ? name.startsWith(entry.slice(0, -1)) : entry === name))
