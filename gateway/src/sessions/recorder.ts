// Opens what a recorder writes to, and says of what an earlier process left open that its outcome is unknown.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type AuditLog, type AuditLogStatus, openAuditLog, type Recorded } from '@killick/sdk'
import type { JsonObject } from '@killick/sdk/core'
import type { RecordOptions } from '@killick/sdk/sealing'
import { type EventSealing, endedBy, openSealing, recorderItself } from '../sealed/sealing.ts'
import { DETAILS, eventOf, type RecordedEvent, type RecorderKind } from './event.ts'
import { FoundEvents, OpenIntents } from './open-intents.ts'
import { codeOf, type Durable, type Sink, type ToRecord } from './recording.ts'
import { recordUnknown } from './recover.ts'
import { placeOf, type RecorderSettings } from './settings.ts'

/** The audit log of a recorder, and what is open in it. */
export type SessionRecorder = Sink & {
  status(): Promise<RecorderStatus>
  /** Gives the ledger `limits.drainMs` to accept what is in the spool, says what is left, and closes everything. */
  close(): Promise<void>
}

/** What `/metrics` and `/readyz` say of a recorder. */
export type RecorderStatus = Pick<AuditLogStatus, 'state' | 'pending' | 'spoolBytes' | 'retries'> & {
  /** Why the last attempt to send failed; null if it did not. */
  readonly lastError: string | null
}

/** Whether there is anything left that could record. Where there is not, only another start helps. */
export const canRecord = ({ state }: RecorderStatus): boolean => state !== 'closed'

/** What a recorder is opened with. */
export type RecorderParts = {
  readonly kind: RecorderKind
  readonly settings: RecorderSettings
  /** Names of the fields of their own that events of this recorder have. */
  readonly fields: readonly string[]
  /** Tells people something: a line on stderr. */
  readonly say: (text: string) => void
}

/**
 * Opens the log and the file of open intents. Where recorders share a folder of spools, it also ends what others have left that were killed.
 * @param hasThread whether the calling thread does nothing else
 * @throws KillickError, e.g. `spool_locked`, `key_unsafe`; in strict mode what kept an unknown outcome from being recorded
 */
export async function openRecorder(parts: RecorderParts, hasThread = false): Promise<SessionRecorder> {
  const { recorder, worker } = await openOne(parts, { hasThread, place: null })
  if (worker === null) return recorder
  const left = takeOver(parts, worker)
  return {
    ...recorder,
    async close() {
      await left.stop()
      await recorder.close()
    },
  }
}

/** @param place the number of a recorder that has ended, and is gone on for; null: this one's own */
async function openOne(
  parts: RecorderParts,
  { hasThread, place }: { hasThread: boolean; place: number | null },
): Promise<{ recorder: SessionRecorder; worker: number | null }> {
  const { kind, settings, say } = parts
  const sealing = await sealingOf(parts)
  const { promise: ready, resolve } = Promise.withResolvers<OpenIntents>()
  const found = new FoundEvents(kind)
  const log = await openLog(parts, { found, ready, hasThread, sealing, place }).catch(async (error) => {
    await sealing?.close()
    throw error
  })
  try {
    const { worker } = log.status
    const file = join(settings.state, openFile(place ?? worker))
    const { intents: open, left } = OpenIntents.open(file, found, isActorSealed(settings))
    resolve(open)
    await recover(parts, left, log, open, sealing)
    const recorder: SessionRecorder = {
      record: (it) => record(it, parts, log, open),
      async status() {
        const { state, pending, spoolBytes, retries, lastError } = log.status
        return { state, pending, spoolBytes, retries, lastError: lastError?.message ?? null }
      },
      async close() {
        const { pending } = await log.close({ timeoutMs: settings.limits.drainMs })
        if (pending > 0) say(`${pending} ${pending === 1 ? 'event waits' : 'events wait'} in the spool for the ledger`)
        open.close()
        await sealing?.close()
      },
    }
    return { recorder, worker }
  } catch (error) {
    await log.close({ timeoutMs: 0 })
    await sealing?.close()
    throw error
  }
}

const openFile = (worker: number | null): string => (worker === null ? 'open.ndjson' : `open-${worker}.ndjson`)

/**
 * Goes on for recorders that were killed, one after another: nobody may ever start in their places, and only whoever has a recorder's spool
 * and its file of open intents together can tell what has no outcome.
 */
