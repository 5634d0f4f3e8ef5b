// `killick-gateway changes verify`: what the database's log still has of a range, held against what the ledger has of it.
import { setTimeout } from 'node:timers/promises'
import { openApi } from '@killick/sdk/audit'
import { isObject, type JsonObject, KillickError } from '@killick/sdk/core'
import { GatewayStartError } from '../errors.ts'
import { type ChangesConfig, verifySlotOf } from './config.ts'
import { connectTo, serverFacts, slotFacts } from './database.ts'
import { ChangesError } from './errors.ts'
import type { Joined } from './events.ts'
import { parseLsn, printLsn } from './lsn.ts'
import { CONTEXT_PREFIX, EVENT_PREFIX, readMessage } from './messages.ts'
import { PgoutputReader } from './pgoutput.ts'
import { BY_LIMITS } from './preflight.ts'
import { Replication } from './replication.ts'

/** Which range is compared, and what becomes of it. */
export type VerifyOptions = {
  /** Places of commits, both inclusive. Default: all that the slot for checks has, up to now. */
  readonly from?: bigint | undefined
  readonly to?: bigint | undefined
  /** A token of a reader of the ledger. */
  readonly token: string
  /** Lets the database forget what was checked, if nothing was wrong. */
  readonly advance?: boolean
}

/** What was compared, and what differs. Lists hold at most 100 transactions; counts are whole. */
export type VerifyResult = {
  readonly isComplete: boolean
  /** The range that was compared, as places. */
  readonly from: string
  readonly to: string
  /** What was asked for and is not in the log any more, as places; null: nothing. */
  readonly notChecked: { readonly from: string; readonly to: string } | null
  readonly transactions: number
  readonly changes: number
  /** Changes by operation and table. */
  readonly counts: Readonly<Record<string, number>>
  /** Transactions that the ledger lacks, has in part or more than once, or that the log does not have. */
  readonly missing: Difference
  readonly different: Difference
  readonly unexpected: Difference
  /**
   * Events of the source in the ledger that do not show which change they are: erased, expired, dropped, or altered. What is called missing or
   * different may be among them. Counted only where something is.
   */
  readonly unread: number
}

type Difference = { readonly count: number; readonly first: readonly string[] }

/** Commits that are compared. `end` is not among them: a server that waits says that it has sent all before a place, not what is there. */
type Range = { readonly from: bigint; readonly end: bigint }

/** Changes of one transaction: how many, and the sum of their numbers in it. */
type Tally = { count: number; sum: number }

const MAX_LISTED = 100
const PAGE = 500
/** How far the clocks of database and recorder may be apart before all of the ledger is read, ms. */
const CLOCKS_MS = 10 * 60_000
/** Longest time until a server lets go of a slot that nobody reads any more, ms. */
const LETS_GO_MS = 10_000
/** Longest time until the stream says something, ms. */
const PATIENCE_MS = 60_000

