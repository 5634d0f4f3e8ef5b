import { resolve } from 'node:path'
import { MAX_BATCH_EVENTS } from '../core/batch.ts'
import { KillickError } from '../core/errors.ts'
import { isSourceName, streamClose, streamHeartbeat } from '../core/event.ts'
import { type EventInput, isOwnField, type Recordable } from '../core/fields.ts'
import { isObject } from '../core/json.ts'
import type { PublicJwk } from '../core/jwk.ts'
import { parseVkey } from '../core/note.ts'
import { knownOptions, type OptionNames } from '../core/options.ts'
import type { Receipt } from '../core/receipt.ts'
import type { Signer } from '../core/signature.ts'
import { printable } from '../core/text.ts'
import { type Adoption, adopt } from './adopt.ts'
import { startHeartbeat } from './heartbeat.ts'
import { loadSigner, type PrivateJwk } from './key.ts'
import { MemorySpool, type MemorySpoolOptions } from './memory-spool.ts'
import { type Minting, type Recorded, Recorder } from './recorder.ts'
import { type RecordOptions, type Sealer, sealedNames } from './sealer.ts'
import { type BatchLimits, Sender } from './sender.ts'
import { type Share, type ShareOptions, shareEvent } from './share.ts'
import { type EventStore, Spool } from './spool.ts'
import { type Compression, HAS_ZSTD } from './transport.ts'
import { hasPlace, isTemplate, leftBehind, openFirst } from './workers.ts'

/** Options of `openAuditLog`. `url`, `source`, `key` and `spool` are required; everything else has a default. */
export type AuditLogOptions<Fields extends string = never> = {
  /** Base URL of the anchor service, e.g. `https://audit.example.com`. */
  url: string
  /** Registered name of the system that records, e.g. `billing-api`. */
  source: string
  /**
   * The source's private key: a JWK, the path of a file that holds one (mode 600), or a signer `{ jwk, sign }` that stands for a
   * KMS or HSM. `sign` returns 64 bytes (ES256 and ES256K as R ‖ S) or a promise of them; `record()` rejects with `signature_invalid` where
   * they are no signature by that key.
   */
  key: PrivateJwk | string | Pick<Signer, 'jwk' | 'sign'>
  /**
   * Where events wait until the log has accepted them.
   *
   * - a directory, one for each process; keep it across restarts
   * - a directory with `{worker}` in its last name, such as `./spool/{worker}`, for any number of processes: each takes the lowest
   *   number that no live process holds, goes on with the stream there, and sends what other dead ones left
   * - `memory`: nowhere, for functions, edge workers and read-only containers. `record()` then resolves on the receipt, and what the log has not
   *   accepted is lost with the process
   */
  spool: string
  /**
   * Whether `close()` ends the stream with an event `stream.close`, so that readers can tell an ended stream from a silent one.
   * Default: true for `memory` and `{worker}`, else false, since the next process goes on with the stream. Nothing is written
   * where nothing was recorded, neither by this process nor by one before it that was killed and whose last event is still in the spool.
   */
  endStream?: boolean
  /**
   * What the source is registered to promise (`killick register --heartbeat`), in whole seconds: while nothing else is recorded, the
   * recorder writes an event `stream.heartbeat`, the first when it is opened, the next after three quarters of this time, so that silence
   * tells of a fault. It needs no catalogue entry, and keeps no process alive. Default: none.
   */
  heartbeat?: number
  /**
   * C2SP verifier key of the log (`GET /v1/log` shows it). Pin it: without it the recorder believes the key that the service
   * names with the first receipt, keeps it in the spool, and refuses a change.
   */
  logKey?: string
  /** A reader token of the service, for `share()` only; recording needs none. */
  readerToken?: string
  /** When a batch is sent: `maxEvents` 1,000, `maxBytes` 1 MiB, `maxAgeMs` 1,000; whichever comes first. */
  batch?: Partial<BatchLimits>
  /** Size of the spool at which `record()` waits, in bytes; default 256 MiB, in memory 32 MiB, at least 1 MiB. */
  maxSpoolBytes?: number
  /**
   * True: the thread that opens the log does nothing but record, so it waits for the disk itself, which takes less CPU for each event than
   * to be told by another thread. Default false.
   */
  ownThread?: boolean
  /** How long `record()` waits for room before it rejects with `spool_full`, in ms; default 30,000. */
  spoolWaitMs?: number
  /**
   * For `spool: 'memory'`: how long `record()` waits for its receipt before it rejects with `not_accepted`, in ms; default 30,000.
   * The event is sent all the same, while the process lives.
   */
  acceptWaitMs?: number
  /** Time limit for one request, from connecting to the end of the answer, in ms; default 30,000, in memory 10,000. */
  timeoutMs?: number
  /** Default `zstd`; `gzip` where the runtime has no zstd, as Node before 22.15. */
  compression?: Compression
  /**
   * Names of fields that this application records beside those of `EventInput`: letters, digits and underscores, first a letter,
   * at most 64 characters. `record()` refuses any other name, since a misspelt one could never be put right. Default none.
   */
  fields?: readonly Fields[]
  /**
   * Fields whose values are encrypted under a key of the person whose data they are, before they are hashed: any of `actor`, `targets`,
   * `context`, `changes`, `metadata` and the declared `fields`. Destroying the key erases them in every copy, and proofs hold. Needs
   * `sealing`. Default none.
   */
  sealed?: readonly ('actor' | 'targets' | 'context' | 'changes' | 'metadata' | Fields)[]
  /** How fields are sealed: `sealing(keys)` of `@killick/sdk/sealing`. */
  sealing?: Sealer
  /** False: only batches are signed, for sources registered with `eventSignatures: optional`. Default true. */
  signEvents?: boolean
  /** Another `fetch`, for a proxy or client certificates. */
  fetch?: typeof fetch
  /**
   * Called for every failed attempt to send, and for every call of `record()` that was rejected, whether or not anyone awaits it.
   * The default writes the failure to stderr, once per kind of failure in a row.
   */
  onError?: (error: Error, during: 'send' | 'record') => void
  /** Called with the key if the recorder believed the service about it, once for a spool; the default writes it to stderr. */
  onPin?: (logKey: string) => void
  /**
   * Called with each event that the spool still holds when it is opened, as its bytes, oldest first, before `openAuditLog` resolves
   * and before anything is sent: for a program that keeps notes of its own on its events, and brings them up to date after a crash.
   * Some of these events the log may have accepted already. With `{worker}` in `spool`, what workers left that have ended is then for
   * the program to send: it opens their spools, each by its own name.
   */
  onFound?: (event: string) => void
}

