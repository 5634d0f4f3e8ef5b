// Errors of the database in a checking thread: an outage is reported as one, a fault of the service as a fault.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { toProblem } from '../../../anchor-service/src/http/problems.ts'
import { startCheckers } from '../../../anchor-service/src/intake/checkers.ts'
import { queryAsOwner } from '../../support/postgres.ts'
import { type TestLedger, testLedger } from '../support/ledger.ts'
import { newSigner, Producer, sampleEvent } from '../support/producer.ts'

let it: TestLedger
let body: Uint8Array

beforeAll(async () => {
  it = await testLedger()
  body = Buffer.from((await new Producer('billing', newSigner()).batch([sampleEvent()])).body)
})
afterAll(() => it.close())

async function problemOf(databaseUrl: string) {
  const checkers = startCheckers({ databaseUrl, hasRole: true }, 1)
  const error = await checkers.check({ body: Uint8Array.from(body), encoding: 'identity', registry: 0, now: 0 }).then(
    () => null,
    (reason: unknown) => reason,
  )
  await checkers.close()
  return toProblem(error)
}

test('a database that does not answer is an outage', async () => {
  const gone = new URL(it.databaseUrl)
  gone.port = '1'
  expect(await problemOf(gone.href)).toMatchObject({ status: 503, code: 'unavailable' })
})

test('a database that refuses the login, as after a change of the password, or that is not there, is an outage', async () => {
  const changed = new URL(it.databaseUrl)
  changed.password = 'older'
  expect(await problemOf(changed.href)).toMatchObject({ status: 503, code: 'unavailable' })
  const dropped = new URL(it.databaseUrl)
  dropped.pathname = '/dropped'
  expect(await problemOf(dropped.href)).toMatchObject({ status: 503, code: 'unavailable' })
})

test('a database that shuts down, or whose disk is full, is an outage by its SQLSTATE; a broken schema is not', async () => {
  const instead = (body: string) =>
    queryAsOwner(
      it.databaseUrl,
      `alter table if exists killick.sources rename to sources_kept;
       create or replace function killick.fail(code text) returns boolean stable language plpgsql as $$
         begin raise exception 'no' using errcode = code; end $$;
       create or replace view killick.sources as select * from killick.sources_kept ${body};
       grant select on killick.sources to public`,
    )
  for (const code of ['57P01', '53100']) {
    await instead(`where killick.fail('${code}')`)
    expect(await problemOf(it.databaseUrl)).toMatchObject({ status: 503, code: 'unavailable' })
    await queryAsOwner(it.databaseUrl, 'drop view killick.sources; alter table killick.sources_kept rename to sources')
  }
  await queryAsOwner(it.databaseUrl, 'alter table killick.sources rename column event_signatures to other')
  expect(await problemOf(it.databaseUrl)).toMatchObject({ status: 500, code: 'internal' })
})
