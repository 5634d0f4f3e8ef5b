import { randomBytes } from 'node:crypto'
import type { Party } from '../core/fields.ts'
import { knownOptions } from '../core/options.ts'
import { isSubjectKeyId } from '../core/sealed.ts'
import {
  checkMarks,
  type Envelope,
  type ErasedKey,
  erasedError,
  KEY_BYTES,
  namingBy,
  STORE_OPTIONS,
  type SubjectKey,
  type SubjectKeys,
  storeError,
  unwrapKey,
  wrapKey,
} from './subject-keys.ts'

/** A pool of connections, as `pg` has it: of a database of its own, whose backups can be thrown away. */
export type KeyPool = {
  /** Runs one statement; `params` are its $1, $2 and so on. Rejects where it failed. */
  query(sql: string, params?: unknown[]): PromiseLike<{ readonly rows: readonly unknown[] }>
}

/** Keys in PostgreSQL. */
export type PostgresSubjectKeys = SubjectKeys & {
  /** Makes the table `killick_subject_keys` where it is missing. For a role that may; the others need select, insert and update. */
  createTable(): Promise<void>
}

// One row for a name, so that whatever happens at the same time, PostgreSQL lets one of them be first.
const TABLE = `
select pg_advisory_xact_lock(hashtext('killick_subject_keys'));
create table if not exists killick_subject_keys (
  id text primary key check (id ~ '^[A-Za-z0-9_-]{22}$'),
  key text,
  made_at timestamptz not null default now(),
  erased_at timestamptz,
  erased_by text,
  check ((key is null) = (erased_at is not null))
);
-- PostgreSQL analyzes tables by itself, and keeps samples of what it reads elsewhere: a key would outlive its erasure there, and every vacuum.
-- That a column gets a type anew, even the same, removes samples that there are.
do $$ begin
  if (select attstattarget is distinct from 0 from pg_attribute where attrelid = 'killick_subject_keys'::regclass and attname = 'key') then
    alter table killick_subject_keys alter key set statistics 0, alter key type text;
  end if;
end $$;
create or replace function killick_keep_erased() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and old.erased_at is null and new.id = old.id then return new; end if;
  raise exception 'a subject key is never deleted, and an erased one never changes'
    using errcode = 'integrity_constraint_violation';
end $$;
create or replace trigger keep_erased before update or delete on killick_subject_keys
  for each row execute function killick_keep_erased();
create or replace trigger keep_all before truncate on killick_subject_keys
  for each statement execute function killick_keep_erased();
`

const FIND = `
select key, erased_by as event, to_char(erased_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at
from killick_subject_keys where id = $1`
const MAKE = 'insert into killick_subject_keys (id, key) values ($1, $2) on conflict (id) do nothing'
const ERASE = `
insert into killick_subject_keys (id, erased_at, erased_by) values ($1, $2, $3)
on conflict (id) do update set key = null, erased_at = excluded.erased_at, erased_by = excluded.erased_by
  where killick_subject_keys.erased_at is null
returning id`
const ERASED = `
select id, erased_by as event, to_char(erased_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at
from killick_subject_keys where erased_at is not null and id > $1 order by id limit 1000`

type Row = {
  readonly id: string
  readonly key: string | null
  readonly at: string | null
  readonly event: string | null
}

/** Whether a statement failed because its connection was ended: by the server, or on the way. */
const isOfConnection = (error: unknown): boolean => {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown }
  return (
    /^(57P0[12]|ECONNRESET|EPIPE)$/.test(String(code)) ||
    /^(Connection terminated|Client has encountered a connection error)/.test(String(message))
  )
}

/** Opened keys that are remembered, at most, and for how long. Each look at a key reads its row, so that an erasure counts at once. */
const [MAX_OPENED, OPENED_MS] = [1_000, 60_000]
/** How long others wait for an envelope that was asked already; then they ask it themselves, since it may never answer. */
const SHARED_MS = 5_000

/**
 * Keeps subjects' keys in a PostgreSQL database of its own, each encrypted. A row is never deleted: an erased one loses its key and stays as
 * the mark.
 * @param options `secret`: 32 random bytes that make the names of subjects and, without `envelope`, encrypt the keys. Keep it for ever, and
 * not in that database. `envelope`: encrypts the keys elsewhere, such as in a KMS
 * @throws KillickError `option_invalid`
 */
export function postgresSubjectKeys(
  pool: KeyPool,
  options: { readonly secret: Uint8Array; readonly envelope?: Envelope | undefined },
): PostgresSubjectKeys {
  const { secret, envelope } = knownOptions(options, STORE_OPTIONS)
  const naming = namingBy(secret)
  const opened = new Map<string, { until: number; key: Promise<SubjectKey> }>()

  const query = async (sql: string, params?: unknown[]): Promise<readonly Row[]> => {
    try {
      return ((await pool.query(sql, params))?.rows ?? []) as readonly Row[]
    } catch (error) {
      throw storeError(error)
    }
  }

  /** By what is wrapped, since a row's key may be wrapped anew. */
  function open(id: string, wrapped: string): Promise<SubjectKey> {
    const known = opened.get(wrapped)
    if (known !== undefined && known.until > performance.now()) return known.key
    if (opened.size >= MAX_OPENED) opened.delete(opened.keys().next().value!)
    const key = unwrapKey(envelope ?? naming, id, wrapped)
    const asked = { until: performance.now() + SHARED_MS, key }
    opened.set(wrapped, asked)
    key.then(
      () => {
        asked.until = performance.now() + OPENED_MS
      },
      () => {
        if (opened.get(wrapped) === asked) opened.delete(wrapped)
      },
    )
    return key
  }

  async function find(id: string): Promise<SubjectKey | ErasedKey | null> {
    if (!isSubjectKeyId(id)) return null
    // A pool may hand out a connection that has just been ended, as when the server was started anew.
    const [row] = await query(FIND, [id]).catch((error) => {
      if (!isOfConnection(error.cause)) throw error
      return query(FIND, [id])
    })
    if (row === undefined) return null
    const { key, at, event } = row
    return key === null ? { id, at: at!, event } : open(id, key)
  }

  return {
    createTable: async () => void (await query(TABLE)),
    idOf: async (subject) => naming.nameOf(subject),
    find,
    async toSeal(subject: Party) {
      const id = naming.nameOf(subject)
      let found = await find(id)
      if (found === null) {
        const wrapped = await wrapKey(envelope ?? naming, randomBytes(KEY_BYTES), id, (text) => open(id, text))
        await query(MAKE, [id, wrapped])
        found = (await find(id))!
      }
      if ('at' in found) throw erasedError(found)
      return found
    },
    async erase(marks) {
      let count = 0
      for (const { id, at, event } of checkMarks(marks)) count += (await query(ERASE, [id, at, event])).length
      // Whichever they were: the rows do not say what they held.
      if (count > 0) opened.clear()
      return count
    },
    async *erased() {
      for (let after = ''; ; ) {
        const rows = await query(ERASED, [after])
        for (const { id, at, event } of rows) yield { id, at: at!, event }
        if (rows.length === 0) return
        after = rows.at(-1)!.id
      }
    },
  }
}
