import { expect, test } from 'vitest'
import { parseErasure } from '../../../sdk/src/core/erasure.ts'
import type { ParsedEvent } from '../../../sdk/src/core/event.ts'
import type { JsonObject } from '../../../sdk/src/core/json.ts'
import { isCovered, parseRetention, parseRetentionEnd, type RetentionScope } from '../../../sdk/src/core/retention.ts'
import { expectAccepted, vectors } from '../../support/vectors.ts'

type Case = { description: string; valid: boolean; code?: string; fields: JsonObject }
type Covered = {
  covers: RetentionScope
  event: { source: string; stream: string; action: string | null }
  covered: boolean
}

const { policies, orders, covered } = vectors<{ policies: Case[]; orders: Case[]; covered: Covered[] }>('retention')
/** An event of the ledger's own stream. */
const own = (fields: JsonObject, stream = 'system') => ({ source: 'killick', stream, fields }) as unknown as ParsedEvent

test.each(policies)('$description', ({ fields, ...expected }) => {
  const read = () => parseRetention(own(fields)) ?? parseRetentionEnd(own(fields))
  const policy = expectAccepted(expected, read)
  if (expected.valid) expect(policy).toMatchObject({ id: 'orders', version: 2 })
  expect(parseRetention(own(fields, 'other'))).toBeNull()
})

test.each(orders)('$description', ({ fields, ...expected }) => {
  const order = expectAccepted(expected, () => parseErasure(own(fields)))
  if (expected.valid) expect(order!.policy).toEqual((fields.metadata as JsonObject).policy ?? null)
})

test.each(covered)('$description', ({ covers, event, covered }) => {
  expect(isCovered({ covers }, { ...event, action: event.action ?? undefined })).toBe(covered)
})