/**
 * The state of an audit log at one moment, read from memory. Counts are of events unless they say otherwise. "Ever" includes
 * earlier runs, which the spool remembers.
 */
export type AuditLogStatus = {
  /** The source's name, as given. */
  readonly source: string
  /** Name of this spool's stream, made when the spool was first opened. */
  readonly stream: string
  /** The number that `{worker}` in the spool's path stands for; null where it does not occur. */
  readonly worker: number | null
  /** Events recorded in this stream, ever. */
  readonly recorded: number
  /** Events that the log has accepted, ever. */
  readonly accepted: number
  /** Events in the spool that the log has not accepted. */
  readonly pending: number
  /** Bytes of the spool. */
  readonly spoolBytes: number
  /**
   * `idle`: nothing is due. `sending`. `waiting`: the service cannot be reached or is busy. `refused`: the service does not
   * accept the batch as things stand; the recorder tries again every minute and at `flush()`. `halted`: stream and log contradict
   * each other (`log_forked`: the log contradicts itself), and the recorder sends nothing any more.
   */
  readonly state: 'idle' | 'sending' | 'waiting' | 'refused' | 'halted' | 'closed'
  /** C2SP verifier key for checking receipts, and who pinned it; null before the first receipt, unless it was given. */
  readonly logKey: string | null
  readonly pinned: 'option' | 'first_use' | null
  /** Calls of `record()` that were rejected since opening: their events are not recorded. */
  readonly rejected: number
  /** Batches accepted, and attempts that failed, since opening. */
  readonly batches: number
  readonly retries: number
  /** The last failure since the last success. */
  readonly lastError: Failure | null
}

