// Orders erasures of acknowledged events while parts are killed, and checks at the end that each was carried out, whole.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseEvent, parseProof } from '@killick/sdk/core'
import type { Acknowledged, LedgerAccess } from './check.ts'

/** How many events of a source one order names, and which of their fields. */
const EVENTS = 10
const FIELDS = ['actor', 'targets']
const PATIENCE_MS = 60_000

type Order = { id: string; ids: string[]; isAccepted: boolean }

/**
 * @param urls of services; each order goes to the next one
 * @param token for erasures
 */
export function openEraser(urls: readonly string[], token: string, acknowledged: Acknowledged) {
  const orders: Order[] = []

  /** An order is sent again under its own id until it is accepted: whether it was before, only the ledger knows. */
  async function send(order: Order, url: string): Promise<void> {
    const { id, ids } = order
    const response = await fetch(`${url}/v1/erasures`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ id, ids, fields: FIELDS, reason: 'a crash test' }),
    })
    const text = await response.text()
    // What was acknowledged may still wait in the recorder's spool.
    if (!response.ok && response.status < 500 && response.status !== 404)
      throw new Error(`an erasure was refused: ${text}`)
    order.isAccepted = response.ok
  }

  return {
    /** Orders the erasure of the next events; what did not answer is asked again. */
    async order(round: number): Promise<void> {
      const ids = [...acknowledged.values()].flatMap((names) =>
        [...names.values()].slice(EVENTS * round, EVENTS * (round + 1)),
      )
      if (ids.length > 0) orders.push({ id: randomUUID(), ids, isAccepted: false })
      for (const order of orders)
        if (!order.isAccepted)
          await send(order, urls[round % urls.length]!).catch((error: Error) => {
            if (error.message.startsWith('an erasure')) throw error
          })
    },
    /** @returns how many events were erased. @throws if an order is lost, or not all that it names is gone */
    async check({ url, token: reader }: LedgerAccess): Promise<number> {
      const get = async (path: string) =>
        (await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${reader}` } })).text()
      const until = Date.now() + PATIENCE_MS
      for (const order of orders) {
        while (!order.isAccepted) {
          await send(order, url)
          if (Date.now() > until) throw new Error(`the erasure ${order.id} is not accepted`)
        }
        while (JSON.parse(await get(`/v1/erasures/${order.id}`)).state !== 'done') {
          if (Date.now() > until) throw new Error(`the erasure ${order.id} is not carried out`)
          await sleep(100)
        }
        for (const id of order.ids) {
          const proof = parseProof(await get(`/v1/proofs/${id}`))
          const shown = Object.keys(parseEvent(proof.event).fields)
          if (
            FIELDS.some((name) => shown.includes(name)) ||
            proof.erasures?.length !== 1 ||
            proof.missing !== undefined
          )
            throw new Error(`event ${id} shows ${shown.join(', ')} after its erasure ${order.id}`)
        }
      }
      return orders.reduce((sum, { ids }) => sum + ids.length, 0)
    },
  }
}
