/**
 * Why the relay answers in the place of the server: the SQLSTATE that stands in the error, and one sentence. The name stands at the
 * beginning of the error's DETAIL. A closed set, stable across releases; docs/ERRORS.md lists it. The server has not seen the statement.
 */
export const POSTGRES_CODES = {
  postgres_not_recorded: ['58030', 'The statement could not be recorded, so it was not passed on.'],
  postgres_denied: ['42501', 'The policy of the relay denies this statement.'],
  postgres_statement_too_large: ['54000', 'The message is longer than limits.statementBytes.'],
  postgres_memory: ['53200', 'Messages that are held back take as much memory as limits.heldBytes allows.'],
  postgres_message_invalid: ['08P01', 'The message is not one that the protocol allows here. The session ends.'],
  postgres_session_lost: [
    '08P01',
    'The relay can no longer tell which answer is for which statement. The session ends.',
  ],
  postgres_too_many_sessions: ['53300', 'As many sessions are open as limits.sessions allows.'],
  postgres_tls_required: ['28000', 'The relay takes connections with TLS only.'],
  postgres_server_unreachable: [
    '08001',
    'The server cannot be reached, or not in the way that the configuration asks for.',
  ],
  postgres_draining: ['57P01', 'The relay is being stopped. The session ends.'],
} as const satisfies Record<string, readonly [sqlstate: string, sentence: string]>

/** A code of `POSTGRES_CODES`. */
export type PostgresCode = keyof typeof POSTGRES_CODES
