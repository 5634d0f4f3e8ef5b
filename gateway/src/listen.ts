// Where a part of the gateway listens: a port, with TLS or without, and a unix socket.
import type { Members } from './members.ts'

/** What `listen` of a configuration says; the configurations' own types say what it means to them. */
export type ListenSettings = {
  host: string
  port: number | null
  tls: { cert: string; key: string; clientCa: string | null; clientRequired: boolean } | null
  socket: string | null
  socketMode: number
}

/** Reads `listen`. @param path makes a path of the configuration absolute */
export function listenOf(listen: Members, path: (text: string | null) => string | null): ListenSettings {
  const tls = listen.has('tls') ? listen.object('tls') : null
  const mode = listen.text('socketMode', /^[0-7]{3}$/, 'must be three octal digits, such as "660"', '660')
  const made: ListenSettings = {
    host: listen.text('host', /./, 'must not be empty', '127.0.0.1'),
    port: listen.has('port') ? listen.integer('port', 0, 0, 65_535) : null,
    tls: tls && {
      cert: path(tls.text('cert'))!,
      key: path(tls.text('key'))!,
      clientCa: path(tls.optional('clientCa')),
      clientRequired: tls.flag('clientRequired'),
    },
    socket: path(listen.optional('socket')),
    socketMode: Number.parseInt(mode, 8),
  }
  if (made.tls?.clientRequired && made.tls.clientCa === null) tls!.fault('clientRequired', 'needs clientCa')
  if (made.tls !== null && made.port === null) listen.fault('tls', 'needs a port')
  tls?.done()
  listen.done()
  return made
}
