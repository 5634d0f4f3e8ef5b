import { expect, test } from 'vitest'
import { parseErasure } from '../../../sdk/src/core/erasure.ts'
import type { ParsedEvent } from '../../../sdk/src/core/event.ts'
import type { JsonObject } from '../../../sdk/src/core/json.ts'
import { parseProposal, parseRefusal } from '../../../sdk/src/core/proposal.ts'
import { isPruned, parsePruning } from '../../../sdk/src/core/pruning.ts'
import {
  dropFields,
  isCovered,
  keptFrom,
  parseDrop,
  parseRetention,
  parseRetentionEnd,
  type RetentionPolicy,
  type RetentionScope,
} from '../../../sdk/src/core/retention.ts'
import { expectAccepted, vectors } from '../../support/vectors.ts'

type Case = { description: string; valid: boolean; code?: string; fields: JsonObject }
type Covered = {
  covers: RetentionScope
  event: { source: string; stream: string; action: string | null }
  covered: boolean
}

type Kept = {
  description: string
  policy: RetentionPolicy
  batch: { source: string; stream: string }
  others: RetentionPolicy[]
  holds: { source?: string; stream?: string }[]
  kept: string | null
}

const { policies, orders, proposals, confirmed, drops, prunings, covered, kept } = vectors<{
  policies: Case[]
  orders: Case[]
  proposals: Case[]
  confirmed: Case[]
  drops: Case[]
  prunings: Case[]
  covered: Covered[]
  kept: Kept[]
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

test.each(drops)('dropped: $description', ({ fields, ...expected }) => {
  const drop = expectAccepted(expected, () => parseDrop(own(fields)))
  if (expected.valid) {
    expect(drop).toMatchObject({ id: 'orders', version: 2, events: 4_000 })
    expect(dropFields(drop!)).toEqual(fields)
  }
  expect(parseDrop(own(fields, 'other'))).toBeNull()
})

test('entries that cannot be read again are not printed', () => {
  const drop = { id: 'orders', version: 2, size: 812, time: 1_795_000_000, events: 1 }
  const thousands = Array.from({ length: 4_000 }, (_, i): [number, number] => [10_000 + 2 * i, 10_000 + 2 * i])
  for (const entries of [
    [],
    [[2, 1]],
    [
      [5, 6],
      [7, 7],
    ],
    thousands,
  ] as [number, number][][])
    expect(() => dropFields({ ...drop, entries })).toThrow(expect.objectContaining({ code: 'retention_invalid' }))
})

test.each(kept)('kept: $description', ({ policy, batch, others, holds, kept }) => {
  expect(keptFrom(policy, batch, others, holds)).toBe(kept)
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
