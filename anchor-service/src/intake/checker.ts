// A thread that checks batches. It is started by checkers.ts; what crosses between the two is described there.
import { workerData } from 'node:worker_threads'
import { KillickError } from '@killick/sdk/core'
import { isOutage } from '../database/outage.ts'
import { openPool } from '../database/pool.ts'
import { Refusal } from '../errors.ts'
import type { CheckedBatch } from '../ledger/packs/checked-batch.ts'
import { free } from '../release-memory.ts'
import { answerQuestions, type Reply } from '../thread.ts'
import { checkBatch } from './check.ts'
import type { Answer, CheckerData, Question } from './checkers.ts'
import { type DecodedBody, decodeBody } from './decode.ts'
import { knowSources } from './known-sources.ts'

const { databaseUrl, hasRole } = workerData as CheckerData
// One connection: it reads the keys of a batch's source, and a batch that is repeated late.
const pool = openPool(databaseUrl, hasRole, 1)
const sources = knowSources(pool)

answerQuestions(answerOf, () => pool.end())

async function answerOf({ share, body, encoding, registry, now }: Question): Promise<Reply<Answer>> {
  let decoded: DecodedBody | undefined
  try {
    decoded = decodeBody(body, encoding)
    const batch = await checkBatch(decoded, sources, pool, registry, now, share)
    return { answer: { batch }, transfer: batch === null ? [] : buffersOf(batch) }
  } catch (error) {
    const refusal = isOutage(error) ? new Refusal('unavailable', undefined, { cause: String(error) }) : error
    if (!(refusal instanceof KillickError) && !(refusal instanceof Refusal)) throw error
    const { name, code, message, details } = refusal
    return { answer: { refusal: { name, code, message, details } } }
  } finally {
    if (decoded) free(decoded.text)
  }
}

function buffersOf({ eventLeaves, eventNodes, rows, keyRows }: CheckedBatch): ArrayBuffer[] {
  const parts = [eventLeaves, eventNodes, rows.bytes, rows.starts, keyRows.bytes, keyRows.starts]
  return parts.map((part) => part.buffer as ArrayBuffer)
}
