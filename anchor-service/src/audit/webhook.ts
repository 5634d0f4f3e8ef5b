import { setTimeout as sleep } from 'node:timers/promises'
import { type Finished, faultOf } from './outcome.ts'

/** What the webhook gets. */
export type Notice = { type: 'audit.fail' | 'audit.recover'; origin: string } & Omit<Finished, 'outcome'>

export type Webhook = {
  /** What the receiver knows from before: nothing of a fault, or of one that may have changed. */
  assume(failed: boolean): void
  /** Reports a fault that the receiver does not know yet, or the end of one. Does not wait. */
  tell(audit: Finished): void
  close(): Promise<void>
}

/** Waits before each attempt. ms */
const ATTEMPTS_MS = [0, 1_000, 4_000, 16_000, 60_000]
const TIMEOUT_MS = 10_000

/** @param onFailure after each attempt to send that failed; the last one of a notice comes with true */
export function openWebhook(url: string, origin: string, onFailure: (isLast: boolean) => void): Webhook {
  /** The fault that the receiver knows of; null: none, undefined: it cannot be told. */
  let told: string | null | undefined = null
  let sending: { fault: string | null; stop: AbortController; done: Promise<void> } | null = null

  function withdraw(): void {
    if (sending === null) return
    sending.stop.abort()
    sending = null
    // It may have arrived all the same.
    told = undefined
  }

  return {
    assume(failed) {
      withdraw()
      told = failed ? undefined : null
    },
    tell(audit) {
      const fault = faultOf(audit)
      if (fault === (sending ? sending.fault : told)) return
      withdraw()
      const { outcome: _, ...rest } = audit
      const notice: Notice = { type: fault === null ? 'audit.recover' : 'audit.fail', origin, ...rest }
      const stop = new AbortController()
      const done = post(url, notice, stop.signal, onFailure).then((isTaken) => {
        if (stop.signal.aborted) return
        if (isTaken) told = fault
        sending = null
      })
      sending = { fault, stop, done }
    },
    async close() {
      const last = sending?.done
      withdraw()
      await last
    },
  }
}

/** Posts a notice until the receiver takes it (any 2xx), a few times. @returns whether it did */
async function post(
  url: string,
  notice: Notice,
  signal: AbortSignal,
  onFailure: (isLast: boolean) => void,
): Promise<boolean> {
  for (const [attempt, wait] of ATTEMPTS_MS.entries()) {
    try {
      await sleep(wait, undefined, { signal })
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(notice),
        redirect: 'error',
        signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      })
      await response.body?.cancel()
      if (response.ok) return true
    } catch {
      // The reason may quote the URL, which may hold a secret, so it is not logged.
    }
    if (signal.aborted) return false
    onFailure(attempt === ATTEMPTS_MS.length - 1)
  }
  return false
}
