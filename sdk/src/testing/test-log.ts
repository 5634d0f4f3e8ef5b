import { generateKey, loadSigner, type PrivateJwk } from '../client/key.ts'
import { type AuditLog, type AuditLogOptions, openOver } from '../client/open.ts'
import { KillickError } from '../core/errors.ts'
import { type ParsedEvent, parseEvent } from '../core/event.ts'
import type { Change, Party } from '../core/fields.ts'
import { printHash } from '../core/hash.ts'
import type { JsonObject } from '../core/json.ts'
import { knownOptions, type OptionNames } from '../core/options.ts'
import type { Signer } from '../core/signature.ts'
import { nodePrimitives } from '../node/primitives.ts'
import { serviceInMemory, URL_IN_MEMORY } from './service-in-memory.ts'
import { TestSpool } from './test-spool.ts'

/** Options of `openTestLog`; all have defaults. */
export type TestLogOptions<Fields extends string = never> = Pick<
  AuditLogOptions<Fields>,
  'fields' | 'sealed' | 'sealing' | 'batch' | 'endStream' | 'spoolWaitMs' | 'acceptWaitMs' | 'signEvents'
> & {
  /** Name of the source; default `test`. */
  source?: string
  /** Name of the stream; default `test`. */
  stream?: string
  /** The key that signs, or a signer; default: a new one. */
  key?: PrivateJwk | Pick<Signer, 'jwk' | 'sign'>
  /**
   * `disk` (default): `record()` resolves when the event is durable, as with a folder. `memory`: when the log has accepted it, as
   * with `spool: 'memory'`.
   */
  spool?: 'disk' | 'memory'
  /** Stops the clock here; `log.clock` moves it. Default: the time of day, or what fake timers make of it. */
  now?: Date | string | number
  /** As of `openAuditLog`; default: nothing is written anywhere. */
  onError?: AuditLogOptions['onError']
}

const OPTIONS: OptionNames<TestLogOptions> = {
  ...{ fields: true, sealed: true, sealing: true, batch: true, endStream: true, spoolWaitMs: true, acceptWaitMs: true },
  ...{ signEvents: true, source: true, stream: true, key: true, spool: true, now: true, onError: true },
}

/** What is broken. What is left out is whole. */
export type Faults = {
  /** `full`: as a disk without space. A number: a write takes so long, in ms. */
  readonly disk?: 'full' | number
  /** `down`: nothing answers. A number: an answer takes so long, in ms. */
  readonly service?: 'down' | number
}

/** An event as it was signed. Fields that the application has declared stand beside these. */
export type TestEvent = {
  /** A UUIDv7; the first of a log ends in `…000`, the next in `…001`. */
  readonly id: string
  /** Place in the stream, from 0. */
  readonly seq: number
  /** When it was recorded. */
  readonly time: Date
  /** Its cryptographic identity, 43 characters of base64url. */
  readonly leafHash: string
  /** Its bytes: an SD-JWT. */
  readonly token: string
  readonly action: string
  readonly actor: Party
  readonly targets: readonly Party[]
  readonly outcome?: 'success' | 'failure' | 'denied'
  readonly context?: JsonObject
  readonly changes?: readonly Change[]
  readonly metadata?: JsonObject
  readonly occurredAt?: string
  readonly [field: string]: unknown
}

