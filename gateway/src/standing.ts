// How far events have come: durable here, accepted by the ledger, anchored to a chain.
import { setTimeout as sleep } from 'node:timers/promises'
import { type AuditLog, KillickError } from '@killick/sdk'
import { openApi } from '@killick/sdk/audit'
import { isObject, MAX_PROOF_BYTES } from '@killick/sdk/core'
import type { AnsweredEvent } from './recording.ts'

/** How far an event has come. `anchored` is the service's word here; a proof shows it to everybody. */
export type EventState = 'durable' | 'accepted' | 'anchored'

/** How far, and where that is less than was waited for, why: a code. */
export type Reached = { readonly state: EventState; readonly reason?: string }

/** How to ask the service for proofs. */
export type ProofAccess = { readonly url: string; readonly token: string }

const FIRST_LOOK_MS = 250
const MAX_LOOK_MS = 4_000

/**
 * Waits until all events have come so far.
 * @param ms at most
 * @param access null: nothing can be said of anchors
 */
export async function reach(
  goal: EventState,
  events: readonly AnsweredEvent[],
  log: AuditLog,
  access: ProofAccess | null,
  ms: number,
): Promise<Reached> {
  const until = performance.now() + ms
  if (goal === 'durable' || events.length === 0) return { state: 'durable' }
  const last = events.reduce((a, b) => (b.seq > a.seq ? b : a))
  const accepted = await acceptance(log, last.seq, ms)
  if (accepted !== null) return { state: 'durable', reason: accepted }
  if (goal === 'accepted') return { state: 'accepted' }
  if (access === null) return { state: 'accepted', reason: 'option_invalid' }
  for (let pause = FIRST_LOOK_MS; ; pause = Math.min(2 * pause, MAX_LOOK_MS)) {
    const left = until - performance.now()
    if (await isAnchored(access, last.id, Math.max(Math.ceil(left), 1))) return { state: 'anchored' }
    if (until - performance.now() <= pause) return { state: 'accepted', reason: 'not_anchored' }
    await sleep(pause, undefined, { ref: false })
  }
}

/** Null once the ledger has the event; else why not. */
async function acceptance(log: AuditLog, seq: number, ms: number): Promise<string | null> {
  if (log.status.accepted > seq) return null
  // One who gives up leaves nothing behind: in a long outage there are many.
  const limit = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => {
      resolve(log.status.lastError?.code ?? 'not_accepted')
      limit.abort()
    }, ms)
  })
  const sent = log.flush(limit.signal).then(
    () => null,
    (error) => (error instanceof KillickError ? error.code : 'not_accepted'),
  )
  const result = await Promise.race([sent, late])
  clearTimeout(timer)
  // What was refused may have been a later event of the same stream.
  return log.status.accepted > seq ? null : (result ?? 'not_accepted')
}

/** Whether the service's proof of the event has an anchor. A service that does not answer says nothing. */
async function isAnchored({ url, token }: ProofAccess, id: string, timeoutMs: number): Promise<boolean> {
  try {
    const proof = await openApi(url, token, { patience: 0, timeoutMs }).json(`/v1/proofs/${id}`, MAX_PROOF_BYTES)
    return isObject(proof) && Array.isArray(proof.anchors) && proof.anchors.length > 0
  } catch (error) {
    if (error instanceof KillickError) return false
    throw error
  }
}
