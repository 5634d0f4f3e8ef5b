// The audit compares a schema with lines that were printed from a schema that was just made.
import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { checkSchema, readSchema } from '../../../anchor-service/src/audit/schema.ts'
import { openPool } from '../../../anchor-service/src/database/pool.ts'
import { createDatabase, queryAsOwner } from '../../support/postgres.ts'
import { testLedger } from '../support/ledger.ts'

const FILE = new URL('../../../anchor-service/src/audit/schema.json', import.meta.url)

test('schema.json is what the migrations make (KILLICK_UPDATE=1 writes it)', async () => {
  const { databaseUrl, close } = await testLedger()
  // How texts and names are printed is nobody's alteration of the schema.
  const name = new URL(databaseUrl).pathname.slice(1)
  for (const setting of ["bytea_output = 'escape'", 'quote_all_identifiers = on', 'standard_conforming_strings = off'])
    await queryAsOwner(databaseUrl, `alter database ${name} set ${setting}`)
  const pool = openPool(databaseUrl, true, 1)
  const { lines, unlike } = await readSchema(pool)
  await pool.end()
  // As the server's own configuration can have it, which is in no catalogue.
  const silenced = openPool(`${databaseUrl}?options=-c%20session_replication_role%3Dreplica`, true, 1)
  const { faults } = await checkSchema(silenced, true).finish()
  await silenced.end()
  await close()
  expect(faults.map(({ message }) => message)).toEqual([
    'there is: triggers do nothing: session_replication_role is replica',
  ])
  expect(unlike).toEqual([])
  if (process.env.KILLICK_UPDATE === '1') await writeFile(FILE, `${JSON.stringify(lines, null, 2)}\n`)
  expect(lines).toEqual(JSON.parse(await readFile(FILE, 'utf8')))
})

test('where nobody could make the role, and it is not there, the schema is checked all the same', async () => {
  const pool = openPool(await createDatabase(true), false, 1)
  const client = await pool.connect()
  await client.query(
    'begin; drop owned by killick_ledger; alter role killick_ledger rename to killick_ledger_of_others',
  )
  const { faults, detail } = await checkSchema(client, false).finish()
  await client.query('rollback')
  client.release()
  await pool.end()
  expect(faults).toEqual([])
  expect(detail).toMatch(/^\d+ objects$/)
})
