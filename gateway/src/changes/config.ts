import { dirname } from 'node:path'
import type { JsonObject, JsonValue } from '@killick/sdk/core'
import type { Redaction } from '@killick/sdk/kit'
import { readConfigFile } from '../config-file.ts'
import { MAX_BYTES, MAX_MS, type Members, members } from '../members.ts'
import type { SealedSettings } from '../sealed/settings.ts'
import { recorderLimitsOf, recorderSettingsOf, throwFaults } from '../sessions/settings.ts'

/**
 * Everything that can be set for `killick-gateway changes`, from one JSON file. This is the manual. Paths are relative to the file's
 * folder; a member that is not listed here is a fault.
 */
export type ChangesConfig = {
  /** Base URL of the anchor service, e.g. `https://audit.example.com`. */
  url: string
  /** The recorder's own name: the source that its key is registered for, and under which its events stand. */
  source: string
  /** File with the private JWK of that source, mode 600; `killick keygen` makes one. */
  key: string
  /** Folder for events that the ledger has not accepted. One slot has one recorder, and one spool. */
  spool: string
  /** Folder for what is remembered beside the spool: how far it has come. Keep it with the spool. Default: its name with `-state` behind it. */
  state: string
  /** C2SP verifier key of the log. Pin it. Default: the key that the service names first. */
  logKey: string | null
  /** False: only batches are signed, for sources registered with `eventSignatures: optional`. Default true. */
  signEvents: boolean
  /** Who acts where the application has not said it in the transaction. Default: `{ "type": "database", "id": <its name> }`. */
  actor: JsonObject | null
  /** What stands in the context of each event, such as `tenant`. Default: nothing. */
  context: JsonObject
  /**
   * What to remove before anything is signed, beside the kit's standard rules: `name`, and one of `keys` (names of columns too), `values`
   * (regular expressions), `paths` (JSON pointers into the event). Default: the standard rules only.
   */
  redaction: Redaction
  /**
   * Which fields only holders of a key can read: `SealedSettings` has the members. Where the subject is in `targets` or `changes`, `group` must
   * be `row`. Default: none.
   */
  sealed: SealedSettings | null
  /**
   * The database, as `postgres://user@host:5432/name?sslmode=verify-full`. A password belongs in `PGPASSWORD` or `~/.pgpass` rather than here.
   * The user needs REPLICATION, and to read the catalogue.
   */
  database: string
  /** The replication slot: lower-case letters, digits and underscores. Default `killick`. */
  slot: string
  /** The publication. Default `killick`. */
  publication: string
  /** What `setup` publishes, as `schema.table`. Default: every table of the database, later ones too. */
  tables: string[] | null
  /** What `setup` does about replica identities: `keep` leaves them, `full` sets REPLICA IDENTITY FULL, so that events have before and after. Default `keep`. */
  identity: 'keep' | 'full'
  /** Whether `setup` makes a slot that physical standbys keep too, which PostgreSQL can from 17 on. Default true; older ones have none. */
  failover: boolean
  /**
   * Whether `setup` makes a second slot, `<slot>_verify`, which `verify` reads what the database has from. It holds the log back from one
   * `verify --advance` to the next. Default false.
   */
  verifySlot: boolean
  /** Columns that never leave the database's stream, as `schema.table.column`; `*` stands for any name, e.g. `*.*.ssn`. Default none. */
  exclude: string[]
  /**
   * `row`: an event for each row. `transaction`: one for the rows of a transaction, as far as they fit. `auto`: an event for each row, and
   * while that keeps the processor busy, one for the rows of a transaction. Default `auto`.
   */
  group: 'auto' | 'row' | 'transaction'
  /** What to do about changes that can never be read: `stop` after recording that, or `accept` and go on with a new slot. Default `stop`. */
  onGap: 'stop' | 'accept'
  /** Where `/metrics` and `/readyz` are served; loopback without authentication. Default: nowhere. */
  admin: { host: string; port: number } | null
  limits: ChangesLimits
}

