// Keeps what a source promises: while nothing else is recorded, an event says that the recorder lives.

/** Longest wait that a timer can be set for, ms. */
const MAX_WAIT_MS = 2 ** 31 - 1

/** The part of the promised time after which it beats: the rest is for timers that are late and disks that are slow. */
const EARLY = 0.75

export type Heartbeat = {
  /** Beats no more. */
  stop(): void
}

/**
 * Calls `beat` at once, and then whenever nothing was recorded for three quarters of the promised time. It keeps no process alive.
 * @param seconds that the source promises
 * @param idleMs how long ago the last event was recorded, ms
 */
export function startHeartbeat(seconds: number, idleMs: () => number, beat: () => Promise<unknown>): Heartbeat {
  const afterMs = 1000 * seconds * EARLY
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  const wait = (ms: number) => {
    if (isStopped) return
    timer = setTimeout(look, Math.min(Math.max(ms, 0), MAX_WAIT_MS))
    timer.unref()
  }
  // One that fails is tried again at the next beat; the recorder tells of it.
  const beatNow = () => {
    void beat()
      .catch(() => {})
      .finally(() => wait(afterMs))
  }
  const look = () => {
    const left = afterMs - idleMs()
    if (left > 0) wait(left)
    else beatNow()
  }
  beatNow()
  return {
    stop() {
      isStopped = true
      clearTimeout(timer)
    },
  }
}
