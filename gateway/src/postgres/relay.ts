// `killick-gateway postgres`: takes connections, and begins their sessions.
import { randomUUID, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createSecureContext } from 'node:tls'
import { addCertificateMetric, type ListenerPem, type RenewedCertificate, renewCertificate } from '../certificates.ts'
import { GatewayStartError } from '../errors.ts'
import type { SessionRecorder } from '../sessions/recorder.ts'
import { SessionRecording } from '../sessions/recording.ts'
import { openRecorderThread } from '../sessions/thread.ts'
import { startAdmin } from './admin.ts'
import { POSTGRES_FIELDS, type PostgresConfig } from './config.ts'
import { type DoorTls, farewell, meet, NO, type Visitor } from './door.ts'
import { cutName, loadParser, mayDeny } from './effects/index.ts'
import { type Identity, PostgresEvents, type PostgresFacts } from './events.ts'
import { type OwnError, printError } from './messages.ts'
import { makePostgresMetrics, type PostgresMetrics } from './metrics.ts'
import { passThrough } from './passthrough.ts'
import { RefusedConnections } from './refused.ts'
import { connectServer, offersTls, type ServerConnection, ServerUnreachable } from './server-connection.ts'
import { PostgresSession } from './session.ts'
import { decideStartup, settingsOf } from './startup-settings.ts'

/** A relay that takes connections. */
export type PostgresRelay = {
  readonly port: number
  /** Host and port. */
  readonly address: string
  /** Base URL of metrics and health; null where the configuration has none. */
  readonly adminUrl: string | null
  /** Takes no more connections, gives sessions `limits.graceMs` to end what they are in, and resolves when everything is recorded. */
  close(): Promise<void>
}

/**
 * Starts the relay.
 * @param say tells people something: a line on stderr
 * @throws GatewayStartError `gateway_start_failed` where it cannot listen; KillickError, e.g. `spool_locked`, `key_unsafe`; in strict mode what
 * kept an unknown outcome from being recorded
 */
export async function startPostgresRelay(config: PostgresConfig, say: (text: string) => void): Promise<PostgresRelay> {
  await loadParser()
  const recorder = await openRecorderThread({ kind: 'postgres', settings: config, fields: POSTGRES_FIELDS, say })
  try {
    const relay = new Relay(config, recorder, say)
    return await relay.start()
  } catch (error) {
    await recorder.close()
    throw error
  }
}

class Relay {
  readonly #config: PostgresConfig
  readonly #recorder: SessionRecorder
  readonly #say: (text: string) => void
  readonly #metrics: PostgresMetrics
  #tls: DoorTls
  /** The certificate that clients see, DER. */
  #certificate: Buffer | null = null
  readonly #renewed: RenewedCertificate | null
  readonly #sessions = new Set<{ ended: Promise<void>; isIdle: boolean; stop(): void }>()
  /** Connections that have not said yet what they want, the oldest first. */
  readonly #halfOpen = new Set<Socket>()
  readonly #byCancelKey = new Map<string, SessionRecording<PostgresFacts>>()
  /** For what belongs to no session. */
  readonly #refused: RefusedConnections
  #held = 0
  #isClosing = false
  #closed: Promise<void> | undefined

