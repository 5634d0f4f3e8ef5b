// A thread that checks batches. It is started by checkers.ts; what crosses between the two is described there.
import { parentPort, workerData } from 'node:worker_threads'
import { KillickError } from '@killick/sdk/core'
import { isOutage } from '../database/outage.ts'
import { openPool } from '../database/pool.ts'
import { Refusal } from '../errors.ts'
import type { CheckedBatch } from '../ledger/packs/checked-batch.ts'
import { free } from '../release-memory.ts'
import { checkBatch } from './check.ts'
import { type Answer, type CheckerData, END, type Question, READY } from './checkers.ts'
import { type DecodedBody, decodeBody } from './decode.ts'
import { knowSources } from './known-sources.ts'

const { databaseUrl, hasRole } = workerData as CheckerData
// One connection: it reads the keys of a batch's source, and a batch that is repeated late.
const pool = openPool(databaseUrl, hasRole, 1)
const sources = knowSources(pool)

const underWay = new Set<Promise<void>>()

parentPort!.on('message', (message: Question | typeof END) => {
  if (message === END) return end()
  const work = answer(message).finally(() => underWay.delete(work))
  underWay.add(work)
})
parentPort!.postMessage(READY)

async function answer(question: Question): Promise<void> {
  const { answer, transfer } = await answerOf(question)
  parentPort!.postMessage(answer, transfer)
}

/** With nothing left open, the thread ends. */
async function end(): Promise<void> {
  await Promise.all(underWay)
  await pool.end()
  parentPort!.close()
}

async function answerOf({
  id,
  share,
  body,
  encoding,
  registry,
  now,
}: Question): Promise<{ answer: Answer; transfer: ArrayBuffer[] }> {
  let decoded: DecodedBody | undefined
  try {
    decoded = decodeBody(body, encoding)
    const batch = await checkBatch(decoded, sources, pool, registry, now, share)
    return { answer: { id, batch }, transfer: batch === null ? [] : buffersOf(batch) }
  } catch (error) {
    const refusal = isOutage(error) ? new Refusal('unavailable', undefined, { cause: String(error) }) : error
    if (!(refusal instanceof KillickError) && !(refusal instanceof Refusal))
      return { answer: { id, error }, transfer: [] }
    const { name, code, message, details } = refusal
    return { answer: { id, refusal: { name, code, message, details } }, transfer: [] }
  } finally {
    if (decoded) free(decoded.text)
  }
}

function buffersOf({ eventLeaves, rows, keyRows }: CheckedBatch): ArrayBuffer[] {
  const parts = [eventLeaves, rows.bytes, rows.starts, keyRows.bytes, keyRows.starts]
  return parts.map((part) => part.buffer as ArrayBuffer)
}
