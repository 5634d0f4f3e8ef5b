// What the bridges of loggers share: lines that carry an event, and what becomes of each. A logger has no caller to throw at, so
// what could not be recorded is counted, handed to `onRefused`, and said again at the end.
import { writeSync } from 'node:fs'
import type { Writable } from 'node:stream'
import type { AuditLog, Left } from '../client/open.ts'
import { KillickError } from '../core/errors.ts'
import type { EventInput } from '../core/fields.ts'
import { isObject } from '../core/json.ts'
import { knownOptions } from '../core/options.ts'
import { printable } from '../core/text.ts'

/** What a bridge has done with the lines that it was handed. */
export type BridgeCounts = {
  /** Lines whose event is durable. */
  readonly recorded: number
  /** Lines with a member for an event that was not recorded: it is malformed, or the audit log could not take it. */
  readonly refused: number
}

/** What the bridges of loggers take an open audit log for: `AuditLog`, the log for tests, or `audit` of `@killick/sdk/kit`. */
export type EventRecorder = Pick<AuditLog, 'record'>

/** Options of the bridges of loggers. */
export type BridgeOptions = {
  /** Name of the member of a line that holds the event; default `audit`. Lines without it are none of the bridge's business. */
  member?: string
  /**
   * Called for each line whose event was not recorded, with what it held. Default: writes to stderr, once per kind of failure in a
   * row.
   */
  onRefused?: (error: Error, line: unknown) => void
}

/** As many lines at once as a full recorder lets wait without refusing any. */
export const AT_ONCE = 1000

/** The member of each line, on its way into the audit log. */
export class AuditMembers {
  readonly member: string
  readonly #log: EventRecorder
  readonly #onRefused: NonNullable<BridgeOptions['onRefused']>
  #recorded = 0
  #refused = 0
  #underway = 0

  constructor(log: EventRecorder, options: BridgeOptions) {
    const { member = 'audit', onRefused } = knownOptions(options, { member: true, onRefused: true })
    if (typeof log?.record !== 'function')
      throw new KillickError('option_invalid', 'The audit log has no method record', { option: 'audit' })
    if (typeof member !== 'string' || member === '')
      throw new KillickError('option_invalid', 'Option member must be a name', { option: 'member' })
    this.#log = log
    this.member = member
    const sayRefused = sayChanges('the event of a line was not recorded')
    this.#onRefused = onRefused ?? (({ message }) => sayRefused(message))
  }

  /** Events that are not durable yet. */
  get underway(): number {
    return this.#underway
  }

  get counts(): BridgeCounts {
    return { recorded: this.#recorded, refused: this.#refused }
  }

  /** Resolves when each line that has the member is durable or refused. Never rejects. */
  async take(lines: readonly unknown[]): Promise<void> {
    for (let from = 0; from < lines.length; from += AT_ONCE)
      await Promise.all(lines.slice(from, from + AT_ONCE).map((line) => this.#take(line)))
  }

  async #take(line: unknown): Promise<void> {
    const event = isObject(line) ? (line[this.member] as unknown) : undefined
    if (event === undefined) return
    this.#underway += 1
    try {
      if (!isObject(event))
        throw new KillickError('field_invalid', `The member ${this.member} of a line must be an object`)
      await this.#log.record(event as unknown as EventInput)
      this.#recorded += 1
    } catch (error) {
      this.refuse(error as Error, line)
    } finally {
      this.#underway -= 1
    }
  }

  /** Counts and reports a line that cannot be recorded. */
  refuse(error: Error, line: unknown): void {
    this.#refused += 1
    // A report that fails must not end the logger, nor be taken for a success.
    try {
      this.#onRefused(error, line)
    } catch (failure) {
      say(`onRefused failed (${String(failure)}) on: ${error.message}`)
    }
  }
}

/** Says at the end what was not recorded, and what waits. Nothing if there is nothing to say. */
export function sayEnd({ refused }: BridgeCounts, left: Left | null, isKept: boolean): void {
  if (refused > 0) say(`${refused} ${refused === 1 ? 'line' : 'lines'} with an event could not be recorded`)
  if (!left || left.pending === 0) return
  const events = left.pending === 1 ? '1 event' : `${left.pending} events`
  const why = left.lastError ? ` (${left.lastError.message})` : ''
  say(isKept ? `${events} left in the spool, to be sent when it is opened again${why}` : `${events} lost${why}`)
}

/** Says a failure when it begins or changes: never silent, never a flood. */
export function sayChanges(what: string): (message: string) => void {
  let last = ''
  return (message) => {
    if (message === last) return
    last = message
    say(`${what}: ${message}`)
  }
}

/** Has a process that ends before the stream did say what it takes with it. Nothing can be written then any more. */
export function sayAtExit(stream: Writable, members: AuditMembers): void {
  const onExit = () => {
    const { underway } = members
    const unread = stream.writableLength > 0 ? ', and lines behind them were not read' : ''
    if (underway > 0 || unread !== '')
      say(`the process ended before ${underway} ${underway === 1 ? 'event was' : 'events were'} durable${unread}`)
  }
  process.once('exit', onExit)
  stream.once('close', () => process.removeListener('exit', onExit))
}

/** Straight to the file descriptor: what a worker hands to process.stderr is lost if the main thread is exiting. */
export function say(text: string): void {
  try {
    writeSync(2, `killick: ${printable(text)}\n`)
  } catch {
    // A closed stderr is no reason to end the application.
  }
}