  constructor(config: PostgresConfig, recorder: SessionRecorder, say: (text: string) => void) {
    this.#config = config
    this.#recorder = recorder
    this.#say = say
    const { tls } = config
    this.#tls = null
    if (tls === null || tls === 'passthrough') {
      this.#tls = tls
      this.#renewed = null
    } else {
      this.#show(tls)
      this.#renewed = renewCertificate(tls, {
        read: () => ({ cert: readFileSync(tls.files.cert, 'utf8'), key: readFileSync(tls.files.key, 'utf8') }),
        ...{ use: (pem) => this.#show(pem), say },
      })
    }
    this.#metrics = makePostgresMetrics({
      status: () => recorder.status(),
      sessions: () => this.#sessions.size,
      held: () => this.#held,
    })
    if (this.#renewed !== null) addCertificateMetric(this.#metrics.registry, 'postgres', this.#renewed)
    this.#refused = new RefusedConnections((id, identity) => this.#recordingOf(id, identity).recording, this.#metrics)
  }

  /** From the next connection on. */
  #show({ cert, key }: ListenerPem): void {
    this.#tls = { context: createSecureContext({ cert, key }) }
    this.#certificate = new X509Certificate(cert).raw
  }

  async start(): Promise<PostgresRelay> {
    const server = createServer({ noDelay: true, keepAlive: true, allowHalfOpen: true }, (socket) => this.#take(socket))
    let admin: Awaited<ReturnType<typeof startAdmin>>
    try {
      await listen(server, this.#config.listen)
      admin = await startAdmin(this.#config.admin, this.#metrics.registry, () => this.#notReady())
    } catch (error) {
      this.#renewed?.stop()
      server.close()
      throw error
    }
    for (const line of aboutTls(this.#config)) this.#say(line)
    const { port } = server.address() as AddressInfo
    const address = `${this.#config.listen.host}:${port}`
    return { port, address, adminUrl: admin?.url ?? null, close: () => (this.#closed ??= this.#close(server, admin)) }
  }

  async #notReady(): Promise<string | null> {
    if (this.#isClosing) return 'The relay is being stopped.'
    const { state, lastError } = await this.#recorder.status()
    return state === 'halted' || state === 'closed' ? `Nothing can be recorded: ${lastError ?? state}` : null
  }

  #take(socket: Socket, tls: DoorTls = this.#tls): void {
    socket.on('error', () => {})
    if (this.#halfOpen.size >= this.#config.limits.halfOpen) {
      const [oldest] = this.#halfOpen
      this.#halfOpen.delete(oldest!)
      oldest!.destroy()
    }
    this.#halfOpen.add(socket)
    const address = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? '?'}`
    meet(socket, tls, this.#config.limits.startupMs)
      .finally(() => this.#halfOpen.delete(socket))
      .then(
        (visitor) => this.#serve(visitor, address),
        (error: Error) => {
          socket.destroy()
          this.#refused.note({ address }, { why: error.message })
        },
      )
      .catch((error: Error) => {
        socket.destroy()
        this.#say(`a connection was dropped: ${error.message}`)
      })
  }

  async #serve({ socket, isSecure, packet }: Visitor, address: string): Promise<void> {
    const isTls = packet.kind === 'tls' || packet.kind === 'tls_direct'
    const refuse = (error: OwnError) => {
      // In the middle of a handshake no word is read.
      farewell(socket, packet.kind === 'tls_direct' ? undefined : printError(error, 'FATAL'))
      this.#refused.note({ address, packet }, { code: error.code, why: error.why })
    }
    const { limits, tls } = this.#config
    if (this.#isClosing)
      return refuse({ code: 'postgres_draining', why: 'Connect again, and the session can begin elsewhere.' })
    if (packet.kind === 'cancel') return this.#cancel(socket, packet, address)
    if (this.#sessions.size >= limits.sessions)
      return refuse({ code: 'postgres_too_many_sessions', why: `limits.sessions is ${limits.sessions}.` })
    if (packet.kind === 'startup' && !isSecure && tls !== null && tls !== 'passthrough' && tls.require)
      return refuse({
        code: 'postgres_tls_required',
        why: 'tls.require is set.',
        hint: 'Set sslmode=require or stronger.',
      })
    const denial =
      packet.kind === 'startup'
        ? decideStartup(this.#config.policy, identityOf(packet.parameters, address), packet.parameters)
        : null
    if (denial !== null) return refuse({ code: 'postgres_denied', why: `${denial.rule}: ${denial.why}` })
    // Counted from now on, although the server has yet to be reached. Nobody waits for that where it is stopped.
    const place = {
      ended: new Promise<void>(() => {}),
      isIdle: true,
      stop: () => {
        socket.destroy()
        this.#sessions.delete(place)
      },
    }
    this.#sessions.add(place)
    try {
      const server = await connectServer(
        isTls ? { ...this.#config, server: { ...this.#config.server, tls: null } } : this.#config,
      )
      if (isTls) {
        // One that begins with TLS has asked nothing: servers before version 17 close the connection.
        if (packet.kind === 'tls_direct' || (await offersTls(server.socket, packet.packet, limits.startupMs))) {
          const begins = () => this.#sessions.delete(place)
          await this.#passThrough(socket as Socket, packet.packet, server.socket, address, begins)
        } else {
          // What the client says now can be read by anybody, so by this too.
          server.socket.destroy()
          socket.write(NO)
          this.#sessions.delete(place)
          this.#take(socket as Socket, null)
        }
      } else
        await this.#session({
          client: socket,
          isSecure,
          packet,
          server,
          address,
          begins: () => this.#sessions.delete(place),
        })
    } catch (error) {
      if (!(error instanceof ServerUnreachable)) throw error
      if (isTls) socket.destroy()
      refuse({ code: 'postgres_server_unreachable', why: error.message })
    } finally {
      this.#sessions.delete(place)
    }
  }

  async #session({
    client,
    isSecure,
    packet,
    server,
    address,
    begins,
  }: {
    client: Visitor['socket']
    isSecure: boolean
    packet: Extract<Visitor['packet'], { kind: 'startup' }>
    server: ServerConnection
    address: string
    begins: () => void
  }): Promise<void> {
    if (client.destroyed) return void server.socket.destroy()
    const id = randomUUID()
    const identity = identityOf(packet.parameters, address)
    const { events, recording } = this.#recordingOf(id, identity)
    const sets = settingsOf(packet.parameters)
    for (const [name, value] of sets) events.begins(name, value)
    const cancelKeys: string[] = []
    const { user: _, database: __, ...parameters } = packet.parameters
    const session = new PostgresSession({
      ...{ id, config: this.#config, identity, events, recording, client, server: server.socket },
      startup: { packet: packet.packet, parameters: { ...parameters, protocol: `3.${packet.version & 0xffff}` }, sets },
      tls: { client: isSecure, server: server.certificate !== null },
      keepsBinding:
        isSecure &&
        server.certificate !== null &&
        this.#certificate !== null &&
        server.certificate.equals(this.#certificate),
      hold: (bytes, inAnyCase) => this.#hold(bytes, inAnyCase),
      onCancelKey: (key) => {
        const name = key.toString('hex')
        cancelKeys.push(name)
        this.#byCancelKey.set(name, recording)
      },
      onRefused: (facts) => this.#refused.take(id, identity, facts),
    })
    begins()
    this.#sessions.add(session)
    this.#metrics.sessionsTotal.inc()
    await session.ended
    this.#sessions.delete(session)
    this.#metrics.count(session.counts, recording.unrecorded)
    // A pooler gives the next client the key of a connection that it keeps, while the end of this session is being recorded.
    for (const key of cancelKeys) if (this.#byCancelKey.get(key) === recording) this.#byCancelKey.delete(key)
    if (recording.unrecorded > 0) this.#say(`session ${id}: ${recording.unrecorded} events were not recorded`)
  }

  async #passThrough(
    client: Socket,
    packet: Buffer,
    server: Visitor['socket'],
    address: string,
    begins: () => void,
  ): Promise<void> {
    if (client.destroyed) return void server.destroy()
    const id = randomUUID()
    const { recording } = this.#recordingOf(id, { user: '', database: '', address })
    const ended = passThrough({ client, server, packet, recording, mode: this.#config.mode })
    const session = { ended, isIdle: true, stop: () => client.destroy() }
    begins()
    this.#sessions.add(session)
    await ended.finally(() => this.#sessions.delete(session))
  }

  /** Recorded before the server is told, whoever asks: the request shows no more than that it knows the key. */
  async #cancel(
    client: Visitor['socket'],
    packet: Extract<Visitor['packet'], { kind: 'cancel' }>,
    address: string,
  ): Promise<void> {
    const known = this.#byCancelKey.get(packet.packet.subarray(8).toString('hex'))
    if (known === undefined && !this.#refused.admitsCancel()) return farewell(client)
    const identity = { user: '', database: '', address }
    const recording = known ?? this.#recordingOf(randomUUID(), identity).recording
    const recorded = recording.record({
      action: 'cancel',
      known: { kind: 'intent', by: address, pid: packet.pid, isKnown: known !== undefined },
    })
    try {
      if (this.#config.mode === 'strict') await recorded
      const { socket } = await connectServer(this.#config)
      socket.end(packet.packet)
      socket.resume()
      const late = setTimeout(() => socket.destroy(), this.#config.limits.startupMs)
      await new Promise((resolve) => socket.once('close', resolve))
      clearTimeout(late)
    } catch {
      // A cancel request is never answered; that it was not passed on shows in what goes on.
    } finally {
      farewell(client)
    }
  }

  #recordingOf(id: string, identity: Identity): { events: PostgresEvents; recording: SessionRecording<PostgresFacts> } {
    const events = new PostgresEvents(this.#config, identity)
    const sink = this.#recorder
    const make = (facts: PostgresFacts) => events.facts(facts)
    return {
      events,
      recording: new SessionRecording({ kind: 'postgres', sink, make, say: this.#say, session: id }),
    }
  }

  #hold(bytes: number, inAnyCase = false): boolean {
    if (!inAnyCase && bytes > 0 && this.#held + bytes > this.#config.limits.heldBytes) return false
    this.#held += bytes
    return true
  }

  async #close(server: Server, admin: { close(): Promise<void> } | null): Promise<void> {
    this.#isClosing = true
    this.#renewed?.stop()
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    for (const socket of this.#halfOpen) socket.destroy()
    const deadline = performance.now() + this.#config.limits.graceMs
    while (this.#sessions.size > 0 && performance.now() < deadline) {
      for (const session of this.#sessions) if (session.isIdle) session.stop()
      await Promise.race([Promise.all([...this.#sessions].map(({ ended }) => ended)), sleep(20)])
    }
    for (const session of this.#sessions) session.stop()
    await Promise.all([...this.#sessions].map(({ ended }) => ended))
    await closed
    await this.#refused.close()
    await admin?.close()
    await this.#recorder.close()
  }
}

const identityOf = (
  { user, database, replication = '' }: Readonly<Record<string, string>>,
  address: string,
): Identity => ({
  // As the server has them.
  ...{ user: cutName(user!), address },
  // What copies the whole server is in no database, whatever it names: pg_hba.conf has this word for it.
  database: IS_TRUE.test(replication) ? 'replication' : cutName(database || user!),
})

/** What the server takes for true. */
const IS_TRUE = /^(?:t(?:r(?:ue?)?)?|y(?:es?)?|on|1)$/i

/** What does not work as it would without the relay, so that nobody has to find out. */
function aboutTls({ tls, server, policy }: PostgresConfig): string[] {
  if (tls === 'passthrough')
    return [
      `TLS passes through: of such connections only the beginning and the end are recorded${mayDeny(policy) ? ', and the policy does not apply to them' : ''}`,
    ]
  if (tls === null && server.tls === null) return []
  const ends = tls === null ? [] : ['TLS of clients ends here: the server sees no certificates of clients']
  if (server.tls === null) return ends
  const unless = tls === null ? '' : ', unless this relay has the certificate of the server'
  return [
    ...ends,
    `logins cannot be bound to TLS: SCRAM-SHA-256-PLUS is not offered${unless} (docs/guides/postgres.md)`,
  ]
}

function listen(server: Server, { host, port }: PostgresConfig['listen']): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(new GatewayStartError('gateway_start_failed', `Cannot listen on ${host}:${port}: ${error.message}`)),
    )
    server.listen(port, host, () => resolve())
  })
}
