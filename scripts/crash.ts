// `npm run crash`: recorders, services, worker, PostgreSQL and Redis under load, killed (SIGKILL) at random moments and in
// every combination. At the end every acknowledged event must be there once, in order and proven, and `killick audit` must pass.
//
//   npm run crash -- --rounds 200      default 31: each combination once
//   npm run crash -- --collector    emitters, their collector, service and PostgreSQL instead; default 15 rounds
//   npm run crash -- --postgres     clients of PostgreSQL, its relay, the recorder of its changes, itself, service and ledger; 15 rounds
//   npm run crash -- --seed 7          the same order and combinations again
import { parseArgs } from 'node:util'
import { crashCollector } from './crash/collector-rounds.ts'
import { crashPostgres } from './crash/postgres-rounds.ts'
import { crash } from './crash/rounds.ts'
import { bold, count, dim, duration, MARK } from './lib/report.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string' },
    seed: { type: 'string' },
    collector: { type: 'boolean', default: false },
    postgres: { type: 'boolean', default: false },
  },
})
const kind = values.postgres ? 'postgres' : values.collector ? 'collector' : null
const rounds = Number(values.rounds ?? (kind === null ? 31 : 15))
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32))
console.log(bold(`${count(rounds, 'round')}, seed ${seed}`))
const RUNS = { all: crash, collector: crashCollector, postgres: crashPostgres }
const start = Date.now()
// After the round under way, everything that was started is ended before this program ends.
const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => stop.abort(new Error(`stopped by ${signal}`)))
try {
  const say = (line: string) => console.log(dim(line))
  const { acknowledged, events, erased, kills } = await RUNS[kind ?? 'all']({
    rounds,
    seed,
    say,
    signal: stop.signal,
  })
  const killed = Object.entries(kills).map(([kind, n]) => `${kind} ${n}`)
  console.log(
    `${MARK.good} ${count(acknowledged, kind === 'postgres' ? 'row' : 'event')} acknowledged, ${events.toLocaleString('en')} in the ledger, none lost`,
  )
  if (erased !== undefined)
    console.log(`${MARK.good} ${count(erased, 'event')} erased in part, as ordered, and no proof fails`)
  console.log(`  killed: ${killed.join(', ')}; ${duration(Date.now() - start)}`)
} catch (error) {
  console.error(
    `${MARK.bad} ${(error as Error).message}\n  again with: npm run crash -- ${kind === null ? '' : `--${kind} `}--rounds ${rounds} --seed ${seed}`,
  )
  process.exitCode = 1
}
