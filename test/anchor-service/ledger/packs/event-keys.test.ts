import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { idKey, leafKey, type TermKind, termKey } from '../../../../anchor-service/src/ledger/packs/event-keys.ts'
import { uuidv7 } from '../../support/producer.ts'

test('no leaf hash and no id, whoever chooses them, has the key of a term', () => {
  const first = (key: Buffer) => key[0]! >> 6
  for (let i = 0; i < 200; i++) {
    for (const kind of ['source', 'action', 'actor', 'target'] satisfies TermKind[])
      expect(first(termKey(kind, `text ${i}`))).toBe(0b11)
    expect(first(leafKey(randomBytes(32))) >> 1).toBe(0)
    expect(first(idKey(Buffer.from(uuidv7().replaceAll('-', ''), 'hex')))).toBe(0b10)
  }
})
