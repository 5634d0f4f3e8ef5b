import { expect, test } from 'vitest'
import { migrate } from '../../../anchor-service/src/database/migrate.ts'
import { openPool } from '../../../anchor-service/src/database/pool.ts'
import { openLedger } from '../../../anchor-service/src/ledger/ledger.ts'
import { register } from '../../../anchor-service/src/ledger/register.ts'
import { createDatabase } from '../../support/postgres.ts'
import { logSigner, nextBatch, ORIGIN, systemSigner } from '../support/ledger.ts'
import { newSigner, Producer } from '../support/producer.ts'

test('who contradicts himself at once costs nobody else a transaction, and the evidence is kept', async () => {
  const url = await createDatabase(true)
  const { hasRole } = await migrate(url)
  const pool = openPool(url, hasRole)
  const groups: number[] = []
  const hooks = { committed: (_: number, outcomes: readonly unknown[]) => void groups.push(outcomes.length) }
  const ledger = await openLedger({ pool, origin: ORIGIN, logSigner, systemSigner, hooks })
  try {
    const signer = newSigner()
    const keys = [{ jwk: signer.jwk, notBefore: null, notAfter: null }]
    for (const source of ['liar', 'honest']) await register(ledger, { source, keys }, { type: 'test', id: 'test' })
    groups.length = 0
    const producers = [
      new Producer('liar', signer, 'one'),
      ...Array.from({ length: 6 }, (_, i) => new Producer('honest', signer, `s${i}`)),
      new Producer('liar', signer, 'one'),
    ]
    const batches = await Promise.all(producers.map((producer) => nextBatch(producer)))
    // A recorder that sends again what is on its way contradicts nothing.
    const again = batches[1]!
    const sent = await Promise.allSettled([...batches.slice(0, 7), again, batches[7]!].map(ledger.submit))
    const outcomes = sent.map((one) => (one.status === 'fulfilled' ? one.value.isNew : one.reason.code))
    expect(outcomes).toEqual([true, true, true, true, true, true, true, false, 'equivocation'])
    expect(groups).toEqual([8, 1])
    const { rows } = await pool.query('select count(*) as n from equivocations')
    expect(rows).toEqual([{ n: 1 }])
  } finally {
    await ledger.close()
    await pool.end()
  }
})
