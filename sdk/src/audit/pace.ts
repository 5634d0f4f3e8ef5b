// Limits how fast a walk reads from the service.
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * @param perSecond most events per second, on average from now on; 0: no limit
 * @returns a function that waits until `events`, counted from the start, are not too many for the time that has passed
 */
export function keepPace(perSecond: number, signal?: AbortSignal): (events: number) => Promise<void> {
  const started = performance.now()
  return async (events) => {
    signal?.throwIfAborted()
    const early = perSecond === 0 ? 0 : started + (events / perSecond) * 1000 - performance.now()
    if (early > 0) await sleep(early, undefined, signal && { signal }).catch(() => signal?.throwIfAborted())
  }
}
