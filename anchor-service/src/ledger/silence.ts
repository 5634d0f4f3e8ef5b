/**
 * Notices silence beyond what a source promises: streams that have not ended and from which nothing has come for longer. It goes by when
 * this process sees a batch, by a clock that never goes back, so a service that was down accuses nobody.
 */
import type { Ledger } from './ledger.ts'
import { readEnds, readStreams, type StreamName } from './registry/streams.ts'

/** What is silent of a source: how many streams, and since when the first of them; `streams` is 0 if it has never recorded. */
export type Silence = { source: string; promised: number; streams: number; since: Date }

export type SilenceWatch = {
  /** Null: it promises nothing, or keeps what it promises, as far as this process has seen. */
  of(source: string): Silence | null
  all(): readonly Silence[]
  /** Looks once more, now. */
  look(): Promise<void>
  close(): Promise<void>
}

type Deps = Pick<Ledger, 'db' | 'registry'>

export type SilenceOptions = {
  /** Called when a source becomes silent (true), and when it is heard again. */
  onChange: (silence: Silence, isSilent: boolean) => void
  /** Called when looks begin to fail; they are tried again. */
  onFailure: (error: unknown) => void
  /** Whether batches are taken at all. While none are, that accuses nobody. */
  isTaking: () => boolean
  /** How much later than promised an event may come, ms: it waits in its recorder until its batch is sent. */
  graceMs: number
}

/** A stream that has not ended. `heard`: by the monotonic clock; `at`: when its last batch was accepted. */
type Open = { heard: number; at: Date }
type Known = { readonly streams: Map<string, Open>; hasAny: boolean; readonly since: Open }

const PAGE = 500
/** How often to look, ms: at most, and at least. */
const [OFTEN_MS, SELDOM_MS] = [250, 5_000]

export function watchSilence({ db, registry }: Deps, options: SilenceOptions): SilenceWatch {
  const { onChange, onFailure, isTaking, graceMs } = options
  const known = new Map<string, Known>()
  let silences = new Map<string, Silence>()
  let seen = -1
  let isClosed = false
  let isFailing = false
  /** What `isTaking` last said. */
  let wasTaking = true
  /** When the database last answered. */
  let lookedAt = performance.now()
  let looking: Promise<void> = Promise.resolve()
  /** Whether a look that the timer asked for is still to end. */
  let isTicked = false
  const everyMs = Math.min(SELDOM_MS, Math.max(OFTEN_MS, graceMs))
  let tickedAt = performance.now()

  function promises(): Map<string, number> {
    const found = new Map<string, number>()
    for (const name of registry.names()) {
      const promised = registry.source(name)?.heartbeat ?? null
      if (promised !== null) found.set(name, promised)
    }
    return found
  }

  async function lookOnce(): Promise<void> {
    if (isClosed) return
    await registry.catchUp(db)
    const promised = promises()
    for (const source of known.keys()) if (!promised.has(source)) known.delete(source)
    const { rows } = await db.query<{ last: number }>(
      'select coalesce(max(log_index), -1)::float8 as last from batches',
    )
    const { last } = rows[0]!
    // While the database did not answer, no batch could be accepted: that accuses nobody.
    const takes = isTaking()
    if (isFailing || !wasTaking || !takes) forgive(performance.now() - lookedAt)
    wasTaking = takes
    lookedAt = performance.now()
    const old = [...known.keys()]
    for (const source of promised.keys()) if (!known.has(source)) known.set(source, await readOpen(source))
    if (last > seen && old.length > 0) await hear(old, last)
    seen = last
    judge(promised)
  }

  function forgive(ms: number): void {
    const now = performance.now()
    for (const { streams, since } of known.values())
      for (const open of [since, ...streams.values()]) open.heard = Math.min(now, open.heard + ms)
  }

  /** While this process stood still, as in a container that is paused, it took no batch: that accuses nobody either. */
  function forgiveStandstill(): void {
    const late = performance.now() - tickedAt - everyMs
    if (late <= everyMs) return
    forgive(late)
    tickedAt = performance.now()
  }

  /** The streams of a source that has just promised, or that this process sees for the first time. */
  async function readOpen(source: string): Promise<Known> {
    const heard = performance.now()
    const found: Known = { streams: new Map(), hasAny: false, since: { heard, at: new Date() } }
    let after: StreamName | undefined
    do {
      const { streams, next } = await readStreams(db, { source, limit: PAGE, after })
      for (const { stream, lastAt, ended } of streams) {
        found.hasAny = true
        // Of one that nobody knows of nothing is said: most that grow so old have ended.
        if (ended === false) found.streams.set(stream, { heard, at: lastAt })
      }
      after = next ?? undefined
    } while (after !== undefined)
    return found
  }

  /** What has come of these sources since the last look. */
  async function hear(sources: readonly string[], last: number): Promise<void> {
    const { rows } = await db.query<StreamName & { at: Date; number: number }>(
      `select distinct on (source, stream) source, stream, accepted_at as at, (first_event + n - 1)::float8 as number
       from batches where log_index > $1 and log_index <= $2 and source = any($3) order by source, stream, seq desc`,
      [seen, last, sources],
    )
    const ends = await readEnds(
      db,
      rows.map(({ number }) => number),
    )
    const heard = performance.now()
    for (const { source, stream, at, number } of rows) {
      const of = known.get(source)!
      of.hasAny = true
      if (ends.get(number) !== false) of.streams.delete(stream)
      else of.streams.set(stream, { heard, at })
    }
  }

  function judge(promised: ReadonlyMap<string, number>): void {
    forgiveStandstill()
    const now = performance.now()
    const before = silences
    silences = new Map()
    for (const [source, { streams, hasAny, since }] of known) {
      const seconds = promised.get(source)!
      const isLate = ({ heard }: Open) => now - heard > 1000 * seconds + graceMs
      // A source that never records anything has no stream that could be silent.
      const late = (hasAny ? [...streams.values()] : [since]).filter(isLate)
      if (late.length === 0) continue
      const first = new Date(Math.min(...late.map(({ at }) => at.getTime())))
      silences.set(source, { source, promised: seconds, streams: hasAny ? late.length : 0, since: first })
    }
    for (const [source, silence] of silences) if (!before.has(source)) onChange(silence, true)
    for (const [source, silence] of before) if (!silences.has(source)) onChange(silence, false)
  }

  const look = () => {
    looking = looking.then(lookOnce).then(
      () => {
        isFailing = false
      },
      (error) => {
        if (!isClosed && !isFailing) onFailure(error)
        isFailing = true
      },
    )
    return looking
  }
  // A look may take longer than the time between two, as when the database does not answer.
  const lookAgain = () => {
    forgiveStandstill()
    tickedAt = performance.now()
    if (isTicked) return
    isTicked = true
    void look().then(() => {
      isTicked = false
    })
  }
  const timer = setInterval(lookAgain, everyMs)
  timer.unref()
  lookAgain()
  return {
    of: (source) => silences.get(source) ?? null,
    all: () => [...silences.values()],
    look,
    async close() {
      isClosed = true
      clearInterval(timer)
      await looking
    },
  }
}