/** A failure in short: a code of `ERROR_CODES`, or `internal` for a bug, and a sentence for people. */
export type Failure = { readonly code: string; readonly message: string }

/**
 * What `close()` leaves in the spool: the number of events that the log has not accepted, and the last failure, if any. Left in
 * memory, they are lost.
 */
export type Left = { readonly pending: number; readonly lastError: Failure | null }

/**
 * The audit log of one process, opened by `openAuditLog`. Calls may overlap; events keep the order of the calls. `Fields`: the
 * names that were declared as `fields`.
 */
export type AuditLog<Fields extends string = never> = {
  /**
   * Records that someone did something. Resolves when the event is signed, chained and durable in the spool: from then on it
   * reaches the log, whatever happens to the process. If calls are not awaited one by one, many share one write to disk; a call
   * that rejects then goes to `onError`, is counted in `status.rejected`, and does not end the process. A process that ends with calls
   * under way, as by `process.exit()`, says on stderr how many.
   * @throws KillickError `field_invalid` (with `details.field`, and `details.meant` for a misspelt name), `event_too_large`, `spool_full`, `spool_disk_full`,
   * `spool_failed`, `log_closed`, `option_invalid`; SealingError (of `@killick/sdk/sealing`) where fields are sealed. Nothing was recorded then.
   * @param options what to seal beside what the log seals anyway, and whose data it is
   */
  record(
    event: EventInput & { readonly [name in Fields]?: Recordable | undefined },
    options?: RecordOptions,
  ): Promise<Recorded>
  /**
   * Sends everything recorded so far, and resolves with the receipts once the log has accepted it. It waits without limit while
   * the service cannot be reached.
   * @param signal ends the wait, with its reason; what was recorded is sent all the same
   * @throws KillickError the service's code when it refuses (recording goes on, and so do attempts), `receipt_invalid`,
   * `log_forked` (recording goes on, into the spool; nothing is sent any more; `details.file` is the evidence), `log_closed`.
   */
  flush(signal?: AbortSignal): Promise<Receipt[]>
  /**
   * Makes a link that shows chosen fields of an event together with its proof; the other fields stay hidden. The event must
   * have been accepted: `flush()` first. Needs the option `readerToken`.
   * @param eventId the event's id or leaf hash
   * @throws KillickError `option_invalid`, `unreachable`, `refused` (`details.code` is the service's code, e.g.
   * `event_not_found`).
   */
  share(eventId: string, options: ShareOptions): Promise<Share>
  /**
   * Stops recording, tries for `timeoutMs` (default 10,000) to get everything accepted, and closes the spool. Events that were
   * not accepted stay in it and are sent when it is opened again. Resolves with their number and the last failure.
   * @param options `strict`: reject when anything is left (default false). The spool is closed then too.
   * @throws KillickError `not_accepted` (`strict` only; `details` are `{ pending, lastError }`), `spool_failed`; `option_invalid`, and the
   * log stays open
   */
  close(options?: { timeoutMs?: number; strict?: boolean }): Promise<Left>
  /** The state of the log now. */
  readonly status: AuditLogStatus
}

/** An event that the log has accepted, and the receipt for its batch, which was checked. */
export type AcceptedEvent = Recorded & { receipt: Receipt }

/** An audit log without a disk, opened with `spool: 'memory'`. */
export type MemoryAuditLog<Fields extends string = never> = Omit<AuditLog<Fields>, 'record'> & {
  /**
   * Records that someone did something. Resolves when the log has accepted the event and the receipt was checked; until then the
   * event is in memory only. Events recorded in one turn share a batch, and so do those recorded while a batch is on the way.
   * @throws KillickError as with a disk, and then nothing was recorded; `not_accepted` after `acceptWaitMs`, or what `flush()`
   * throws: then the event stays in memory, is sent again, and may still be accepted
   */
  record(...args: Parameters<AuditLog<Fields>['record']>): Promise<AcceptedEvent>
}

