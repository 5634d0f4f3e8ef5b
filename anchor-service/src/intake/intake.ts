import type { Readable } from 'node:stream'
import { isMisfit, Refusal } from '../errors.ts'
import type { Accepted } from '../ledger/commit.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { BODY_LIMITS, type BodyLimits, bodyReader } from './admission/body.ts'
import { gate } from './admission/gate.ts'
import { type Checkers, isSmall } from './checkers.ts'
import { encodingOf } from './decode.ts'

export type Intake = {
  /** Takes the body of one `POST /v1/batches` from its stream to a durable place in the log. */
  take(body: Readable, encoding: string | undefined): Promise<Accepted>
  /** Whether small batches are being checked, or others wait for a thread: more will soon be in line for the log. */
  isPressed(): boolean
}

/** Bodies that have arrived and may wait for a check. */
const WAITING = { small: 4096, large: 256 }

/** @param limits memory for bodies */
export function makeIntake(
  ledger: Pick<Ledger, 'db' | 'submit' | 'registry'>,
  checkers: Checkers,
  now: () => number = Date.now,
  limits: BodyLimits = BODY_LIMITS,
): Intake {
  const withBody = bodyReader(limits)
  const small = gate(checkers.width.small, WAITING.small)
  const large = gate(checkers.width.large, WAITING.large)
  const { enforcement } = ledger.registry
  let told = 0

  /** Threads know what is enforced before they check what comes after. */
  function tellThreads(): void {
    if (told === enforcement.enforcedVersion()) return
    told = enforcement.enforcedVersion()
    checkers.enforce(enforcement.enforced())
  }

  /** An event was refused by a catalogue that another process may have replaced. @throws Refusal catalogue_changed */
  async function lookAgain(): Promise<void> {
    await ledger.registry.catchUp(ledger.db)
    if (told !== enforcement.enforcedVersion()) throw new Refusal('catalogue_changed')
  }

  return {
    async take(request, contentEncoding) {
      const encoding = encodingOf(contentEncoding)
      try {
        const batch = await withBody(request, (body) =>
          (isSmall(body) ? small : large).pass(() => {
            tellThreads()
            return checkers.check({ body, encoding, registry: ledger.registry.version(), now: now() })
          }),
        )
        return await ledger.submit(batch)
      } catch (error) {
        if (error instanceof Refusal && error.code === 'registry_altered')
          ledger.registry.report((error.details.source as string | undefined) ?? null, error.message)
        if (isMisfit(error)) await lookAgain()
        throw error
      }
    },
    isPressed: () => small.running() + large.waiting() > 0,
  }
}
