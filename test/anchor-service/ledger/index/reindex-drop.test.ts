import type pg from 'pg'
import { expect, test } from 'vitest'
import { openPool } from '../../../../anchor-service/src/database/pool.ts'
import { emptyPacks } from '../../../../anchor-service/src/erasure/dropping.ts'
import { reindex } from '../../../../anchor-service/src/ledger/index/reindex.ts'
import { insertDrop } from '../../../../anchor-service/src/ledger/registry/drops.ts'
import { queryAsOwner } from '../../../support/postgres.ts'
import { nextBatch, registerSource, testLedger } from '../../support/ledger.ts'
import { newSigner, Producer } from '../../support/producer.ts'

test('reindexing does not bring back the keys of events that are dropped meanwhile', async () => {
  const opened = await testLedger()
  const { ledger, pool, databaseUrl } = opened
  const owner = openPool(databaseUrl, false, 1)
  try {
    const signer = newSigner()
    await registerSource(opened, { source: 'billing', signer })
    const { receipt } = await ledger.submit(await nextBatch(new Producer('billing', signer), 3))
    const { logIndex } = receipt
    const readKeys = () =>
      queryAsOwner(
        databaseUrl,
        `select k.first_event, k.scheme, encode(k.keys, 'hex') as keys from killick.pack_keys k join killick.packs p using (first_event)
         where p.log_index = ${logIndex} order by 1, 2`,
      )
    let dropped: unknown[] = []
    async function drop() {
      const policy =
        'insert into retention_policies (log_index, id, version, covers, contents_days) values ($1, $2, 1, $3, 1)'
      await pool.query(policy, [100, 'p', '{}'])
      await insertDrop(pool, 101, { entries: [[logIndex, logIndex]], events: 3 }, 100)
      await emptyPacks(pool, [logIndex])
      dropped = await readKeys()
    }
    // Once a page of packs has been read, before the keys of the first are.
    const connect = async () => {
      const client = await owner.connect()
      const query = async (...args: unknown[]) => {
        const isOfKeys = typeof args[0] === 'string' && args[0].includes('key_counts') && args[0].includes('select')
        if (isOfKeys && dropped.length === 0) await drop()
        return (client.query as (...args: unknown[]) => unknown)(...args)
      }
      return { query, release: (error?: Error) => client.release(error) }
    }
    const before = await readKeys()
    await reindex({ connect, query: owner.query.bind(owner) } as unknown as pg.Pool)
    expect(dropped).not.toEqual(before)
    expect(await readKeys()).toEqual(dropped)
  } finally {
    await owner.end()
    await opened.close()
  }
})
