// The first packets of a connection, before there are messages: what the client wants.
import { BodyReader, MessageFault } from './messages.ts'

const SSL_REQUEST = 80_877_103
const GSS_REQUEST = 80_877_104
const CANCEL_REQUEST = 80_877_102
/** As the server has it. */
const MAX_PACKET = 10_000
/** The first byte of a TLS handshake, for clients that begin with it. */
const TLS_HANDSHAKE = 0x16

/** What the first packet asks for. `packet`: its bytes. `rest`: what came behind it. */
export type FirstPacket = { readonly packet: Buffer; readonly rest: Buffer } & (
  | { readonly kind: 'tls' }
  | { readonly kind: 'gss' }
  /** A TLS handshake without asking first; `packet` is empty, and `rest` all that came. */
  | { readonly kind: 'tls_direct' }
  | { readonly kind: 'cancel'; readonly pid: number; readonly secret: Buffer }
  | { readonly kind: 'startup'; readonly version: number; readonly parameters: Readonly<Record<string, string>> }
)

/** @returns null while it is not complete @throws MessageFault if it cannot become one */
export function readFirstPacket(bytes: Buffer): FirstPacket | null {
  if (bytes[0] === TLS_HANDSHAKE) return { kind: 'tls_direct', packet: Buffer.alloc(0), rest: bytes }
  if (bytes.length < 4) return null
  const length = bytes.readInt32BE(0)
  if (length < 8 || length > MAX_PACKET)
    throw new MessageFault(`The first packet says that it is ${length} bytes long.`)
  if (bytes.length < length) return null
  const [packet, rest] = [bytes.subarray(0, length), bytes.subarray(length)]
  const code = packet.readInt32BE(4)
  if ((code === SSL_REQUEST || code === GSS_REQUEST) && length === 8)
    return { kind: code === SSL_REQUEST ? 'tls' : 'gss', packet, rest }
  if (code === CANCEL_REQUEST && length >= 16)
    return { kind: 'cancel', pid: packet.readInt32BE(8), secret: packet.subarray(12), packet, rest }
  if (code >> 16 !== 3)
    throw new MessageFault(`Version ${code >> 16}.${code & 0xffff} of the protocol is not spoken here.`)
  return { kind: 'startup', version: code, parameters: parametersOf(packet), packet, rest }
}

function parametersOf(packet: Buffer): Record<string, string> {
  const body = new BodyReader(packet, 8)
  const found: [string, string][] = []
  for (let name = body.text(); name.length > 0; name = body.text()) found.push([textOf(name), textOf(body.text())])
  body.done()
  if (!found.some(([name, value]) => name === 'user' && value !== ''))
    throw new MessageFault('The first packet names no user.')
  return Object.fromEntries(found)
}

const textOf = (bytes: Buffer): string => bytes.toString('utf8').toWellFormed()

/** What a client sends to ask for TLS. */
export const TLS_QUESTION = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])
