import { parseBatch, utf8 } from '@killick/sdk/core'
import type pg from 'pg'
import { migrate } from '../../../anchor-service/src/database/migrate.ts'
import { openPool } from '../../../anchor-service/src/database/pool.ts'
import { type Ledger, openLedger } from '../../../anchor-service/src/ledger/ledger.ts'
import { packBatch } from '../../../anchor-service/src/ledger/packs/packer.ts'
import { register } from '../../../anchor-service/src/ledger/register.ts'
import type { LocalSigner } from '../../../anchor-service/src/ledger/signing-keys.ts'
import { createDatabase } from '../../support/postgres.ts'
import { newSigner, type Producer, sampleEvent, type Twist } from './producer.ts'

export const logSigner = newSigner() as LocalSigner
export const systemSigner = newSigner() as LocalSigner
export const ORIGIN = 'log.test/killick'

export type TestLedger = { ledger: Ledger; pool: pg.Pool; databaseUrl: string; close(): Promise<void> }

/** Opens a ledger on a fresh database, or another one on an existing database. `prepare` gets the pool before its first use. */
export async function testLedger(
  databaseUrl?: string,
  prepare: (pool: pg.Pool) => void = () => {},
): Promise<TestLedger> {
  const url = databaseUrl ?? (await createDatabase(true))
  const { hasRole } = await migrate(url)
  const pool = openPool(url, hasRole)
  prepare(pool)
  const ledger = await openLedger({ pool, origin: ORIGIN, logSigner, systemSigner })
  return {
    ledger,
    pool,
    databaseUrl: url,
    async close() {
      await ledger.close()
      await pool.end()
    },
  }
}

/** Registers a source with one key. */
export const registerSource = ({ ledger }: TestLedger, { source, signer }: Pick<Producer, 'source' | 'signer'>) =>
  register(
    ledger,
    { source, keys: [{ jwk: signer.jwk, notBefore: null, notAfter: null }] },
    { type: 'test', id: 'test' },
  )

/** The producer's next batch of `n` events, parsed and ready for the ledger. @param twist as of Producer.batch */
export async function nextBatch(producer: Producer, n = 1, twist: Twist = {}) {
  const batch = await producer.batch(
    Array.from({ length: n }, (_, i) => sampleEvent(i)),
    twist,
  )
  batch.advance()
  return packBatch(parseBatch(utf8(batch.body)))
}
