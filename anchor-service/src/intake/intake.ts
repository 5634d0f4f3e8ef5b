import type { Readable } from 'node:stream'
import { Refusal } from '../errors.ts'
import type { Accepted } from '../ledger/commit.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { BODY_LIMITS, type BodyLimits, bodyReader } from './admission/body.ts'
import { gate } from './admission/gate.ts'
import { type Checkers, isSmall } from './checkers.ts'
import { encodingOf } from './decode.ts'

export type Intake = {
  /** Takes the body of one `POST /v1/batches` from its stream to a durable place in the log. */
  take(body: Readable, encoding: string | undefined): Promise<Accepted>
  /** Whether batches wait for a thread to check them. */
  isPressed(): boolean
}

/** Bodies that have arrived and may wait for a check. */
const WAITING = { small: 4096, large: 256 }

/** @param limits memory for bodies */
export function makeIntake(
  ledger: Pick<Ledger, 'submit' | 'registry'>,
  checkers: Checkers,
  now: () => number = Date.now,
  limits: BodyLimits = BODY_LIMITS,
): Intake {
  const withBody = bodyReader(limits)
  const small = gate(checkers.width.small, WAITING.small)
  const large = gate(checkers.width.large, WAITING.large)
  return {
    async take(request, contentEncoding) {
      const encoding = encodingOf(contentEncoding)
      try {
        const batch = await withBody(request, (body) =>
          (isSmall(body) ? small : large).pass(() =>
            checkers.check({ body, encoding, registry: ledger.registry.version(), now: now() }),
          ),
        )
        return await ledger.submit(batch)
      } catch (error) {
        if (error instanceof Refusal && error.code === 'registry_altered')
          ledger.registry.report((error.details.source as string | undefined) ?? null, error.message)
        throw error
      }
    },
    isPressed: () => small.waiting() + large.waiting() > 0,
  }
}