/** The names of `AuditLogOptions`. */
export const LOG_OPTIONS: OptionNames<AuditLogOptions<string>> = {
  ...{
    url: true,
    source: true,
    key: true,
    spool: true,
    endStream: true,
    heartbeat: true,
    logKey: true,
    readerToken: true,
  },
  ...{ batch: true, maxSpoolBytes: true, ownThread: true, spoolWaitMs: true, acceptWaitMs: true, timeoutMs: true },
  ...{ compression: true, fields: true, sealed: true, sealing: true, signEvents: true, fetch: true },
  ...{ onError: true, onPin: true, onFound: true },
}
const CLOSE_OPTIONS = { timeoutMs: true, strict: true } as const
const BATCH_OPTIONS = { maxEvents: true, maxBytes: true, maxAgeMs: true } as const

const IN_MEMORY = 'memory'

/** Upper limit for an option: below the service's own limit, so that the header fits too. */
const MAX_SENT_BYTES = 15 << 20
const MIN_SPOOL_BYTES = 1 << 20
/** A hundred years, as the service takes it. */
const MAX_HEARTBEAT = 3_155_760_000

/**
 * Opens the audit log of this process. It signs and chains what is recorded, keeps it in the spool and sends it to the service,
 * including events that an earlier process left in the spool. The service need not be reachable.
 * @param options `AuditLogOptions` has units, ranges and defaults
 * @example
 * const audit = await openAuditLog({ url: 'https://audit.example.com', source: 'billing-api', key: 'key.json', spool: './spool' })
 * await audit.record({ action: 'invoice.approve', actor: { type: 'user', id: 'ada' }, targets: [{ type: 'invoice', id: '42' }] })
 * const { pending } = await audit.close()
 * @throws KillickError `option_invalid`, `key_invalid`, `key_unsafe`, `vkey_invalid`, `spool_locked`, `spool_corrupt`,
 * `spool_failed`.
 */
export function openAuditLog<const Fields extends string = never>(
  options: AuditLogOptions<Fields> & { spool: 'memory' },
): Promise<MemoryAuditLog<Fields>>
export function openAuditLog<const Fields extends string = never>(
  options: AuditLogOptions<Fields>,
): Promise<AuditLog<Fields>>
export async function openAuditLog<const Fields extends string = never>(
  options: AuditLogOptions<Fields>,
): Promise<AuditLog<Fields>> {
  return openOver(options)
}

/** What a test puts in the place of the disk and of the clock. */
export type TestGround = {
  /** Makes the spool, as durable as it says. */
  spool: (options: MemorySpoolOptions & { key: PublicJwk }) => EventStore
  mint: Minting
}

/** `openAuditLog`, by default over disk and clock. */
export async function openOver<const Fields extends string = never>(
  options: AuditLogOptions<Fields>,
  ground?: TestGround,
): Promise<AuditLog<Fields>> {
  const {
    url,
    source,
    spool: where,
    signEvents,
    fields,
    sealing,
    limits,
    transport,
    ...checked
  } = checkOptions(options)
  const signer = await loadSigner(options.key)
  const onError = options.onError ?? warnOnce(url, options.spool === IN_MEMORY)
  const { logKey, onPin = sayPin(url) } = options
  const mint = ground?.mint
  const report = (error: Error) => onError(error, 'send')
  const sending = { signer, limits, transport, logKey, onError: report, now: mint?.now }
  const recording = { signer: signEvents ? signer : null, fields, sealing, waitMs: checked.spoolWaitMs, mint }
  const storing = { source, key: signer.jwk, maxBytes: checked.maxSpoolBytes, waits: options.ownThread === true }
  let sender: Sender | undefined
  const onDurable = () => sender?.notice()
  const { onFound } = options
  const openSpool = (dir: string) =>
    Spool.open({ ...storing, dir, onDurable, onUnremoved: report, ...(onFound && { onFound }) })
  const isShared = hasPlace(where)
  const openAlone = async () => {
    if (ground) return ground.spool({ ...storing, onDurable })
    return where === IN_MEMORY ? new MemorySpool({ ...storing, onDurable }) : openSpool(where)
  }
  const { spool, worker } = isShared ? await openFirst(where, openSpool) : { spool: await openAlone(), worker: null }
  const recorder = new Recorder({ ...recording, spool, onRejected: (error) => onError(error, 'record') })
  sender = new Sender({ ...sending, spool, onPin })
  sender.start()
  const adopting = { spool: storing, recorder: recording, sender: { ...sending, onPin: () => {} } }
  // A program that keeps notes on its events needs to see what a dead worker left before it is sent: so that stays where it is.
  const adoption = worker === null || onFound !== undefined ? null : adopt(() => leftBehind(where, worker), adopting)
  const share: AuditLog['share'] = async (eventId, what) => {
    if (options.readerToken === undefined)
      throw new KillickError('option_invalid', 'Option readerToken is missing; share() needs it', {
        option: 'readerToken',
      })
    return shareEvent({ ...transport, token: options.readerToken }, eventId, what)
  }
  const isInMemory = where === IN_MEMORY
  return auditLog({ ...{ spool, worker, recorder, sender, adoption, share, logKey, isInMemory }, ...checked })
}

