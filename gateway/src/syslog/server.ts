// Syslog over TLS (RFC 5425) and UDP (RFC 5426). Neither answers, so a sender never knows what became of a message: what cannot be
// recorded is counted and logged. Over TLS nothing more is read while the disk or the spool has to be waited for.
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { LISTENER_TLS, type ListenerPem } from '../certificates.ts'
import type { SyslogConfig } from '../config.ts'
import type { Authenticate, Authenticated } from '../emitters.ts'
import { GatewayRefusal } from '../errors.ts'
import { toGatewayProblem } from '../http/problems.ts'
import { type MappingConfig, mapInput } from '../receivers/mapping.ts'
import type { EmitterRecording } from '../recording.ts'
import { readMessage } from './message.ts'

/** What a message becomes where the configuration names no mapping. */
const STANDARD: MappingConfig = {
  ...{ items: '', id: null, source: null, signed: null },
  event: {
    action: "syslog.{/app|'message'}",
    actor: { type: 'host', id: "{/host|'unknown'}" },
    targets: [{ type: 'process', id: "{/app|'unknown'}" }],
    occurredAt: '{/timestamp?}',
    metadata: { upstream: 'unsigned', syslog: '{}' },
  },
}

/** Longest message. RFC 5425 asks for 2,048 bytes at least. */
const MAX_MESSAGE = 65_536
/** Digits of a length, with the space behind. */
const MAX_LENGTH = 6
/**
 * How long a connection may be silent until the system asks whether its peer is there, ms. One that lives may be silent for as long as it
 * likes: a sender that finds its connection ended has lost the message that it found it with.
 */
const ALIVE_MS = 60_000
/** Messages over UDP that may wait for the disk; more are dropped and counted, as the network does. */
const MAX_WAITING = 1000
/** How long to wait for room before it is looked for again, ms. */
const PATIENCE_MS = 500

export type SyslogParts = {
  readonly config: SyslogConfig
  readonly mapping: MappingConfig | null
  readonly tls: ListenerPem | null
  readonly udp: Authenticated
  readonly authenticate: Authenticate
  readonly recording: EmitterRecording
  /** Told of each message that was not recorded. */
  readonly refused: (error: unknown, emitter: string) => void
}

export type SyslogServer = {
  readonly udpPort: number | null
  readonly tlsPort: number | null
  /** Shows another certificate, from the next connection on. */
  renew(pem: ListenerPem): void
  close(): Promise<void>
}

export async function startSyslog(parts: SyslogParts): Promise<SyslogServer> {
  const { host, udpPort, tlsPort } = parts.config
  const underWay = new Set<Promise<void>>()
  let isClosing = false
  const take: Take = (bytes, who) => {
    const taken = record(parts, bytes, who, () => who.auth !== 'none' && !isClosing)
    underWay.add(taken)
    return taken.finally(() => underWay.delete(taken))
  }
  const udp = udpPort === null ? null : await listenUdp(host, udpPort)
  udp?.on('message', (bytes) => {
    if (underWay.size < MAX_WAITING) take(bytes, parts.udp)
    else parts.refused(new GatewayRefusal('emitter_busy'), parts.udp.emitter.name)
  })
  const connections = new Set<TLSSocket>()
  const tls = tlsPort === null ? null : await listenTls(parts, host, tlsPort, connections, take)
  return {
    udpPort: udp === null ? null : udp.address().port,
    tlsPort: tls === null ? null : (tls.address() as AddressInfo).port,
    renew: (pem) => tls?.setSecureContext({ ...pem, ...LISTENER_TLS }),
    async close() {
      isClosing = true
      udp?.close()
      tls?.close()
      for (const connection of connections) connection.end()
      await Promise.all(underWay)
      for (const connection of connections) connection.destroy()
    },
  }
}

type Take = (bytes: Buffer, who: Authenticated) => Promise<void>

/** @param isPatient whether a spool or a disk without room is waited for: the sender cannot be told to send again */
async function record(
  { mapping, recording, refused }: SyslogParts,
  bytes: Buffer,
  who: Authenticated,
  isPatient: () => boolean,
): Promise<void> {
  for (;;) {
    try {
      await recording.record(mapInput(mapping ?? STANDARD, readMessage(bytes), {}), who, 'syslog', bytes.length)
      return
    } catch (error) {
      if (toGatewayProblem(error).status !== 503 || !isPatient()) {
        refused(error, who.emitter.name)
        return
      }
      await sleep(PATIENCE_MS)
    }
  }
}

function listenUdp(host: string, port: number): Promise<UdpSocket> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.bind(port, host, () => {
      socket.removeListener('error', reject)
      // A message too long for its packet, and such: the next one is another.
      socket.on('error', () => {})
      resolve(socket)
    })
  })
}

function listenTls(
  { tls, authenticate, refused }: SyslogParts,
  host: string,
  port: number,
  connections: Set<TLSSocket>,
  take: Take,
): Promise<Server> {
  const server = createServer(
    {
      ...{ ...tls, ...LISTENER_TLS, requestCert: true, rejectUnauthorized: true },
      ...{ keepAlive: true, keepAliveInitialDelay: ALIVE_MS },
    },
    (socket) => {
      connections.add(socket)
      socket.on('error', () => {})
      readFrames(socket, authenticate, take)
        .catch((error) => refused(error, ''))
        .finally(() => {
          connections.delete(socket)
          socket.destroy()
        })
    },
  )
  server.on('tlsClientError', () => refused(new GatewayRefusal('emitter_unknown'), ''))
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => resolve(server))
  })
}

/** RFC 5425 §4.3: the length in decimal digits, a space, and so many bytes. */
async function readFrames(socket: TLSSocket, authenticate: Authenticate, take: Take): Promise<void> {
  const who = authenticate({ headers: {}, socket }, false)
  let data: Buffer = Buffer.alloc(0)
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    data = data.length === 0 ? chunk : Buffer.concat([data, chunk])
    const waiting: Promise<void>[] = []
    for (;;) {
      const [digits, length] = /^([1-9]\d{0,4}) /.exec(data.toString('latin1', 0, MAX_LENGTH)) ?? []
      if (digits === undefined && data.length >= MAX_LENGTH)
        throw new GatewayRefusal('collect_input_invalid', 'A frame must begin with its length and a space.')
      if (Number(length) > MAX_MESSAGE) throw new GatewayRefusal('collect_body_too_large')
      if (digits === undefined || data.length < digits.length + Number(length)) break
      waiting.push(take(data.subarray(digits.length, digits.length + Number(length)), who))
      data = data.subarray(digits.length + Number(length))
    }
    await Promise.all(waiting)
  }
  if (data.length > 0) throw new GatewayRefusal('collect_input_invalid', 'The connection ended within a frame.')
}
