// The audit compares a schema with lines that were printed from a schema that was just made.
import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { readSchema } from '../../../anchor-service/src/audit/schema.ts'
import { openPool } from '../../../anchor-service/src/database/pool.ts'
import { testLedger } from '../support/ledger.ts'

const FILE = new URL('../../../anchor-service/src/audit/schema.json', import.meta.url)

test('schema.json is what the migrations make (KILLICK_UPDATE=1 writes it)', async () => {
  const { databaseUrl, close } = await testLedger()
  const pool = openPool(databaseUrl, true, 1)
  const { lines, unlike } = await readSchema(pool)
  await pool.end()
  await close()
  expect(unlike).toEqual([])
  if (process.env.KILLICK_UPDATE === '1') await writeFile(FILE, `${JSON.stringify(lines, null, 2)}\n`)
  expect(lines).toEqual(JSON.parse(await readFile(FILE, 'utf8')))
})
