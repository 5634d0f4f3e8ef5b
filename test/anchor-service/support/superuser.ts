// What somebody who owns the database but holds no key can do.
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { queryAsOwner } from '../../support/postgres.ts'

/** Deletes everything after the log's first `size` entries from every table, so that a complete, shorter log is left. */
export async function cutTail(databaseUrl: string, size: number): Promise<void> {
  await queryAsOwner(
    databaseUrl,
    `set session_replication_role = replica;
     delete from killick.pack_keys where first_event >= (select first_event from killick.batches where log_index = ${size});
     delete from killick.packs where log_index >= ${size};
     delete from killick.batches where log_index >= ${size};
     delete from killick.checkpoints where size > ${size};
     delete from killick.tiles where tile * 256 + start >= floor(${size} / 256 ^ level)`,
  )
}

/** Makes a copy of the database, as a dump would. @returns its name */
export async function dump(databaseUrl: string): Promise<string> {
  const copy = `dump_${randomBytes(6).toString('hex')}`
  await onServer(databaseUrl, async (client, name) => {
    await client.query(`alter database ${name} allow_connections false`)
    await client.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [name])
    await client.query(`create database ${copy} template ${name}`)
    await client.query(`alter database ${name} allow_connections true`)
  })
  return copy
}

/** Replaces the database by a copy or another database, whoever is connected to it. */
export async function restore(databaseUrl: string, copy: string): Promise<void> {
  await onServer(databaseUrl, async (client, name) => {
    await client.query(`drop database ${name} with (force)`)
    await client.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [copy])
    await client.query(`alter database ${copy} rename to ${name}`)
  })
}

/** The URL of another database on the same server. */
export function beside(databaseUrl: string, name: string): string {
  const url = new URL(databaseUrl)
  url.pathname = `/${name}`
  return url.href
}

async function onServer(databaseUrl: string, work: (client: pg.Client, name: string) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: beside(databaseUrl, 'postgres') })
  await client.connect()
  try {
    await work(client, new URL(databaseUrl).pathname.slice(1))
  } finally {
    await client.end()
  }
}
