import { expect, test } from 'vitest'
import { readMigrations } from '../../../anchor-service/src/database/migrate.ts'

// Databases were made by this file. A change of the schema is a new file with the next number.
const FROZEN = { '0001_ledger.sql': '557386800b52961e44e5e769f98cda0d85cfe360a5431dac1c8f3de49cfb1930' }

test('a frozen migration is never changed, or databases made by it could not be opened any more', async () => {
  const found = (await readMigrations()).filter(({ name }) => Object.hasOwn(FROZEN, name))
  expect(Object.fromEntries(found.map(({ name, checksum }) => [name, checksum]))).toEqual(FROZEN)
})

test('migrations are numbered without a gap, in the order in which they are applied', async () => {
  const names = (await readMigrations()).map(({ name }) => name)
  expect(names.map((name) => Number(/^(\d{4})_\w+\.sql$/.exec(name)?.[1]))).toEqual(names.map((_, i) => i + 1))
})
