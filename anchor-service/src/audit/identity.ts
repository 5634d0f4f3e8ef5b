import type { Fault, OwnCheck } from '@killick/sdk/audit'
import { readMigrations } from '../database/migrate.ts'
import type { Db } from '../database/pool.ts'
import { fault } from './walk.ts'

/** Which log this is, and what made its tables: rows that the service goes by when it starts. */
export function checkIdentity(db: Db, log: { origin: string; vkey: string }): OwnCheck {
  return {
    id: 'identity',
    title: 'The database is that of this log, made by these migrations',
    isApart: true,
    async finish() {
      const faults: Fault[] = []
      const { rows } = await db.query<{ origin: string; vkey: string }>('select origin, vkey from ledger')
      if (rows.length !== 1)
        faults.push(
          fault(null, rows.length === 0 ? 'absent' : 'untold', `ledger: there are ${rows.length} rows, not one`),
        )
      for (const column of ['origin', 'vkey'] as const)
        if (rows[0] && rows[0][column] !== log[column])
          faults.push(fault(null, 'different', `ledger.${column}: it is that of another log`))
      const wanted = new Map((await readMigrations()).map(({ name, checksum }) => [name, checksum]))
      const applied = await db.query<{ name: string; checksum: string }>('select name, checksum from migrations')
      for (const { name, checksum } of applied.rows) {
        if (!wanted.has(name))
          faults.push(fault(null, 'untold', 'migrations.name: a migration that this version does not have'))
        else if (wanted.get(name) !== checksum)
          faults.push(fault(null, 'different', `migrations.checksum: that of ${name} is another`))
        wanted.delete(name)
      }
      for (const name of wanted.keys()) faults.push(fault(null, 'absent', `migrations.name: ${name} was not applied`))
      return { faults, detail: log.origin }
    },
  }
}
