// A service with registrations, for tests in which somebody alters its tables, and copies from which these are put back.
import { tamper } from '../audit/support/audits.ts'
import { newSigner, Producer, post, sampleEvent } from './producer.ts'
import { register, type TestService, testService } from './service.ts'

export const PAST = '2020-01-01T00:00:00.000Z'

/** Keys of `billing`: one that signs, one that was ended, and one that was never registered. */
export const signer = newSigner()
export const revoked = newSigner()
export const foreign = newSigner()

/** Registers `billing`, `other` with settings of its own and one batch, and then ends a key of `billing`. */
export async function registeredService(): Promise<TestService> {
  const service = await testService()
  await register(service.url, 'billing', [{ jwk: signer.jwk }, { jwk: revoked.jwk }])
  await register(service.url, 'other', [{ jwk: signer.jwk }], { decoys: true, maxAge: 60 })
  await post(service.url, (await new Producer('other', signer).batch([sampleEvent()])).body)
  await register(service.url, 'billing', [{ jwk: revoked.jwk, notAfter: PAST }])
  return service
}

/** Copies tables as they are now into `kept_` tables. */
export async function keepTables(service: TestService, tables: readonly string[]): Promise<void> {
  const copies = tables.map(
    (table) => `drop table if exists kept_${table}; create table kept_${table} as table ${table}`,
  )
  await tamper(service, copies.join(';'))
}

/**
 * Makes tables what they were when they were copied.
 * @param altered which rows may have been altered, as SQL from `where` on; the others stay. Default: all
 */
export async function putBack(
  service: TestService,
  tables: readonly string[],
  altered: (table: string) => string = () => '',
): Promise<void> {
  const deleted = tables.map((table) => `delete from ${table} ${altered(table)}`)
  const inserted = tables.map((table) => `insert into ${table} select * from kept_${table}`)
  await tamper(service, [...deleted, ...inserted].join(';'))
}
