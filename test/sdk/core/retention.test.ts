import { expect, test } from 'vitest'
import { parseErasure } from '../../../sdk/src/core/erasure.ts'
import type { ParsedEvent } from '../../../sdk/src/core/event.ts'
import type { JsonObject } from '../../../sdk/src/core/json.ts'
import { parseProposal, parseRefusal } from '../../../sdk/src/core/proposal.ts'
import { isPruned, parsePruning } from '../../../sdk/src/core/pruning.ts'
import { isCovered, parseRetention, parseRetentionEnd, type RetentionScope } from '../../../sdk/src/core/retention.ts'
import { expectAccepted, vectors } from '../../support/vectors.ts'

type Case = { description: string; valid: boolean; code?: string; fields: JsonObject }
type Covered = {
  covers: RetentionScope
  event: { source: string; stream: string; action: string | null }
  covered: boolean
}

const { policies, orders, proposals, confirmed, prunings, covered } = vectors<{
  policies: Case[]
  orders: Case[]
  proposals: Case[]
  confirmed: Case[]
  prunings: Case[]
  covered: Covered[]
}>('retention')
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

test.each(proposals)('proposed: $description', ({ fields, ...expected }) => {
  const read = () => parseProposal(own(fields)) ?? parseRefusal(own(fields))
  const found = expectAccepted(expected, read)
  if (expected.valid) expect(found).toMatchObject({ id: (fields.targets as [{ id: string }])[0].id })
  expect(parseProposal(own(fields, 'other'))).toBeNull()
})

test.each(confirmed)('confirmed: $description', ({ fields, ...expected }) => {
  const order = expectAccepted(expected, () => parseErasure(own(fields)))
  if (expected.valid) expect(order!.confirmed).toEqual((fields.metadata as JsonObject).confirmed ?? null)
})

test.each(prunings)('pruned: $description', ({ fields, ...expected }) => {
  const said = expectAccepted(expected, () => parsePruning(own(fields)))
  if (expected.valid) expect(said).toEqual(fields.metadata)
  expect(parsePruning(own(fields, 'other'))).toBeNull()
})

test('a tile is pruned once all of it stands before the minimum index', () => {
  const limits = [
    [0, 0, 256],
    [0, 3, 1024],
    [1, 0, 65_536],
  ] as const
  for (const [level, index, end] of limits)
    expect([end - 1, end].map((minimum) => isPruned(level, index, minimum))).toEqual([false, true])
})

test.each(covered)('$description', ({ covers, event, covered }) => {
  expect(isCovered({ covers }, { ...event, action: event.action ?? undefined })).toBe(covered)
})
