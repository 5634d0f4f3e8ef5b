// `killick-gateway changes setup`: makes what the recorder needs in the database, and says what it did.
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { type ChangesConfig, verifySlotOf } from './config.ts'
import { connectTo, publicationFacts, type ServerFacts, serverFacts, slotFacts, tablesToPublish } from './database.ts'
import { ChangesError } from './errors.ts'
import { printLsn } from './lsn.ts'
import { checkServer } from './preflight.ts'

/** SQLSTATE. */
const [INSUFFICIENT_PRIVILEGE, LOCK_NOT_AVAILABLE, QUERY_CANCELED] = ['42501', '55P03', '57014']
/** Whoever waits for a table makes everybody wait who comes behind: how long that may be, and how long they then have, ms. */
const [LOCK_MS, LOCK_PAUSE_MS] = [200, 1_000]
/** Default of `patienceMs`. */
const PATIENCE_MS = 30_000

/** What setup may do, and how long it waits. */
export type SetupOptions = {
  /** Whether a publication is made under which some tables refuse UPDATE and DELETE. */
  readonly force?: boolean
  /** How long each table, and each slot, is waited for while transactions of others are in the way, ms. Default: 30,000. */
  readonly patienceMs?: number
}

/**
 * Makes publication and slot where they are missing, and changes none that is there but a slot for checks that is invalidated. Tables first, then the slot: from its place on
 * nothing is left out.
 * @param print tells what was done, a line each
 * @throws ChangesError `changes_database_unsuitable`, `changes_identity_missing`, `changes_database_busy`, or the error of the database
 */
export async function setupChanges(
  config: ChangesConfig,
  print: (line: string) => void,
  { force = false, patienceMs = PATIENCE_MS }: SetupOptions = {},
): Promise<void> {
  const client = await connectTo(config.database)
  try {
    const server = await serverFacts(client)
    checkServer(server)
    await makePublication(client, config, server, print, { force, patienceMs })
    // First the one that may hold more.
    const verify = { ...config, slot: verifySlotOf(config) }
    if (config.verifySlot) {
      await dropIfLost(client, verify.slot, print)
      await makeSlot(client, verify, server.version, print, patienceMs)
    }
    await makeSlot(client, config, server.version, print, patienceMs)
  } catch (error) {
    const { code, message } = error as pg.DatabaseError
    if (code !== INSUFFICIENT_PRIVILEGE) throw error
    throw new ChangesError(
      'changes_database_unsuitable',
      `The user in "database" may not make what is missing: ${message}. Run setup with the --config of a file whose "database" names a superuser`,
    )
  } finally {
    await client.end()
  }
}

async function makePublication(
  client: pg.Client,
  config: ChangesConfig,
  server: ServerFacts,
  print: (line: string) => void,
  { force, patienceMs }: Required<SetupOptions>,
): Promise<void> {
  const { publication, tables, identity } = config
  if ((await publicationFacts(client, publication)) !== null) {
    print(`publication ${publication}: was there, left as it is`)
    return
  }
  const names = tables?.map(quotedName)
  const published = await tablesToPublish(client, server, tables)
  const namesOf = (some: typeof published) => some.map(({ table }) => table).join(', ')
  const nameless = published.filter(({ isNamed }) => !isNamed)
  if (nameless.length > 0 && identity === 'keep' && !force)
    throw new ChangesError(
      'changes_identity_missing',
      `The rows of these tables have no name: no primary key that is not deferrable, and no replica identity. PostgreSQL would refuse UPDATE and DELETE on them once they are published: ${namesOf(nameless)}. ` +
        'Set "identity": "full", or alter table … replica identity full, or list others in "tables". With --force they are published as they are: for tables into which rows are only inserted.',
    )
  const virtual = published.filter(
    (each) => each.hasVirtual && (each.identity === 'full' || (identity === 'full' && !each.isNamed)),
  )
  if (virtual.length > 0 && !force)
    throw new ChangesError(
      'changes_identity_missing',
      `These tables have virtual generated columns, so PostgreSQL would refuse UPDATE and DELETE on them once they are published with all of a row as their replica identity: ${namesOf(virtual)}. ` +
        'Give them a primary key and alter table … replica identity default, make the columns stored ones, or list others in "tables". With --force they are published as they are.',
    )
  const narrowed = nameless.filter((each) => each.isNarrowed && identity === 'full')
  if (narrowed.length > 0 && !force)
    throw new ChangesError(
      'changes_identity_missing',
      `Another publication leaves out columns of these tables, so PostgreSQL would refuse UPDATE and DELETE on them with all of a row as their replica identity, as it would with none: ${namesOf(narrowed)}. ` +
        'Give them a primary key, have the other publication publish all columns, or list others in "tables". With --force they are published as they are.',
    )
  if (identity === 'full') {
    for (const { table, quoted, hasVirtual, isNarrowed } of published.filter((each) => each.identity !== 'full')) {
      if (hasVirtual || isNarrowed) {
        const why = hasVirtual ? 'its virtual generated columns' : 'the columns that another publication leaves out'
        print(
          `table ${table}: replica identity left as it is, because of ${why}: events have the new values, and of the old ones the key`,
        )
        continue
      }
      await identify(client, quoted, patienceMs)
      print(`table ${table}: replica identity full, so that events have before and after`)
    }
  }
  const what = names === undefined ? 'for all tables' : `for table ${names.join(', ')}`
  // Older ones publish no generated columns.
  const generated = server.version >= 180_000 ? ', publish_generated_columns = stored' : ''
  await client.query(
    `create publication ${pg.escapeIdentifier(publication)} ${what} with (publish = 'insert, update, delete, truncate'${generated})`,
  )
  print(
    `publication ${publication}: made ${names === undefined ? 'for all tables, later ones too' : `for ${tables!.join(', ')}`}`,
  )
  if (names === undefined)
    print(
      'note: a table that is made later needs a primary key or a replica identity before rows of it can be updated or deleted',
    )
}

