import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Expiring } from '../erasure/expiring.ts'
import type { CommitResult } from '../ledger/commit.ts'
import { keyIndexOf } from '../ledger/index/key-index.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { memoryOf } from '../ledger/read/proof-memory.ts'
import { readAnchoredSize } from '../ledger/registry/anchors.ts'
import { countProposals } from '../ledger/registry/proposals.ts'
import type { SilenceWatch } from '../ledger/silence.ts'
import { addProcessMetrics } from './process-metrics.ts'

export type Metrics = ReturnType<typeof makeMetrics>

/** The service's own registry; each part of the service may add to it. */
export function makeMetrics() {
  const registry = new Registry()
  const registers = [registry]
  addProcessMetrics(registry)
  const batches = new Counter({ name: 'killick_batches_accepted_total', help: 'Batches accepted', registers })
  const events = new Counter({ name: 'killick_events_accepted_total', help: 'Events accepted', registers })
  const replays = new Counter({ name: 'killick_batches_replayed_total', help: 'Batches sent again', registers })
  const refusals = new Counter({
    name: 'killick_refusals_total',
    help: 'Problem documents sent, by code',
    labelNames: ['code'],
    registers,
  })
  const commits = new Histogram({
    name: 'killick_commit_seconds',
    help: 'Duration of one commit to the ledger',
    buckets: [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5],
    registers,
  })
  const failures = new Counter({
    name: 'killick_commit_failures_total',
    help: 'Submissions that the database failed to store, and that were refused as unavailable',
    registers,
  })
  const restarts = new Counter({
    name: 'killick_postgres_restarts_total',
    help: 'Times the embedded PostgreSQL went down and came back',
    registers,
  })
  const indexingFailures = new Counter({
    name: 'killick_indexing_failures_total',
    help: 'Times the index of keys could not be extended; it is tried again',
    registers,
  })
  const erasingFailures = new Counter({
    name: 'killick_erasing_failures_total',
    help: 'Times an erasure could not be carried on; it is tried again',
    registers,
  })
  const registryFaults = new Counter({
    name: 'killick_registry_altered_total',
    help: 'Times the database was found not to hold what was registered of a source',
    registers,
  })
  const dropped = new Counter({
    name: 'killick_connections_dropped_total',
    help: 'Connections closed at once because too many were open',
    registers,
  })
  const cut = new Counter({
    name: 'killick_connections_cut_total',
    help: 'Connections closed because their peer did not read its answers: asked on (pipelined), left too much (unread), or read nothing (stalled)',
    labelNames: ['reason'],
    registers,
  })
  const requests = new Histogram({
    name: 'killick_http_request_seconds',
    help: 'Duration of requests, by route and status',
    labelNames: ['method', 'route', 'status'],
    registers,
  })

  return {
    registry,
    refusals,
    dropped,
    cut,
    requests,
    /** The database failed to store a submission. */
    failed: () => failures.inc(),
    /** The embedded PostgreSQL came back. */
    up: () => restarts.inc(),
    erasingFailed: () => erasingFailures.inc(),
    indexingFailed: () => indexingFailures.inc(),
    /** The database does not hold a source's registrations as they were accepted. */
    registryAltered: () => registryFaults.inc(),
    committed(seconds: number, outcomes: readonly CommitResult[]) {
      commits.observe(seconds)
      for (const outcome of outcomes) {
        if ('refusal' in outcome) continue
        if (outcome.isNew) {
          batches.inc()
          events.inc(outcome.receipt.n)
        } else {
          replays.inc()
        }
      }
    },
    watchSilences(silences: Pick<SilenceWatch, 'all'>) {
      new Gauge({
        name: 'killick_source_silent_since_timestamp_seconds',
        help: 'When the last event came of a source that is silent for longer than it promised; absent: none is',
        labelNames: ['source'],
        registers,
        collect() {
          this.reset()
          for (const { source, since } of silences.all()) this.set({ source }, since.getTime() / 1000)
        },
      })
    },
    watchExpiring(expiring: Pick<Expiring, 'status'>) {
      new Counter({
        name: 'killick_retention_failures_total',
        help: 'Times it could not be seen which events are due to expire; it is tried again',
        registers,
        collect() {
          this.reset()
          this.inc(expiring.status().failures)
        },
      })
      new Gauge({
        name: 'killick_retention_held_events',
        help: 'Events that are due to expire by a policy and held, as of the last pass of this process',
        labelNames: ['policy'],
        registers,
        collect() {
          this.reset()
          for (const [policy, { held }] of expiring.status().policies) this.set({ policy }, held)
        },
      })
      new Gauge({
        name: 'killick_retention_drop_held_events',
        help: 'Events that are due to be dropped by a policy and held, as of the last pass of this process',
        labelNames: ['policy'],
        registers,
        collect() {
          this.reset()
          for (const [policy, { dropHeld }] of expiring.status().policies) this.set({ policy }, dropHeld)
        },
      })
    },
    /** Gauges that are read from the ledger on request; while the database does not answer, they keep their values. */
    watch(ledger: Ledger) {
      new Gauge({
        name: 'killick_queue_depth',
        help: 'Submissions waiting for their commit',
        registers,
        collect() {
          this.set(ledger.depth())
        },
      })
      const watched = (name: string, help: string, read: () => Promise<number>) =>
        new Gauge({
          ...{ name, help, registers },
          async collect() {
            await read().then(
              (value) => this.set(value),
              () => {},
            )
          },
        })
      watched('killick_log_size', 'Entries of the log', async () => (await ledger.head())?.size ?? 0)
      watched(
        'killick_unindexed_events',
        'Newest events of the log that the index of keys does not hold yet; searches read them themselves',
        () => keyIndexOf(ledger.db).unindexed(),
      )
      watched(
        'killick_log_went_back',
        '1 while the log in the database does not continue what was signed: nothing is taken',
        async () => ((await ledger.checkHead()) === null ? 0 : 1),
      )
      new Gauge({
        name: 'killick_head_memory_new',
        help: '1 in a process that knew no head of a log that had entries when it started',
        registers,
      }).set(ledger.memoryBegan() === null ? 0 : 1)
      new Gauge({
        name: 'killick_proposals',
        help: 'Erasures and changes of policies that one person proposed: waiting for a second person, confirmed, refused, lapsed',
        labelNames: ['state'],
        registers,
        async collect() {
          const counts = await countProposals(ledger.db, Date.now()).catch(() => ({}))
          for (const [state, n] of Object.entries(counts)) this.set({ state }, n)
        },
      })
      const memory = memoryOf(ledger.db)
      new Gauge({
        name: 'killick_proof_memory_bytes',
        help: 'Memory for what proofs are made of, at most 76 MiB',
        registers,
        collect() {
          this.set(memory.bytes)
        },
      })
      new Counter({
        name: 'killick_proof_memory_lookups_total',
        help: 'Tiles of the log that proofs needed: kept in memory (hit), or to be read (miss)',
        labelNames: ['outcome'],
        registers,
        collect() {
          const { hits, misses } = memory.kept.counts
          this.reset()
          this.inc({ outcome: 'hit' }, hits)
          this.inc({ outcome: 'miss' }, misses)
        },
      })
      watched('killick_anchored_size', 'Entries of the log that a confirmed anchor covers', () =>
        readAnchoredSize(ledger.db),
      )
    },
  }
}