/** An audit log for tests, opened by `openTestLog`. */
export type TestLog<Fields extends string = never> = AuditLog<Fields> & {
  /** What was recorded, in order: read from the bytes that were signed. An event whose `record()` has not resolved may be missing. */
  events(): readonly TestEvent[]
  /** Forgets the events of before, for the next test. The stream goes on. */
  clear(): void
  /** Breaks disk or service, or mends what is not named. `fault({})` mends all. What fails then fails with the real errors. */
  fault(faults: Faults): void
  /** The time of events. */
  readonly clock: {
    /** The time that the next event gets. */
    now(): Date
    /** Stops the clock at a time. */
    set(time: Date | string | number): void
    /** Stops the clock, so many ms later. */
    advance(ms: number): void
  }
  /** How many batches the log in memory has accepted. */
  readonly batches: number
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Opens an audit log that needs no service and no disk. Events are signed and chained, batches are sent, and receipts are checked
 * as they are in production; only disk and service are this process's memory.
 * @throws KillickError `option_invalid`, `key_invalid`
 * @example
 * const audit = await openTestLog({ now: '2026-01-31T12:00:00Z' })
 * await refund(audit, '42')
 * assertRecorded(audit, { action: 'invoice.refund', target: 'invoice/42' })
 * assertNothingElse(audit)
 */
export async function openTestLog<const Fields extends string = never>(
  options?: TestLogOptions<Fields>,
): Promise<TestLog<Fields>> {
  const given = knownOptions(options, OPTIONS as OptionNames<TestLogOptions<Fields>>)
  const { stream = 'test', spool: kind = 'disk', now, key = generateKey(), onError = () => {}, ...rest } = given
  if (kind !== 'disk' && kind !== 'memory')
    throw new KillickError('option_invalid', 'Option spool must be disk or memory', { option: 'spool' })
  let stopped = now === undefined ? null : timeOf(now)
  let ids = 0
  const time = () => stopped ?? Date.now()
  const source = given.source ?? 'test'
  const signer = await loadSigner(key)
  const service = serviceInMemory(source, () => signer.jwk)
  let spool!: TestSpool
  const log = await openOver<Fields>(
    {
      ...{ ...rest, url: URL_IN_MEMORY, source, key: signer, spool: kind, onError },
      ...{ logKey: service.logKey, fetch: service.fetch, compression: 'none' },
    },
    {
      spool: (inMemory) => {
        spool = new TestSpool({ ...inMemory, stream })
        return spool
      },
      mint: { now: time, id: (ms) => countedId(ms, ids++) },
    },
  )
  const own = {
    events: () => spool.tokens.map((token) => shown(parseEvent(token, nodePrimitives))),
    clear: () => spool.forget(),
    fault(faults: Faults) {
      knownOptions(faults, FAULTS)
      spool.disk = faultOf('disk', faults.disk, 'full')
      service.state = faultOf('service', faults.service, 'down')
    },
    clock: {
      now: () => new Date(time()),
      set(to: Date | string | number) {
        stopped = timeOf(to)
      },
      advance(ms: number) {
        stopped = timeOf(time() + ms)
      },
    },
    [Symbol.asyncDispose]: async () => void (await log.close({ timeoutMs: 0 })),
  }
  // The log's status is a getter, which must stay one.
  const opened = Object.defineProperties(log, {
    ...Object.getOwnPropertyDescriptors(own),
    batches: { get: () => service.size, enumerable: true },
  }) as TestLog<Fields>
  declared.set(opened, new Set(given.fields))
  return opened
}

const FAULTS: OptionNames<Faults> = { disk: true, service: true }

const declared = new WeakMap<object, ReadonlySet<string>>()

/** The fields that an application has declared for a log; null if `openTestLog` has not opened it itself. */
export const declaredIn = (log: object): ReadonlySet<string> | null => declared.get(log) ?? null

const invalid = (option: string, why: string): never => {
  throw new KillickError('option_invalid', `Option ${option} ${why}`, { option })
}

function timeOf(time: Date | string | number): number {
  const ms = new Date(time).getTime()
  return ms >= 0 && ms < 2 ** 48 ? Math.floor(ms) : invalid('now', 'must be a time since 1970')
}

function faultOf<Word extends string>(option: string, fault: Word | number | undefined, word: Word): Word | number {
  if (fault === undefined || fault === word) return fault ?? 0
  const isMs = typeof fault === 'number' && fault >= 0 && fault < 2 ** 31
  return isMs ? fault : invalid(option, `must be ${word}, or how slow it is, in ms`)
}

/** A UUIDv7 (RFC 9562 §5.7) with a number in the place of its random bits. */
function countedId(time: number, count: number): string {
  const ms = time.toString(16).padStart(12, '0')
  return `${ms.slice(0, 8)}-${ms.slice(8)}-7000-8000-${count.toString(16).padStart(12, '0')}`
}

function shown({ id, seq, time, leafHash, token, fields }: ParsedEvent): TestEvent {
  const own = { id, seq, time: new Date(time), leafHash: printHash(leafHash), token }
  return Object.freeze({ ...fields, ...own }) as unknown as TestEvent
}