/** @throws ChangesError `changes_slot_missing`; GatewayStartError if it would compare nothing, or forget what it does not compare; KillickError if the ledger cannot be read; the database's error */
export async function verifyChanges(config: ChangesConfig, options: VerifyOptions): Promise<VerifyResult> {
  const client = await connectTo(config.database)
  try {
    const slot = verifySlotOf(config)
    const facts = await slotFacts(client, slot)
    if (facts?.walStatus === 'lost')
      throw new ChangesError(
        'changes_slot_missing',
        `The replication slot "${slot}" was invalidated${BY_LIMITS}. What it had cannot be compared any more; run killick-gateway changes setup, which makes it anew.`,
      )
    if (facts?.confirmedLsn == null)
      throw new ChangesError(
        'changes_slot_missing',
        `There is no replication slot "${slot}", so there is nothing to compare with. Set "verifySlot": true and run: killick-gateway changes setup. It holds the log back from then on, until it is verified with --advance.`,
      )
    const begins = facts.confirmedLsn
    if (options.advance && options.from !== undefined && options.from > begins)
      throw new GatewayStartError(
        'gateway_start_failed',
        `--advance would let the database forget what was committed from ${printLsn(begins)} to ${printLsn(options.from)}, which --from leaves out. Verify without --from, or without --advance.`,
      )
    const server = await serverFacts(client)
    checkRange(options, begins, server.writtenLsn)
    const from = options.from !== undefined && options.from > begins ? options.from : begins
    const isCut = options.to !== undefined && options.to < server.writtenLsn
    const to = isCut ? options.to! : server.writtenLsn
    // What is committed from now on begins where the log ends now.
    const range: Range = { from, end: isCut ? to + 1n : to }
    await untilFree(client, slot)
    const told = await readLog(config, server.encoding, slot, begins, range)
    const keptSince = (ms: number | null) => readLedger(config, server.database, options.token, range, ms)
    const since = told.earliestMs === null ? null : told.earliestMs - CLOCKS_MS
    let kept = await keptSince(since)
    let found = compared(told.transactions, kept.transactions)
    // Clocks may be further apart, and a subscription commits at the time of its publisher: nothing is called missing for that.
    if (since !== null && found.missing.count + found.different.count > 0) {
      kept = await keptSince(null)
      found = compared(told.transactions, kept.transactions)
    }
    const result: VerifyResult = {
      ...{ from: printLsn(from), to: printLsn(to) },
      notChecked:
        options.from !== undefined && options.from < begins
          ? { from: printLsn(options.from), to: printLsn(begins) }
          : null,
      transactions: told.transactions.size,
      changes: [...told.transactions.values()].reduce((sum, { count }) => sum + count, 0),
      counts: Object.fromEntries([...told.counts].sort(([a], [b]) => (a < b ? -1 : 1))),
      ...found,
      unread: found.missing.count + found.different.count > 0 ? kept.unread : 0,
    }
    if (result.isComplete && options.advance) {
      await untilFree(client, slot)
      await client.query('select pg_replication_slot_advance($1, $2)', [slot, result.to])
    }
    return result
  } finally {
    await client.end()
  }
}

/** Where nothing is compared, nothing would be found missing. @throws GatewayStartError if the range has nothing that the log can have */
function checkRange({ from, to }: VerifyOptions, begins: bigint, written: bigint): void {
  const why =
    from !== undefined && to !== undefined && from > to
      ? `--from ${printLsn(from)} is behind --to ${printLsn(to)}`
      : to !== undefined && to < begins
        ? `the log is not there any more up to --to ${printLsn(to)}: it begins at ${printLsn(begins)}`
        : from !== undefined && from > written
          ? `the log ends at ${printLsn(written)}, before --from ${printLsn(from)}`
          : null
  if (why !== null) throw new GatewayStartError('gateway_start_failed', `There is nothing to compare: ${why}.`)
}

/**
 * Waits until nobody reads from a slot: a server lets go of it a moment after whoever read from it has left. It does not wait for
 * somebody who stays; what is asked for next then fails with the server's error, which names them.
 */
async function untilFree(client: Parameters<typeof slotFacts>[0], slot: string): Promise<void> {
  const until = performance.now() + LETS_GO_MS
  while ((await slotFacts(client, slot))?.isActive === true && performance.now() < until) await setTimeout(50)
}

function compared(told: ReadonlyMap<bigint, Tally>, kept: ReadonlyMap<bigint, Tally>) {
  const missing = [...told.keys()].filter((commit) => !kept.has(commit))
  const different = [...told].flatMap(([commit, { count, sum }]) => {
    const found = kept.get(commit)
    return found !== undefined && (found.count !== count || found.sum !== sum) ? [commit] : []
  })
  const unexpected = [...kept.keys()].filter((commit) => !told.has(commit))
  return {
    isComplete: missing.length + different.length + unexpected.length === 0,
    ...{ missing: listed(missing), different: listed(different), unexpected: listed(unexpected) },
  }
}

const listed = (commits: readonly bigint[]): Difference => ({
  count: commits.length,
  first: commits.slice(0, MAX_LISTED).map(printLsn),
})

type Told = { transactions: Map<bigint, Tally>; counts: Map<string, number>; earliestMs: number | null }

