import type { Readable } from 'node:stream'
import { Refusal } from '../errors.ts'
import type { Accepted } from '../ledger/commit.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { BODY_LIMITS, type BodyLimits, bodyReader } from './admission/body.ts'
import { gate } from './admission/gate.ts'
import type { Checkers } from './checkers.ts'
import { encodingOf } from './decode.ts'

export type Intake = {
  /** Takes the body of one `POST /v1/batches` from its stream to a durable place in the log. */
  take(body: Readable, encoding: string | undefined): Promise<Accepted>
  /** Whether batches wait for a thread to check them. */
  isPressed(): boolean
}

/** @param limits memory for bodies; 256 bodies that have arrived may wait for a check */
export function makeIntake(
  ledger: Pick<Ledger, 'submit' | 'registry'>,
  checkers: Checkers,
  now: () => number = Date.now,
  limits: BodyLimits = BODY_LIMITS,
): Intake {
  const withBody = bodyReader(limits)
  const checking = gate(checkers.width, 256)
  return {
    async take(request, contentEncoding) {
      const encoding = encodingOf(contentEncoding)
      try {
        const batch = await withBody(request, (body) =>
          checking.pass(() => checkers.check({ body, encoding, registry: ledger.registry.version(), now: now() })),
        )
        return await ledger.submit(batch)
      } catch (error) {
        if (error instanceof Refusal && error.code === 'registry_altered')
          ledger.registry.report((error.details.source as string | undefined) ?? null, error.message)
        throw error
      }
    },
    isPressed: () => checking.waiting() > 0,
  }
}
