// Opens what a recorder writes to, and says of what an earlier process left open that its outcome is unknown.
import { join } from 'node:path'
import { type AuditLog, openAuditLog } from '@killick/sdk'
import type { RecorderKind } from './event.ts'
import { FoundEvents, OpenIntents } from './open-intents.ts'
import { codeOf, type Sink } from './recording.ts'
import { recordUnknown } from './recover.ts'
import type { RecorderSettings } from './settings.ts'

/** The audit log of a recorder, and what is open in it. */
export type SessionRecorder = {
  readonly log: AuditLog
  readonly sink: Sink
  readonly open: OpenIntents
  /** Gives the ledger `limits.drainMs` to accept what is in the spool, says what is left, and closes both. */
  close(): Promise<void>
}

/**
 * Opens the log and the file of open intents.
 * @param fields names of the fields of their own that events of this recorder have
 * @param say tells people something: a line on stderr
 * @throws KillickError, e.g. `spool_locked`, `key_unsafe`; in strict mode what kept an unknown outcome from being recorded
 */
export async function openRecorder(
  kind: RecorderKind,
  settings: RecorderSettings,
  fields: readonly string[],
  say: (text: string) => void,
): Promise<SessionRecorder> {
  const { promise: ready, resolve } = Promise.withResolvers<OpenIntents>()
  const found = new FoundEvents(kind)
  let lastSaid = ''
  const log = await openAuditLog({
    url: settings.url,
    source: settings.source,
    key: settings.key,
    spool: settings.spool,
    ...(settings.logKey !== null && { logKey: settings.logKey }),
    fields: [...fields],
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
  })
  const sink = log as Sink
  try {
    const { worker } = log.status
    const file = join(settings.state, worker === null ? 'open.ndjson' : `open-${worker}.ndjson`)
    const { intents: open, left } = OpenIntents.open(file, found)
    resolve(open)
    await recover(kind, settings, left, { sink, open }, say)
    return {
      ...{ log, sink, open },
      async close() {
        const { pending } = await log.close({ timeoutMs: settings.limits.drainMs })
        if (pending > 0) say(`${pending} ${pending === 1 ? 'event waits' : 'events wait'} in the spool for the ledger`)
        open.close()
      },
    }
  } catch (error) {
    await log.close({ timeoutMs: 0 })
    throw error
  }
}

async function recover(
  kind: RecorderKind,
  { mode }: RecorderSettings,
  left: Parameters<typeof recordUnknown>[1],
  { sink, open }: { sink: Sink; open: OpenIntents },
  say: (text: string) => void,
): Promise<void> {
  if (left.length === 0) return
  say(`${left.length} requests or sessions of an earlier process have no outcome; they are recorded as unknown`)
  try {
    await recordUnknown(kind, left, sink, open)
  } catch (error) {
    if (mode === 'strict') throw error
    say(`not recorded (${codeOf(error)}), the next start tries again: ${(error as Error).message}`)
  }
}