/** Bounds on what the recorder keeps, waits for and lets pile up. */
export type ChangesLimits = {
  /** Largest value of a column that events show, in bytes; of larger ones they have hash and length. At most 65,536, default 16 KiB. */
  discloseBytes: number
  /** Size of the spool at which nothing more is read from the database, in bytes; at least 1 MiB. Default 256 MiB. */
  spoolBytes: number
  /** How long the end waits for the ledger to accept what is in the spool, ms. What is left is sent at the next start. Default 1,000. */
  drainMs: number
  /** WAL that the slot holds back, in bytes, beyond which readiness is lost and it is said. Default 1 GiB. */
  lagBytes: number
  /** How often lag and publication are looked at, ms; at least 50. Default 5,000. */
  lookMs: number
  /** Longest wait between two attempts to connect, ms. Default 10,000. */
  reconnectMs: number
}

/** The configuration that is read where none is named. */
export const DEFAULT_CHANGES_CONFIG = 'killick-changes.json'

/** The slot that `verify` reads, which nothing else does: a slot cannot go back. */
export const verifySlotOf = ({ slot }: Pick<ChangesConfig, 'slot'>): string => `${slot}_verify`

// Room is left for the name of the slot for checks.
const SLOT = /^[a-z0-9_]{1,56}$/
const TABLE = /^[^.]+\.[^.]+$/
const COLUMN = /^[^.]+\.[^.]+\.[^.]+$/

/**
 * The configuration in a file.
 * @throws GatewayStartError `gateway_config_invalid` with every fault at once, each with the place of its member as a JSON pointer
 */
export function readChangesConfig(file: string): ChangesConfig {
  return checkChangesConfig(readConfigFile(file), dirname(file))
}

/** The same, of what the file holds. @param folder what paths are relative to */
export function checkChangesConfig(value: JsonValue, folder: string = process.cwd()): ChangesConfig {
  const faults: string[] = []
  const root = members(value, '', faults)
  if (root.has('mode')) root.fault('mode', 'is not a setting: changes are recorded after their commit')
  const { mode: _, ...shared } = recorderSettingsOf(root, folder, faults, { fields: ['targets', 'changes'] })
  const config: ChangesConfig = {
    ...shared,
    signEvents: !root.has('signEvents') || root.flag('signEvents'),
    database: root.text('database', /^postgres(ql)?:\/\/./, 'must be a URL postgres://…'),
    slot: root.text('slot', SLOT, 'must be 1 to 56 lower-case letters, digits and underscores', 'killick'),
    publication: root.text('publication', /^.{1,63}$/, 'must be 1 to 63 characters', 'killick'),
    tables: root.texts('tables', TABLE, 'must be a list of schema.table'),
    identity: root.choice('identity', ['keep', 'full']),
    failover: !root.has('failover') || root.flag('failover'),
    verifySlot: root.flag('verifySlot'),
    exclude: root.texts('exclude', COLUMN, 'must be a list of schema.table.column') ?? [],
    group: root.choice('group', ['auto', 'row', 'transaction']),
    onGap: root.choice('onGap', ['stop', 'accept']),
    admin: root.has('admin') ? adminOf(root.object('admin')) : null,
    limits: limitsOf(root.object('limits')),
  }
  if (config.spool.includes('{worker}')) root.fault('spool', 'may not have {worker}: one slot has one recorder')
  const { type = '', id = '' } = config.sealed?.subject ?? {}
  if (config.group !== 'row' && [type, id].some((each) => /^\/(targets|changes)(\/|$)/.test(each)))
    root.fault('group', 'must be row: rows of one event may be of several subjects')
  root.done()
  throwFaults(faults)
  return config
}

function adminOf(admin: Members): NonNullable<ChangesConfig['admin']> {
  const made = {
    host: admin.text('host', /./, 'must be a text', '127.0.0.1'),
    port: admin.integer('port', 0, 0, 65_535),
  }
  admin.done()
  return made
}

function limitsOf(limits: Members): ChangesLimits {
  const { spoolBytes, drainMs } = recorderLimitsOf(limits)
  const made: ChangesLimits = {
    ...{ spoolBytes, drainMs },
    discloseBytes: limits.integer('discloseBytes', 16 << 10, 0, 64 << 10),
    lagBytes: limits.integer('lagBytes', 1 << 30, 1, MAX_BYTES),
    lookMs: limits.integer('lookMs', 5_000, 50, MAX_MS),
    reconnectMs: limits.integer('reconnectMs', 10_000, 1, MAX_MS),
  }
  limits.done()
  return made
}
