// Messages in PostgreSQL's own log. What `killick-gateway changes` makes of them: gateway/src/changes/messages.ts.
import { utf8 } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { checkEventInput, checkField, type EventInput, type Party, type Recordable } from '../core/fields.ts'

/** Runs one statement with `$1` in it, in the transaction that is meant. What its promise resolves to is not looked at. */
export type Execute = (sql: string, params: string[]) => PromiseLike<unknown>

/**
 * An open transaction: what has a method `query(sql, params)`, as a client of `pg` and an `EntityManager` of TypeORM have, or a function
 * that runs a statement, for everything else:
 *
 * - Drizzle: `(text, [json]) => tx.execute(sql`${sql.raw(text.split('$1')[0]!)}${json}${sql.raw(text.split('$1')[1]!)}`)`
 * - Kysely: `(text, params) => tx.executeQuery(CompiledQuery.raw(text, params))`
 */
export type Transaction = { query(sql: string, params: string[]): PromiseLike<unknown> } | Execute

/** On whose behalf, and in which circumstances, a transaction is done. Other members become members of the events' `context`. */
export type TransactionContext = {
  readonly actor?: Party | undefined
  readonly [member: string]: Recordable | undefined
}

/** Largest messages, in bytes of JSON. The context of a transaction stands in each of its events. */
const [MAX_EVENT, MAX_CONTEXT] = [160 << 10, 16 << 10]

/**
 * Records an event in a transaction: it is part of the log if and only if the transaction is committed. `occurredAt` is the commit's time
 * if it is absent. Outside of a transaction the statement is one of its own, and the event is recorded at once.
 * @param event as for `record()`, without fields of one's own; `metadata.changes` is the recorder's
 * @throws KillickError `field_invalid`, `event_too_large` beyond 160 KiB of JSON: nothing was sent. `option_invalid`: `tx` cannot be asked, or
 * does not return a promise. Or what the database throws
 * @example
 * await client.query('begin')
 * await client.query('update invoices set state = $1 where id = $2', ['refunded', id])
 * await recordIn(client, { action: 'invoice.refund', actor: { type: 'user', id: 'ada' }, targets: [{ type: 'invoice', id }] })
 * await client.query('commit')
 */
export async function recordIn(tx: Transaction, event: EventInput): Promise<void> {
  const fields = Object.fromEntries(checkEventInput(event, NONE)) as { metadata?: object }
  if (fields.metadata !== undefined && Object.hasOwn(fields.metadata, 'changes'))
    fail('/metadata/changes', 'belongs to the recorder')
  await emit(tx, 'killick', printed(fields, MAX_EVENT))
}

/**
 * Says on whose behalf a transaction is done: `actor` and `context` of the events for all rows that it changes from then on. Call it first.
 * Called again, it adds to what was said before.
 * @param context at most 16 KiB of JSON
 * @throws KillickError `field_invalid`, `event_too_large`: nothing was sent. `option_invalid` as `recordIn`. Or what the database throws
 * @example
 * await contextIn(client, { actor: { type: 'user', id: 'ada' }, requestId: request.id })
 */
export async function contextIn(tx: Transaction, context: TransactionContext): Promise<void> {
  if (typeof context !== 'object' || context === null || Array.isArray(context)) fail('', 'must be an object')
  const { actor, ...rest } = context
  if (actor !== undefined) checkField('actor', actor, fail)
  checkField('context', rest, fail)
  await emit(tx, 'killick.context', printed({ ...(actor && { actor }), ...rest }, MAX_CONTEXT))
}

const NONE: ReadonlySet<string> = new Set()

function printed(value: object, max: number): string {
  const json = JSON.stringify(value)
  const bytes = utf8(json).length
  if (bytes > max)
    throw new KillickError('event_too_large', `It has ${bytes} bytes of JSON; at most ${max} are allowed`)
  return json
}

/** The place in the log that it returns is of a type that some clients cannot read. */
async function emit(tx: Transaction, prefix: 'killick' | 'killick.context', json: string): Promise<void> {
  const sql = `select pg_logical_emit_message(true, '${prefix}', $1::text)::text`
  if (typeof tx !== 'function' && typeof tx?.query !== 'function')
    throw new KillickError(
      'option_invalid',
      'The transaction must have a method query(sql, params), or be a function (sql, params)',
    )
  const ran = typeof tx === 'function' ? tx(sql, [json]) : tx.query(sql, [json])
  // Some libraries run nothing before somebody waits for it.
  if (typeof ran?.then !== 'function')
    throw new KillickError(
      'option_invalid',
      'What the transaction is asked must return a promise: nothing says that it was run, and it may never be',
    )
  await ran
}

function fail(field: string, why: string): never {
  throw new KillickError('field_invalid', `${field} ${why}`, { field })
}