type Parts = {
  spool: EventStore
  worker: number | null
  recorder: Recorder
  sender: Sender
  adoption: Adoption | null
  share: AuditLog['share']
  logKey: string | undefined
  /** Whether events are lost with the process, so that `record()` waits for the receipt. */
  isInMemory: boolean
  acceptWaitMs: number
  endStream: boolean
  heartbeat: number | null
}

/** Calls of `record()` that are under way, of all logs of this process. */
let unanswered = 0
/** Whether listeners for the end of the process are being called: nothing is answered any more then. */
let isEnding = false
const answered = (): void => {
  unanswered -= 1
  isEnding = false
}

/** Nothing can be written then any more, but what goes with the process does not go without a word. */
function sayUnanswered(count = unanswered): void {
  if (count === 0) return
  const events = count === 1 ? '1 event was' : `${count} events were`
  process.stderr.write(
    `killick: the process ended before ${events} recorded; await record(), or close(), before that\n`,
  )
}

const onExit = (): void => {
  isEnding = true
  sayUnanswered()
}

function auditLog({
  spool,
  worker,
  recorder,
  sender,
  adoption,
  share,
  logKey,
  isInMemory,
  acceptWaitMs,
  endStream,
  heartbeat,
}: Parts): AuditLog {
  const { source, stream } = spool.state
  // Once, however many logs are opened.
  process.off('exit', onExit).on('exit', onExit)
  const beating =
    heartbeat === null
      ? null
      : startHeartbeat(
          heartbeat,
          () => recorder.idleMs,
          () => recorder.own(streamHeartbeat(source, stream)),
        )
  let closing: Promise<Left> | undefined
  const flush = async (signal?: AbortSignal) => {
    await recorder.settled()
    const receipts = await sender.flush(undefined, true, signal)
    await spool.shown()
    return receipts
  }
  const left = (): Left => ({
    pending: spool.state.seq - spool.state.accepted,
    lastError: sender.lastError && failureOf(sender.lastError),
  })
  const recordAccepted = async (event: EventInput, options?: RecordOptions): Promise<AcceptedEvent> => {
    const recorded = await recorder.record(event, options)
    const { seq } = recorded
    const late = () => notAccepted(left(), WAIT, 'in memory, not accepted by the log so far')
    await within(acceptWaitMs, (signal) => sender.flush(seq + 1, true, signal), late)
    // The newest receipts are kept, and this one has just come.
    const { header: _, ...receipt } = spool.state.receipts.find((it) => it.seq <= seq && seq < it.seq + it.n)!
    return { ...recorded, receipt }
  }
  const drain = async (timeoutMs: number): Promise<Left> => {
    beating?.stop()
    const until = performance.now() + timeoutMs
    const timer = setTimeout(() => recorder.giveUp(), Math.min(timeoutMs, MAX_TIMER_MS))
    await recorder.close()
    if (endStream && (recorder.recorded > 0 || spool.isLeftOpen)) await recorder.end(streamClose(source, stream))
    clearTimeout(timer)
    await within(
      Math.max(until - performance.now(), 0),
      (signal) => sender.flush(undefined, true, signal),
      () => new Error('it is closed as it is'),
    ).catch(() => {})
    await Promise.all([sender.stop(), adoption?.stop()])
    await spool.close()
    return left()
  }
  return {
    record(event, options) {
      const answer = isInMemory ? recordAccepted(event, options) : recorder.record(event, options)
      unanswered += 1
      // Of a listener that was added after ours.
      if (isEnding) sayUnanswered(1)
      // Those who do not await it hear of it by `onError`.
      answer.then(answered, answered)
      return answer
    },
    flush,
    share,
    close: async (options) => {
      const { timeoutMs = 10_000, strict = false } = knownOptions(options, CLOSE_OPTIONS)
      closing ??= drain(timeoutMs)
      const { pending, lastError } = await closing
      if (strict && pending > 0)
        throw isInMemory
          ? notAccepted({ pending, lastError }, ARE, 'lost: they were in memory, not accepted by the log')
          : notAccepted({ pending, lastError }, WAIT, 'in the spool, not accepted by the log')
      return { pending, lastError }
    },
    get status(): AuditLogStatus {
      const { source, stream, seq, accepted, log } = spool.state
      return {
        source,
        stream,
        worker,
        recorded: seq,
        accepted,
        spoolBytes: spool.bytes,
        state: closing ? 'closed' : sender.state,
        logKey: logKey ?? log?.key ?? null,
        pinned: logKey === undefined ? (log?.by ?? null) : 'option',
        rejected: recorder.rejected,
        batches: sender.batches,
        retries: sender.retries,
        ...left(),
      }
    },
  }
}

