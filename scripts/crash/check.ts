// After the last round: compares what the ledger shows with what was acknowledged.
import { fileURLToPath } from 'node:url'
import { parseProof, readAnchors, type Trust, verifyProof } from '@killick/sdk'
import { startNode } from '../lib/processes.ts'

/** By source: place in the stream → id of the event for which record() resolved. */
export type Acknowledged = ReadonlyMap<string, ReadonlyMap<number, string>>

export type LedgerAccess = { url: string; token: string; rpc: string; trust: Trust }

type Found = { id: string; stream: string; seq: number; fields: Record<string, unknown> }

const CLI = fileURLToPath(new URL('../../sdk/src/cli/main.ts', import.meta.url))

/**
 * Checks that every acknowledged event is there once, in its place, and no stream has a gap. @returns the number of all events
 */
export async function checkPresence(access: LedgerAccess, acknowledged: Acknowledged): Promise<number> {
  let total = 0
  for (const [source, names] of acknowledged) {
    const events = await readEvents(access, source)
    const ids = new Set(events.map(({ id }) => id))
    if (ids.size !== events.length) throw new Error(`${source}: ${events.length - ids.size} events are there twice`)
    const streams = new Set(events.map(({ stream }) => stream))
    if (streams.size !== 1) throw new Error(`${source}: the recorder's stream was broken into ${streams.size}`)
    for (const [place, { seq }] of events.entries()) {
      if (seq !== place) throw new Error(`${source}: event ${place} is missing, ${seq} follows`)
    }
    for (const [seq, id] of names) {
      if (events[seq]?.id !== id) throw new Error(`${source}: the acknowledged event ${seq} (${id}) is lost`)
    }
    total += events.length
  }
  return total
}

/** All events of a source, oldest first. */
export async function readEvents(access: LedgerAccess, source: string): Promise<Found[]> {
  const events: Found[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const page = `/v1/events?source=${source}&limit=500${cursor && `&cursor=${encodeURIComponent(cursor)}`}`
    const { events: more, next } = JSON.parse(await get(access, page)) as { events: Found[]; next: string | null }
    events.push(...more)
    cursor = next
  }
  return events.reverse()
}

/** Waits until the event is anchored, then verifies its proof with everything pinned. */
export async function checkProof(access: LedgerAccess, id: string): Promise<void> {
  for (const until = Date.now() + 60_000; ; ) {
    const proof = parseProof(await get(access, `/v1/proofs/${id}`))
    const facts = await readAnchors(proof, [access.rpc])
    const verdict = verifyProof(proof, { ...access.trust, facts })
    if (verdict.outcome === 'verified') return
    if (verdict.outcome === 'failed' || Date.now() > until) {
      throw new Error(`the proof of ${id} is ${verdict.outcome}: ${JSON.stringify(verdict.checks)}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 300))
  }
}

/** Pins what the service itself names. @throws with the output of `killick audit` if that finds a fault */
export async function checkAudit(access: LedgerAccess): Promise<void> {
  const { url, token, rpc } = access
  const { vkey, targets } = JSON.parse(await get(access, '/v1/log')) as {
    vkey: string
    targets: { contract: string; logId: string }[]
  }
  const [target] = targets
  const anchored = target ? ['--contract', target.contract, '--log-id', target.logId] : []
  const pins = ['--log-key', vkey, ...anchored, '--registered-keys']
  const child = await startNode([CLI, 'audit', '--rpc', rpc, ...pins], {
    env: { ...process.env, KILLICK_URL: url, KILLICK_TOKEN: token },
  })
  const { code } = await child.exited
  if (code !== 0) throw new Error(`killick audit ended with ${code}:\n${child.output()}`)
}

async function get({ url, token }: LedgerAccess, path: string): Promise<string> {
  const response = await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${token}` } })
  const text = await response.text()
  if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`)
  return text
}