/** Reads the log without letting the database forget it. */
async function readLog(
  config: ChangesConfig,
  encoding: string,
  slot: string,
  begins: bigint,
  { from, end }: Range,
): Promise<Told> {
  const told: Told = { transactions: new Map(), counts: new Map(), earliestMs: null }
  const reader = new PgoutputReader()
  const { promise: isOver, resolve, reject } = Promise.withResolvers<void>()
  let commit = 0n
  let said: Joined | null = null
  let tally: Tally = { count: 0, sum: 0 }
  let heardAt = performance.now()
  const count = (name: string) => {
    if (commit < from || commit >= end) return
    tally.count += 1
    tally.sum += tally.count
    told.counts.set(name, (told.counts.get(name) ?? 0) + 1)
  }
  const take = (bytes: Buffer) => {
    const message = reader.read(bytes)
    if (message.kind === 'begin') {
      commit = message.commitLsn
      said = null
      tally = { count: 0, sum: 0 }
      if (commit >= end) resolve()
      else if (commit >= from) told.earliestMs ??= Number(message.micros / 1000n)
    } else if (message.kind === 'commit') {
      if (tally.count > 0) told.transactions.set(commit, tally)
      if (message.endLsn >= end) resolve()
    } else if (message.kind === 'truncate') count('truncate')
    else if (message.kind === 'message') {
      const { isTransactional, prefix, content } = message
      const isOurs = prefix === EVENT_PREFIX || prefix === CONTEXT_PREFIX
      // Context is no change; a message that is none is recorded as such.
      if (!isTransactional || !isOurs) return
      const found = readMessage(prefix, content, said, encoding)
      if ('joined' in found) said = found.joined
      else count('message')
    } else if (message.kind !== 'none') count(`${message.kind} ${message.relation.schema}.${message.relation.name}`)
  }
  const replication = await Replication.connect(config.database)
  const watch = setInterval(() => {
    if (performance.now() - heardAt > PATIENCE_MS) reject(new Error('the database does not come to the end of its log'))
  }, 1_000)
  const guarded = (work: () => void) => {
    heardAt = performance.now()
    try {
      work()
    } catch (error) {
      reject(error)
    }
  }
  try {
    await replication.start(
      { slot, publication: config.publication, from: begins, statusMs: 2_000 },
      {
        data: (bytes) => guarded(() => take(bytes)),
        keepalive: (sent) => guarded(() => (sent >= end ? resolve() : undefined)),
      },
    )
    await Promise.race([isOver, replication.ended])
    return told
  } finally {
    clearInterval(watch)
    await replication.close()
  }
}

/** What the ledger says it has. @param sinceMs recorded from then on; null: whenever */
async function readLedger(
  config: ChangesConfig,
  database: string,
  token: string,
  range: Range,
  sinceMs: number | null,
): Promise<{ transactions: Map<bigint, Tally>; unread: number }> {
  const transactions = new Map<bigint, Tally>()
  let unread = 0
  const api = openApi(config.url, token)
  const query = new URLSearchParams({ source: config.source, limit: `${PAGE}` })
  if (sinceMs !== null) query.set('from', new Date(sinceMs).toISOString())
  for (let next: unknown = ''; next !== null; ) {
    if (next !== '') query.set('cursor', String(next))
    const page = await api.json(`/v1/events?${query}`)
    if (!isObject(page) || !Array.isArray(page.events))
      throw new KillickError('answer_malformed', '/v1/events holds no events')
    for (const row of page.events) {
      const metadata = isObject(row) && isObject(row.fields) ? row.fields.metadata : undefined
      const known = isObject(metadata) && isObject(metadata.changes) ? metadata.changes : undefined
      if (known?.database === database) tallied(transactions, known, range)
      else if (metadata === undefined && isObject(row) && LOSSES.some((name) => row[name] !== undefined)) unread += 1
    }
    next = page.next ?? null
  }
  return { transactions, unread }
}

/** Members of a row of which each says that the event, or a field of it, is gone. */
const LOSSES = ['missing', 'erased', 'expired', 'error'] as const
const COUNTED = new Set(['row', 'transaction', 'truncate', 'message'])

function tallied(kept: Map<bigint, Tally>, known: JsonObject, { from, end }: Range): void {
  const commit = parseLsn(known.commitLsn)
  const last = known.index
  const isOfTransaction = typeof known.xid === 'number' && COUNTED.has(String(known.kind))
  if (commit === null || commit < from || commit >= end || typeof last !== 'number' || !isOfTransaction) return
  const first = typeof known.first === 'number' ? known.first : last
  const tally = kept.get(commit) ?? { count: 0, sum: 0 }
  tally.count += last - first + 1
  tally.sum += ((first + last) * (last - first + 1)) / 2
  kept.set(commit, tally)
}