const failureOf = (error: Error): Failure => ({
  code: error instanceof KillickError ? error.code : 'internal',
  message: error.message,
})

const WAIT = ['waits', 'wait'] as const
const ARE = ['is', 'are'] as const

function notAccepted({ pending, lastError }: Left, [one, many]: typeof WAIT | typeof ARE, where: string): KillickError {
  const why = lastError ? `: ${lastError.message}` : ''
  const what = pending === 1 ? `1 event ${one}` : `${pending} events ${many}`
  return new KillickError('not_accepted', `${what} ${where}${why}`, { pending, lastError })
}

/** Longest time that a timer can be set for, about 25 days. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** What comes of `work`, or the failure if it takes longer than `ms`. */
async function within<T>(ms: number, work: (signal: AbortSignal) => Promise<T>, late: () => Error): Promise<T> {
  const limit = new AbortController()
  // A timer that is set for longer ends at once.
  const timer = setTimeout(() => limit.abort(late()), Math.min(ms, MAX_TIMER_MS))
  return work(limit.signal).finally(() => clearTimeout(timer))
}

function checkOptions(options: AuditLogOptions<string>) {
  const fail = (option: string, why: string): never => {
    throw new KillickError('option_invalid', `Option ${option} ${why}`, { option })
  }
  if (!isObject(options)) throw new KillickError('option_invalid', 'Options are missing: url, source, key, spool')
  knownOptions(options, LOG_OPTIONS)
  const count = (option: string, value: number | undefined, standard: number, min: number, max: number): number => {
    if (value === undefined) return standard
    const isInRange = Number.isSafeInteger(value) && value >= min && value <= max
    return isInRange ? value : fail(option, `must be an integer from ${min} to ${max}`)
  }
  const {
    url,
    source,
    spool,
    logKey,
    batch = {},
    fields = [],
    compression = HAS_ZSTD ? 'zstd' : 'gzip',
    signEvents = true,
  } = options
  const isInMemory = spool === IN_MEMORY
  const parsed = typeof url === 'string' ? URL.parse(url) : null
  if (parsed === null || !/^https?:$/.test(parsed.protocol)) return fail('url', 'must be an http(s) URL')
  // fetch takes none, and every failure would tell them.
  if (parsed.username !== '' || parsed.password !== '') fail('url', 'must be a URL without a user name and password')
  if (!isSourceName(source)) fail('source', 'must be 1 to 64 lower-case letters, digits, dots, underscores or hyphens')
  if (typeof spool !== 'string' || spool === '') fail('spool', "must be the path of a directory, or 'memory'")
  if (hasPlace(spool) && !isTemplate(spool)) fail('spool', 'must have {worker} once, and in its last name')
  // Files there are gone with the request, and what says so is an error about sockets, if any.
  if (spool !== IN_MEMORY && globalThis.navigator?.userAgent === 'Cloudflare-Workers')
    fail('spool', "must be 'memory' on Cloudflare Workers, which keep no files")
  if (!['zstd', 'gzip', 'none'].includes(compression)) fail('compression', 'must be zstd, gzip or none')
  if (compression === 'zstd' && !HAS_ZSTD) fail('compression', 'must be gzip or none: this runtime has no zstd')
  if (options.key === undefined) fail('key', 'is missing: a private JWK, the path of a key file, or a signer')
  if (logKey !== undefined) checkLogKey(logKey)
  if (!isObject(batch)) fail('batch', 'must be an object')
  knownOptions(batch, BATCH_OPTIONS)
  if (!Array.isArray(fields)) fail('fields', 'must be a list of names')
  const odd = fields.find((name) => !isOwnField(name))
  if (odd !== undefined)
    fail('fields', `must be names of fields that events do not have anyway; ${printable(`${odd}`)} is none`)
  const declared = new Set<string>(fields)
  const names = sealedNames(options.sealed ?? [], declared)
  const { sealing: sealer } = options
  if (names.size > 0 && sealer === undefined) fail('sealing', 'is missing; sealed needs it')
  if (sealer !== undefined && typeof sealer?.seal !== 'function')
    fail('sealing', 'must be what sealing() of @killick/sdk/sealing makes')
  return {
    url,
    source,
    signEvents,
    fields: declared,
    sealing: sealer === undefined ? null : { sealer, names },
    spool: isInMemory ? spool : fixed(spool),
    endStream: options.endStream ?? (isInMemory || hasPlace(spool)),
    heartbeat: options.heartbeat === undefined ? null : count('heartbeat', options.heartbeat, 0, 1, MAX_HEARTBEAT),
    maxSpoolBytes: count(
      'maxSpoolBytes',
      options.maxSpoolBytes,
      (isInMemory ? 32 : 256) << 20,
      MIN_SPOOL_BYTES,
      2 ** 40,
    ),
    acceptWaitMs: count('acceptWaitMs', options.acceptWaitMs, 30_000, 0, 2 ** 31 - 1),
    spoolWaitMs: count('spoolWaitMs', options.spoolWaitMs, 30_000, 0, 2 ** 31 - 1),
    limits: {
      maxEvents: count('batch.maxEvents', batch.maxEvents, 1000, 1, MAX_BATCH_EVENTS),
      maxBytes: count('batch.maxBytes', batch.maxBytes, 1 << 20, 1, MAX_SENT_BYTES),
      maxAgeMs: count('batch.maxAgeMs', batch.maxAgeMs, 1000, 0, 2 ** 31 - 1),
    },
    transport: {
      url,
      compression,
      timeoutMs: count('timeoutMs', options.timeoutMs, isInMemory ? 10_000 : 30_000, 1, 2 ** 31 - 1),
      fetch: options.fetch ?? fetch,
      again: isInMemory,
    },
  }
}

