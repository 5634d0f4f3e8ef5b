/**
 * `@killick/sdk/postgres`: an event inside of the application's own PostgreSQL transaction: committed with it or not at all. No table, no
 * trigger; `killick-gateway changes` reads it from the database's log and records it. For every runtime.
 */
export { contextIn, type Execute, recordIn, type Transaction, type TransactionContext } from './record-in.ts'
