/**
 * Why `killick-gateway changes` does not start or does not go on, one sentence each. A closed set, stable across releases; docs/ERRORS.md
 * lists it. Nothing that was recorded before is touched.
 */
export const CHANGES_CODES = {
  changes_database_unsuitable: 'The database is not set up for it: version, wal_level, encoding or privileges.',
  changes_publication_missing: 'The publication does not exist, or publishes less than it must.',
  changes_slot_missing:
    'The replication slot does not exist: to be recorded from for the first time, or to verify with. Setup makes it.',
  changes_slot_unsuitable:
    'The replication slot belongs to another database or plugin, sends what is only prepared, or would not outlive its connection.',
  changes_gap:
    'Changes were committed that this recorder can never read: the slot was dropped, moved or invalidated, or the database went back.',
  changes_identity_missing:
    'Tables would refuse UPDATE and DELETE once they are published, for lack of a replica identity, or because of one that holds columns which a publication leaves out.',
  changes_database_busy:
    'Setup has waited for transactions that hold a table, or that began before the slot, and they did not end.',
  changes_stream_invalid: 'The database sent something that the recorder does not understand.',
} as const satisfies Record<string, string>

/** A code of `CHANGES_CODES`. */
export type ChangesCode = keyof typeof CHANGES_CODES

/** The recorder of changes cannot start or go on; the message is a sentence that says what to do. */
export class ChangesError extends Error {
  override readonly name = 'ChangesError'
  readonly code: ChangesCode

  constructor(code: ChangesCode, message: string) {
    super(message)
    this.code = code
  }
}
