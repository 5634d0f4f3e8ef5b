// Sealing for a stream that is recorded in its order, and read again where it was broken off.
import type { Sealer } from '@killick/sdk/sealing'
import { type EventSealing, openSealing } from '../sealed/sealing.ts'
import type { ChangesConfig } from './config.ts'

/** What seals the events of a recorder. */
export type ChangesSealing = Pick<EventSealing, 'sealer' | 'close'> & {
  /** Nothing is under way any more, and the stream is read again from behind the last event that is durable. */
  beginAnew(): void
}

/** The store may be in order again later, and the stream waits for it. */
const PASSING: ReadonlySet<string> = new Set(['keys_unreachable', 'subject_key_invalid'])

/**
 * A change has happened, so it is told without its sealed fields where those can never be sealed. While the keys are away nothing goes on:
 * behind an event that failed none is sealed, or it would be taken for a sign that everything before it is durable.
 * @throws GatewayStartError
 */
export async function openChangesSealing(
  { sealed, source }: ChangesConfig,
  say: (text: string) => void,
): Promise<ChangesSealing | null> {
  if (sealed === null) return null
  const { sealer: inner, close } = await openSealing(sealed, {
    ...{ source, kind: 'changes', say },
    // What is no part of the stream, such as a gap in it, is not read again.
    withholds: (known, code) => !PASSING.has(code) || known.commitLsn === undefined,
  })
  let earlier: Promise<unknown> = Promise.resolve()
  const sealer: Sealer = {
    seal(...args) {
      const inOrder = Promise.all([inner.seal(...args), earlier]).then(([fields]) => fields)
      earlier = inOrder
      return inOrder
    },
  }
  return {
    sealer,
    close,
    beginAnew() {
      earlier = Promise.resolve()
    },
  }
}
