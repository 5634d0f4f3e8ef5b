import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../config.ts'
import { emptyAgain } from '../erasure/dropping.ts'
import { keepErasing, ListAltered } from '../erasure/erasing.ts'
import { isCommitted, type KeptOrder, keepOrders, readOrder } from '../erasure/kept-orders.ts'
import { StartError } from '../errors.ts'
import { readErasure, readErasures, type StoredErasure } from '../ledger/registry/erasures.ts'
import { openStore } from '../open-store.ts'

const ACTOR = { type: 'operator', id: 'erase-after-restore' }
const LOOK_MS = 200
const PAGE = 1000

/** What became of the orders. Of `held` and `unreadable`, each event once, however many orders name it. `altered`: ids of orders. */
type Repeated = {
  orders: number
  events: number
  held: Set<string>
  holds: Set<string>
  unreadable: Set<string>
  altered: Set<string>
}

/**
 * `erase --after-restore`: orders again, and carries out, what orders named that the restored database has again: those of the data folder
 * that its log does not have, and those of its log. What drops of its log took is emptied again; what its log does not drop yet, its
 * policies will drop. It may be stopped at any time, and run again.
 *
 * @returns what to print
 * @throws StartError if the log went back and nobody has decided yet; or if something is left, because a hold covers it, it cannot be read, or
 * the list that names it was altered
 */
export async function eraseAfterRestore(config: Config): Promise<string> {
  const store = await openStore(config)
  const { ledger, pool } = store
  const orders = keepOrders(pool, config.dataFolder)
  const failures: Error[] = []
  const altered = new Set<string>()
  const failed = ({ erasure, err }: { erasure: string; err: Error }) =>
    err instanceof ListAltered ? altered.add(erasure) : failures.push(err)
  const erasing = keepErasing({ ledger, pool, orders, failed })
  try {
    if ((await ledger.checkHead()) !== null) throw new StartError(DECIDE)
    const lost = [...(await orders.lost()), ...(await orders.left())]
    const none = { held: new Set<string>(), holds: new Set<string>(), unreadable: new Set<string>() }
    const all: Repeated = { orders: 0, events: 0, ...none, altered }
    const repeat = async (order: KeptOrder) => {
      const { erasure, ...left } = await erasing.repeat(order, ACTOR)
      if (erasure !== null) {
        await carriedOut(erasure)
        all.orders += 1
        all.events += erasure.count
      }
      for (const name of ['held', 'holds', 'unreadable'] as const) for (const each of left[name]) all[name].add(each)
      return left.held.length + left.unreadable.length === 0 ? 'settled' : 'left'
    }
    // Before any is made here.
    const { inLog, open } = await readOrders()
    for (const erasure of open) await carriedOut(erasure)
    for (const order of lost) await orders.look(order.id, await repeat(order))
    for (const { id } of inLog) {
      const { root, ...order } = await readOrder(pool, id)
      if (!altered.has(id) && isCommitted(order, root)) await repeat(order)
      else altered.add(id)
    }
    return describe(all, lost.length + inLog.length, await emptyAgain(pool))
  } finally {
    await erasing.close()
    await store.close()
  }

  /** The orders of the log, those by a policy too, since nothing looks at a pack again of which everything has expired; and what is open. */
  async function readOrders(): Promise<{ inLog: StoredErasure[]; open: StoredErasure[] }> {
    const found: StoredErasure[] = []
    for (let after: number | null = -1; after !== null; ) {
      const { erasures, next } = await readErasures(pool, { limit: PAGE, after })
      found.push(...erasures)
      after = next
    }
    return { inLog: found, open: found.filter(({ end }) => end === null) }
  }

  async function carriedOut({ id }: StoredErasure): Promise<void> {
    while (!altered.has(id) && (await readErasure(pool, id))!.end === null) {
      if (failures.length > 0) throw failures[0]
      await sleep(LOOK_MS)
    }
  }
}

function describe(
  { orders, events, held, holds, unreadable, altered }: Repeated,
  looked: number,
  dropped: number,
): string {
  const lines = [
    `Orders of erasure that were looked at: ${looked}.`,
    orders === 0
      ? 'Nothing of what they name is there.'
      : `Orders of which the database had again what they name: ${orders}. Events that were erased again, by new orders: ${events}.`,
  ]
  if (dropped > 0)
    lines.push(`Events that were there again after a policy had dropped them, and are gone again: ${dropped}.`)
  if (held.size + unreadable.size + altered.size === 0) return `${lines.join('\n')}\n`
  if (held.size > 0)
    lines.push(
      `Events that were left, because holds cover them: ${held.size}. The holds: ${[...holds].join(', ')}. Which of the two gives way is for people to decide: lift the hold, then run this again or order the erasure anew.`,
    )
  if (unreadable.size > 0)
    lines.push(
      `Events that cannot be read as they were accepted: ${unreadable.size}. Nothing of them was erased; an audit tells where they are.`,
    )
  if (altered.size > 0)
    lines.push(
      `Orders whose lists are not what the orders commit to: ${[...altered].join(', ')}. Somebody has altered the database; what these orders named may be there again. Restore another copy.`,
    )
  throw new StartError(lines.join('\n'))
}

const DECIDE = `The log in the database does not continue what was signed: entries are missing. Nothing was erased. Restore a newer copy, or decide
to go on without them:

    killick-anchor-service accept-head

Then run this again.`