function takeOver(parts: RecorderParts, own: number): { stop(): Promise<void> } {
  const { settings, say } = parts
  let isStopped = false
  const all = async () => {
    for (const place of await placesIn(settings.state)) {
      if (isStopped) return
      if (place === own) continue
      try {
        const { recorder } = await openOne(parts, { hasThread: false, place })
        await recorder.close()
      } catch (error) {
        // Somebody holds the spool, so nobody has left it.
        if ((error as { code?: string }).code !== 'spool_locked')
          say(`what recorder ${place} left stays as it is: ${(error as Error).message}`)
      }
    }
  }
  const running = all().catch((error: Error) => say(`what other recorders left stays as it is: ${error.message}`))
  return {
    async stop() {
      isStopped = true
      await running
    },
  }
}

/** Numbers of recorders, those that live too: each has a file of open intents from its start on. */
async function placesIn(state: string): Promise<number[]> {
  const numbers = (await readdir(state)).map((name) => /^open-(\d+)\.ndjson$/.exec(name)?.[1])
  return numbers.flatMap((number) => (number === undefined ? [] : [Number(number)])).sort((a, b) => a - b)
}

/** Takes the fields that this recorder has declared. */
type RecorderLog = Omit<AuditLog, 'record'> & {
  record(event: RecordedEvent, options?: RecordOptions): Promise<Recorded>
}

function openLog(
  { settings, fields, say }: RecorderParts,
  {
    found,
    ready,
    hasThread,
    sealing,
    place,
  }: {
    found: FoundEvents
    ready: Promise<OpenIntents>
    hasThread: boolean
    sealing: EventSealing | null
    place: number | null
  },
): Promise<RecorderLog> {
  let lastSaid = ''
  return openAuditLog({
    url: settings.url,
    source: settings.source,
    key: settings.key,
    // Of a recorder that is gone on for, the stream ends.
    ...(place === null ? { spool: settings.spool } : { spool: placeOf(settings.spool, place), endStream: true }),
    ...(settings.logKey !== null && { logKey: settings.logKey }),
    fields: [...fields, DETAILS],
    ...(sealing !== null && { sealing: sealing.sealer, sealed: [...settings.sealed!.fields] as 'actor'[] }),
    ownThread: hasThread,
    maxSpoolBytes: settings.limits.spoolBytes,
    spoolWaitMs: settings.limits.spoolWaitMs,
    onFound: (event) => found.take(event),
    // An event may leave the spool once the ledger has it; by then it must be known elsewhere that its intent is open.
    fetch: async (...request) => {
      await (await ready).sync()
      return fetch(...request)
    },
    onError: (error, during) => {
      if (during === 'record' || error.message === lastSaid) return
      lastSaid = error.message
      say(`not sent to the ledger so far: ${error.message}`)
    },
    onPin: (logKey) => say(`took the key of the log from the service; set logKey to pin it: ${logKey}`),
  }) as Promise<RecorderLog>
}

async function record(
  { session, facts, isOpen, ends }: ToRecord,
  { kind, settings }: RecorderParts,
  log: RecorderLog,
  open: OpenIntents,
): Promise<Durable> {
  const event = eventOf(kind, session, settings, facts)
  const { id } = await log.record(event)
  if (isOpen) open.begun(begunBy(id, session, isActorSealed(settings) ? null : event.actor, event))
  for (const ended of ends) open.ended(ended)
  return { id }
}

const isActorSealed = ({ sealed }: RecorderSettings): boolean => sealed?.fields.includes('actor') === true

/** An end says what has happened, whatever becomes of its fields; anything else can still be refused. */
async function sealingOf({ kind, settings, say }: RecorderParts): Promise<EventSealing | null> {
  const { sealed, source } = settings
  return sealed && openSealing(sealed, { source, kind, say, withholds: (known) => endedBy(known).length > 0 })
}

const begunBy = (
  id: string,
  session: string,
  actor: RecordedEvent['actor'] | null,
  { action, targets }: RecordedEvent,
) => ({
  ...{ event: id, action, session },
  ...{ actor: actor as unknown as JsonObject | null, targets: (targets ?? []) as unknown as JsonObject[] },
})

async function recover(
  { kind, settings: { mode, source }, say }: RecorderParts,
  left: Parameters<typeof recordUnknown>[1],
  log: RecorderLog,
  open: OpenIntents,
  sealing: EventSealing | null,
): Promise<void> {
  if (left.length === 0) return
  say(`${left.length} requests or sessions of an earlier process have no outcome; they are recorded as unknown`)
  try {
    await recordUnknown(kind, left, log, open, { itself: recorderItself(source), options: sealing?.nobody })
  } catch (error) {
    if (mode === 'strict') throw error
    say(`not recorded (${codeOf(error)}), the next start tries again: ${(error as Error).message}`)
  }
}
