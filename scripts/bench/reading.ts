// What readers ask of a long ledger, over HTTP: each request by itself, beside the same on a short one.
import { join } from 'node:path'
import { AGE_MS, type Filled, fillLedger, sourceName } from './fill.ts'
import type { BenchPlan, BenchRow } from './plan.ts'
import { startService, TOKEN } from './service.ts'
import { quantile } from './stats.ts'

const TIMES = 100
const SMALL = 10_000

type Figures = { p50: number; p99: number }
type Page = { next: string | null }

/** A path for the i-th request; none may be asked twice where that could help. */
type Request = { what: string; path: (i: number, ledger: Filled) => string }

const spread = (i: number, n: number) => Math.floor((n * (i * 37 + 11)) / (TIMES * 37 + 11)) % n
const at = ({ until }: Filled, share: number) => new Date(until - AGE_MS * (1 - share)).toISOString()
/** A thousandth of the ledger's time, which begins at a share of it. */
const window = (ledger: Filled, share: number) => `from=${at(ledger, share)}&to=${at(ledger, share + 0.001)}`
const streamOf = (i: number, { streams }: Filled) => streams[i % streams.length]!

const REQUESTS: readonly Request[] = [
  { what: 'newest events', path: () => '/v1/events' },
  { what: 'events by a frequent action', path: () => '/v1/events?action=user.login' },
  { what: 'events by an actor', path: (i) => `/v1/events?actor=u-${i}` },
  { what: 'events by a rare actor', path: () => '/v1/events?actor=rare' },
  { what: 'events by a target of few', path: (i, ledger) => `/v1/events?target=inv-${spread(i, ledger.events)}` },
  { what: 'events by a target of many', path: (i) => `/v1/events?target=shared-${i % 50}` },
  { what: 'events by source', path: (i) => `/v1/events?source=${sourceName(i)}` },
  {
    what: 'events by all of them',
    path: (i) => `/v1/events?action=user.login&actor=u-${i}&source=${sourceName(i)}&target=shared-${i % 50}`,
  },
  { what: 'events by a rare actor and a frequent action', path: () => '/v1/events?actor=rare&action=user.login' },
  { what: 'events that do not exist', path: (i) => `/v1/events?actor=nobody-${i}&action=user.login` },
  { what: 'events of a new time', path: (_, ledger) => `/v1/events?from=${at(ledger, 0.999)}` },
  { what: 'events of an old time', path: (i, ledger) => `/v1/events?${window(ledger, i / TIMES)}` },
  { what: 'events of a time without any', path: () => '/v1/events?to=2001-01-01T00:00:00Z' },
  {
    what: 'events of an old time by action',
    path: (i, ledger) => `/v1/events?${window(ledger, i / TIMES)}&action=user.login`,
  },
  {
    what: 'events of an old time by source',
    path: (i, ledger) => `/v1/events?${window(ledger, i / TIMES)}&source=${sourceName(i)}`,
  },
  { what: 'a page deep in all events', path: (i, ledger) => `/v1/events?cursor=${spread(i, ledger.events / 100)}.50` },
  {
    what: 'a page deep in an action',
    path: (i, ledger) => `/v1/events?action=user.login&cursor=${spread(i, ledger.events / 100)}.50`,
  },
  { what: 'an event by its id', path: (i, ledger) => `/v1/proofs/${ledger.ids[i]}` },
  {
    what: 'neighbours in a stream',
    path(i, ledger) {
      const { source, stream, events } = streamOf(i, ledger)
      return `/v1/streams/${source}/${stream}/events?seq=${spread(i, events)}`
    },
  },
  { what: 'streams', path: () => '/v1/streams' },
  { what: 'streams, a later page', path: (i) => `/v1/streams?cursor=${sourceName(i)}/5` },
  { what: 'sources', path: () => '/v1/sources' },
  { what: 'anchors', path: () => '/v1/anchors' },
  {
    what: 'a stream',
    path(i, ledger) {
      const { source, stream } = streamOf(i, ledger)
      return `/v1/streams/${source}/${stream}`
    },
  },
]

/** Every request at the size of the plan, beside 10,000 events. */
export async function measureLongReading(folder: string, plan: BenchPlan): Promise<BenchRow[]> {
  const size = plan.growth.at(-1)!
  const small = await measureAt(join(folder, 'small'), SMALL)
  const large = await measureAt(join(folder, 'large'), size)
  return [...large].map(([what, { p50, p99 }]) => {
    const beside = small.get(what)!
    const print = (ms: number) => `${ms.toFixed(1)} ms`
    return {
      what: `${what}, of ${size.toLocaleString('en')}`,
      figure: `p50 ${print(p50)}, p99 ${print(p99)}`,
      beside: `p50 ${print(beside.p50)}, p99 ${print(beside.p99)} of ${SMALL.toLocaleString('en')} (target: p99 under 300 ms)`,
      ratio: p50 / beside.p50,
    }
  })
}

async function measureAt(folder: string, size: number): Promise<Map<string, Figures>> {
  const service = await startService(folder)
  const ledger = await fillLedger(service.url, size, TIMES)
  const figures = await measureRequests(service.url, ledger)
  await service.child.stop()
  return figures
}

async function measureRequests(url: string, ledger: Filled): Promise<Map<string, Figures>> {
  const figures = new Map<string, Figures>()
  for (const { what, path } of REQUESTS) {
    const times: number[] = []
    for (let i = 0; i < TIMES; i++) times.push(await ask(url, path(i, ledger)))
    figures.set(what, { p50: quantile(times, 0.5), p99: quantile(times, 0.99) })
  }
  const pages: number[] = []
  for (let i = 0; i < 10; i++) pages.push(await askPages(url, 1000))
  figures.set('1,000 events page after page, as an export reads them', {
    p50: quantile(pages, 0.5),
    p99: quantile(pages, 0.99),
  })
  return figures
}

async function get(url: string, path: string): Promise<unknown> {
  const response = await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${TOKEN}` } })
  const body = await response.json()
  if (!response.ok) throw new Error(`${path} was answered with ${response.status}: ${JSON.stringify(body)}`)
  return body
}

async function ask(url: string, path: string): Promise<number> {
  const start = performance.now()
  await get(url, path)
  return performance.now() - start
}

async function askPages(url: string, events: number): Promise<number> {
  const start = performance.now()
  let cursor: string | null = null
  for (let seen = 0; seen < events; seen += 500)
    cursor = ((await get(url, `/v1/events?limit=500${cursor ? `&cursor=${cursor}` : ''}`)) as Page).next
  return performance.now() - start
}
