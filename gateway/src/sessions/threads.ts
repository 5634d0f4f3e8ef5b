// Several recorders, each on a thread of its own: a stream is signed by one thread, and while that one waits for the disk, the others sign.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { RecorderParts, RecorderStatus, SessionRecorder } from './recorder.ts'
import type { Sink } from './recording.ts'
import type { ThreadedSettings } from './settings.ts'
import { openRecorderThread } from './thread.ts'

/** Recorders that share a configuration. */
export type RecorderThreads = Pick<SessionRecorder, 'status' | 'close'> & {
  /** Where the next session records all of its events: what has a beginning and an end belongs to one recorder. They take turns. */
  next(): Sink
}

/**
 * Opens `settings.threads` recorders, and one for each spool beyond those in which an earlier process may have left events.
 * @throws as `openRecorder`; then none of them is open
 */
export async function openRecorderThreads({
  settings,
  say,
  ...parts
}: Omit<RecorderParts, 'thread' | 'settings'> & { settings: ThreadedSettings }): Promise<RecorderThreads> {
  const count = Math.max(settings.threads, ...spoolsIn(settings.spool))
  const sayOnce = speaker(say)
  const spoolBytes = Math.max(MIN_SPOOL_BYTES, Math.floor(settings.limits.spoolBytes / count))
  const opening = Array.from({ length: count }, (_, i) =>
    openRecorderThread({
      ...parts,
      thread: i + 1,
      settings: { ...settings, spool: spoolOf(settings.spool, i + 1), limits: { ...settings.limits, spoolBytes } },
      say: (text) => sayOnce(i, text),
    }),
  )
  const opened = await Promise.allSettled(opening)
  const recorders = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  const close = async () => throwFirst(await Promise.allSettled(recorders.map((recorder) => recorder.close())))
  if (recorders.length < count) await close().catch(() => {})
  throwFirst(opened)
  let turn = 0
  return {
    next: () => recorders[turn++ % recorders.length]!,
    status: async () => together(await Promise.all(recorders.map((recorder) => recorder.status()))),
    close,
  }
}

/** As little as a spool may have, bytes. */
const MIN_SPOOL_BYTES = 1 << 20

/** The first thread has the configured folder; the others have one in it each, named for their number, so that whoever keeps the one keeps all. */
const spoolOf = (spool: string, thread: number): string => (thread === 1 ? spool : join(spool, `${thread}`))

/** Numbers of the threads whose spools are there. */
function spoolsIn(spool: string): number[] {
  try {
    return readdirSync(spool)
      .filter((name) => /^([2-9]|1\d)$/.test(name))
      .map(Number)
  } catch {
    // There is none yet; what else is wrong with it, the recorder says that opens it.
    return []
  }
}

/** What two recorders say alike, such as that the ledger cannot be reached, is said once. */
function speaker(say: (text: string) => void): (thread: number, text: string) => void {
  let last: { thread: number; text: string } | null = null
  return (thread, text) => {
    if (last !== null && last.text === text && last.thread !== thread) return
    last = { thread, text }
    say(text)
  }
}

/** The worst comes last. */
const STATES = [
  'idle',
  'sending',
  'waiting',
  'refused',
  'halted',
  'closed',
] as const satisfies RecorderStatus['state'][]

/** What they are together: as bad as the worst of them. */
function together(statuses: readonly RecorderStatus[]): RecorderStatus {
  const sum = (key: 'pending' | 'spoolBytes' | 'retries') => statuses.reduce((total, status) => total + status[key], 0)
  const worst = statuses.toSorted((a, b) => STATES.indexOf(b.state) - STATES.indexOf(a.state))
  return {
    ...{ state: worst[0]!.state, pending: sum('pending'), spoolBytes: sum('spoolBytes'), retries: sum('retries') },
    lastError: worst.find(({ lastError }) => lastError !== null)?.lastError ?? null,
  }
}

function throwFirst(settled: readonly PromiseSettledResult<unknown>[]): void {
  const failed = settled.find((one) => one.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}