/** A path that stays what it is wherever the application goes (`process.chdir`). */
function fixed(path: string): string {
  try {
    return resolve(path)
  } catch {
    // The working folder is gone: to open the spool says so.
    return path
  }
}

/** @throws KillickError of `parseVkey`, which says which option is meant */
function checkLogKey(logKey: string): void {
  try {
    parseVkey(logKey)
  } catch (error) {
    const { code, message, details } = error as KillickError
    throw new KillickError(code, `Option logKey: ${message}`, { ...details, option: 'logKey' })
  }
}

/** Writes a failure when it begins or changes: never silent, never a flood. */
function warnOnce(url: string, isInMemory: boolean): NonNullable<AuditLogOptions['onError']> {
  const last = { send: '', record: '' }
  const what = {
    send: `events wait in ${isInMemory ? 'memory' : 'the spool'} for ${url}`,
    record: 'an event was not recorded',
  }
  return ({ message }, during) => {
    if (message === last[during]) return
    last[during] = message
    process.stderr.write(`killick: ${what[during]}: ${printable(message)}\n`)
  }
}

const sayPin = (url: string) => (logKey: string) => {
  process.stderr.write(
    `killick: no logKey was given, so from now on the log's key is the one that ${url} names: ${printable(logKey)}\n`,
  )
}
