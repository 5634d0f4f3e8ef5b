// A thread that checks batches. It is started by checkers.ts; what crosses between the two is described there.
import { workerData } from 'node:worker_threads'
import { answerQuestions, KillickError, MAX_BATCH_BYTES, type Reply } from '@killick/sdk/core'
import { isOutage } from '../database/outage.ts'
import { openPool } from '../database/pool.ts'
import { Refusal } from '../errors.ts'
import type { CheckedBatch } from '../ledger/packs/checked-batch.ts'
import { free } from '../release-memory.ts'
import { holdToCatalogues } from './catalogue-check.ts'
import { checkBatch } from './check.ts'
import { type Answer, type CheckerData, type Enforced, isSmall, type Question } from './checkers.ts'
import { pack } from './crossing.ts'
import { type DecodedBody, decodeBody } from './decode.ts'
import { knowSources } from './known-sources.ts'

const { databaseUrl, hasRole, enforced } = workerData as CheckerData
// One connection: it reads the keys of a batch's source, and a batch that is repeated late.
const pool = openPool(databaseUrl, hasRole, 1)
const sources = knowSources(pool)
const catalogues = holdToCatalogues(pool)
catalogues.tell(enforced)

answerQuestions(
  (question: Question) => answerOf(question).finally(() => free(question.body)),
  () => pool.end(),
  (message: Enforced) => catalogues.tell(message.enforced),
)

/** Bytes of a small body as it was before compression: many are decoded at a time. */
const SMALL_TEXT_BYTES = 128 * 1024
/** Small bodies that come out larger, one after another: a thousand times larger they may be. */
let swollen: Promise<unknown> = Promise.resolve()

async function answerOf(question: Question): Promise<Reply<Answer>> {
  if (!isSmall(question.body)) return judge(question, MAX_BATCH_BYTES)
  const reply = await judge(question, SMALL_TEXT_BYTES)
  if (!('refusal' in reply.answer) || reply.answer.refusal.code !== 'body_too_large') return reply
  const again = swollen.then(() => judge(question, MAX_BATCH_BYTES))
  swollen = again.catch(() => {})
  return again
}

/** @param most bytes that the body may have before compression */
async function judge(question: Question, most: number): Promise<Reply<Answer>> {
  const { share, body, encoding, registry, now } = question
  let decoded: DecodedBody | undefined
  try {
    decoded = decodeBody(body, encoding, most)
    const batch = await checkBatch(decoded, { sources, catalogues }, pool, registry, now, share)
    if (batch === null) return { answer: { batch } }
    return isSmall(body) ? { answer: { packed: pack(batch) } } : { answer: { batch }, transfer: buffersOf(batch) }
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
