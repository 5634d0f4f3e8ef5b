// A connection whose TLS goes through to the server: nobody here can look into it, so only its beginning and its end are recorded.
import type { Socket } from 'node:net'
import { type Duplex, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { SessionRecording } from '../sessions/recording.ts'
import { notRecorded } from './asking.ts'
import { farewell } from './door.ts'
import type { PostgresFacts } from './events.ts'
import { printError } from './messages.ts'
import { LINGER_MS } from './session.ts'

/**
 * Resolves when the connection is over.
 * @param parts `packet` is the client's question for TLS, to which the server has said yes; empty where it begins without one
 */
export async function passThrough({
  client,
  server,
  packet,
  recording,
  mode,
}: {
  client: Socket
  server: Duplex
  packet: Buffer
  recording: SessionRecording<PostgresFacts>
  mode: 'strict' | 'observe'
}): Promise<void> {
  const begun = recording.begin({ action: 'session.start', known: { kind: 'intent', isPassedThrough: true } })
  try {
    if (mode === 'strict') await begun
  } catch (error) {
    // In the middle of a handshake no word is read.
    farewell(client, packet.length === 0 ? undefined : printError(notRecorded(error), 'FATAL'))
    server.destroy()
    return
  }
  const counts = { bytesFromClient: packet.length, bytesFromServer: 0 }
  const counted = (name: keyof typeof counts) =>
    new Transform({
      transform(chunk: Buffer, _, done) {
        counts[name] += chunk.length
        done(null, chunk)
      },
    })
  await Promise.allSettled([
    pipeline(client, counted('bytesFromClient'), server),
    // A client that stays although its server has left would keep its place for ever.
    pipeline(server, counted('bytesFromServer'), client).finally(
      () => void setTimeout(() => client.destroy(), LINGER_MS).unref(),
    ),
  ])
  client.destroy()
  server.destroy()
  recording.end(
    begun.catch(() => null),
    { action: 'session.end', known: { kind: 'outcome', ...counts } },
  )
  await recording.settled()
}