/** Sets the replica identity of a table without being in the way of those who use it. */
async function identify(client: pg.Client, table: string, patienceMs: number): Promise<void> {
  const until = performance.now() + patienceMs
  await client.query(`set lock_timeout = ${LOCK_MS}`)
  for (;;) {
    try {
      await client.query(`alter table ${table} replica identity full`)
      break
    } catch (error) {
      if ((error as pg.DatabaseError).code !== LOCK_NOT_AVAILABLE) throw error
      if (performance.now() + LOCK_PAUSE_MS < until) await sleep(LOCK_PAUSE_MS)
      else
        throw await busy(client, `The replica identity of ${table} cannot be set`, 'l.relation = $1::regclass', table)
    }
  }
  await client.query('reset lock_timeout')
}

/** @param which of the locks that are held `l` are in the way, with `$1` */
async function busy(client: pg.Client, what: string, which: string, value: string): Promise<ChangesError> {
  const { rows } = await client.query(
    `select distinct l.pid, to_char(a.xact_start at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as since
       from pg_locks l left join pg_stat_activity a on a.pid = l.pid where l.granted and l.pid <> pg_backend_pid() and ${which} order by 1`,
    [value],
  )
  const who = rows.map(({ pid, since }) => `${pid}${since === null ? '' : ` (since ${since})`}`).join(', ')
  return new ChangesError(
    'changes_database_busy',
    `${what} while transactions of others are open${who === '' ? '' : `, of the processes ${who}`}. Run setup again when they have ended; nobody waits for it.`,
  )
}

/** Nobody finds out from a slot for checks that there is a gap, as a recorder does from its own. */
async function dropIfLost(client: pg.Client, slot: string, print: (line: string) => void): Promise<void> {
  if ((await slotFacts(client, slot))?.walStatus !== 'lost') return
  await client.query('select pg_drop_replication_slot($1)', [slot])
  print(`slot ${slot}: was invalidated, and is dropped: what it had cannot be verified any more`)
}

/** Makes the slot of a configuration. @returns where it begins @throws ChangesError `changes_database_busy` */
export async function makeSlot(
  client: pg.Client,
  { slot, failover }: Pick<ChangesConfig, 'slot' | 'failover'>,
  version: number,
  print: (line: string) => void,
  patienceMs: number = PATIENCE_MS,
): Promise<bigint | null> {
  const known = await slotFacts(client, slot)
  if (known !== null) {
    const isLost = known.walStatus === 'lost'
    print(`slot ${slot}: was there, left as it is${isLost ? '; nothing can be read from it: it is invalidated' : ''}`)
    return known.confirmedLsn
  }
  const isFailover = failover && version >= 170_000
  // It waits for every transaction that is open. The server gives up, not only we: it would go on, and make a slot that nobody knows of.
  await client.query(`set statement_timeout = ${patienceMs}`)
  try {
    await client.query(
      isFailover
        ? `select pg_create_logical_replication_slot($1, 'pgoutput', failover => true)`
        : `select pg_create_logical_replication_slot($1, 'pgoutput')`,
      [slot],
    )
  } catch (error) {
    if ((error as pg.DatabaseError).code !== QUERY_CANCELED) throw error
    await client.query('reset statement_timeout')
    throw await busy(client, `The slot ${slot} cannot be made`, 'l.locktype = $1', 'transactionid')
  }
  await client.query('reset statement_timeout')
  const { confirmedLsn } = (await slotFacts(client, slot))!
  const kept = isFailover ? ', for physical standbys that synchronise slots too' : ''
  print(`slot ${slot}: made at ${printLsn(confirmedLsn!)}${kept}; what is committed from now on is recorded`)
  return confirmedLsn
}

/** `schema.table` as SQL names it. */
const quotedName = (table: string): string =>
  table
    .split('.')
    .map((part) => pg.escapeIdentifier(part))
    .join('.')
