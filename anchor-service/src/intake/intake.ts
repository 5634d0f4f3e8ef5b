import type { Readable } from 'node:stream'
import type { Accepted } from '../ledger/commit.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { BODY_LIMITS, type BodyLimits, bodyReader } from './body.ts'
import { checkBatch } from './check.ts'
import { gate } from './gate.ts'

/** Takes the body of one `POST /v1/batches` from its stream to a durable place in the log. */
export type Intake = (body: Readable, encoding: string | undefined) => Promise<Accepted>

/**
 * @param limits memory for bodies; two batches are checked at a time (checking keeps a core busy) and 256 may wait
 */
export function makeIntake(ledger: Ledger, now: () => number = Date.now, limits: BodyLimits = BODY_LIMITS): Intake {
  const withBody = bodyReader(limits)
  const checking = gate(2, 256)
  return async (request, encoding) => {
    const batch = await withBody(request, encoding, (body) => checking(() => checkBatch(body, ledger.db, now())))
    return ledger.submit(batch)
  }
}
