// The relay for PostgreSQL, as the command and programs use it.
export { checkPostgresConfig, type PostgresConfig, type PostgresLimits, readPostgresConfig } from './config.ts'
export { POSTGRES_CODES, type PostgresCode } from './errors.ts'
export { type PostgresRelay, startPostgresRelay } from './relay.ts'
