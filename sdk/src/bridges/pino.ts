/**
 * `@killick/sdk/pino`: lines of pino that carry an event are recorded; all others pass by. As a transport, which opens an audit log of
 * its own in pino's worker thread, or as a stream into an audit log that is open already.
 */
import { Writable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import { type AuditLogOptions, LOG_OPTIONS, openAuditLog } from '../client/open.ts'
import { KillickError } from '../core/errors.ts'
import { parseJson } from '../core/json.ts'
import { knownOptions, type OptionNames } from '../core/options.ts'
import {
  AuditMembers,
  type BridgeCounts,
  type BridgeOptions,
  type EventRecorder,
  say,
  sayAtExit,
  sayChanges,
  sayEnd,
} from './audit-member.ts'

export type { BridgeCounts, BridgeOptions, EventRecorder } from './audit-member.ts'

/** Options of the transport: those of `openAuditLog` that can be handed to a thread, and of the bridge. */
export type PinoTransportOptions = Omit<AuditLogOptions<string>, 'fetch' | 'onError' | 'onPin'> & {
  /** As of `BridgeOptions`. */
  member?: string
  /** How long the end of the logger may take to get everything accepted, in ms; default 5,000. Pino waits 10 s at most. */
  closeTimeoutMs?: number
}

const OPTIONS: OptionNames<PinoTransportOptions> = { ...LOG_OPTIONS, member: true, closeTimeoutMs: true }

/** A stream of pino's lines, with what has become of them. */
export type PinoAuditStream = Writable & { readonly counts: BridgeCounts }

/**
 * A transport for `pino.transport({ target: '@killick/sdk/pino', options })`. When the logger ends, also by the end of the process,
 * it makes everything durable that it was handed, tries to send it, and says on stderr what is left.
 * @throws KillickError as `openAuditLog` does; pino emits it as `error` of the transport
 * @example
 * const logger = pino(pino.transport({
 *   targets: [
 *     { target: 'pino/file' },
 *     { target: '@killick/sdk/pino', options: { url, source: 'billing-api', key: 'key.json', spool: './spool' } },
 *   ],
 * }))
 * logger.info({ audit: { action: 'invoice.approve', actor: { type: 'user', id: 'ada' } } }, 'approved')
 */
export default async function auditTransport(options: PinoTransportOptions): Promise<PinoAuditStream> {
  // Pino and its threads add members of their own: `$context`, `pinoWillSendConfig`.
  const given = Object.fromEntries(Object.entries(options).filter(([name]) => !/^(\$|pino)/.test(name)))
  const { member, closeTimeoutMs = 5000, ...rest } = knownOptions(given as PinoTransportOptions, OPTIONS)
  const onSend = sayChanges(`events wait in the spool for ${rest.url}`)
  const log = await openAuditLog({
    ...rest,
    // What cannot be recorded, the bridge reports with the rest.
    onError: ({ message }, during) => during === 'send' && onSend(message),
    onPin: (logKey) => say(`no logKey was given, so from now on the log's key is ${logKey}`),
  })
  const members = new AuditMembers(log, member === undefined ? {} : { member })
  return streamOf(members, async () => {
    const left = await log.close({ timeoutMs: closeTimeoutMs })
    sayEnd(members.counts, left, rest.spool !== 'memory')
  })
}

/**
 * A stream for `pino(options, stream)` or `pino.multistream`, into an audit log of this thread. `end()` makes everything durable that
 * it was handed, says on stderr what was refused, and leaves the log open. Await its `finish` before `process.exit()`: a process that
 * ends without it says on stderr how many events were not durable.
 * @example
 * const logger = pino({}, pino.multistream([{ stream: process.stdout }, { stream: auditStream(audit) }]))
 */
export function auditStream(audit: EventRecorder, options: BridgeOptions = {}): PinoAuditStream {
  const members = new AuditMembers(audit, options)
  return streamOf(members, async () => sayEnd(members.counts, null, true))
}

function streamOf(members: AuditMembers, end: () => Promise<void>): PinoAuditStream {
  // As pino prints it; whether it is a member of the line itself shows when the line is read.
  const mark = `${JSON.stringify(members.member)}:`
  const decoder = new StringDecoder('utf8')
  let rest = ''
  const read = (text: string): unknown => {
    const first = text.indexOf(mark)
    if (first === -1) return undefined
    try {
      // Pino prints the bindings of a child beside the line's own member of that name. Of two events, neither may vanish unseen.
      return text.includes(mark, first + 1) ? parseJson(text) : JSON.parse(text)
    } catch (error) {
      members.refuse(error instanceof KillickError ? error : new KillickError('json_invalid'), text)
      return undefined
    }
  }
  const take = (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop()!
    return members.take(lines.map(read).filter((line) => line !== undefined))
  }
  const stream = new Writable({
    decodeStrings: false,
    write: (chunk: string | Buffer, _, done) => {
      take(typeof chunk === 'string' ? chunk : decoder.write(chunk)).then(() => done(), done)
    },
    writev: (chunks, done) => {
      const texts = chunks.map(({ chunk }) => (typeof chunk === 'string' ? chunk : decoder.write(chunk)))
      take(texts.join('')).then(() => done(), done)
    },
    final: (done) => {
      take(`${decoder.end()}\n`)
        .then(end)
        .then(() => done(), done)
    },
  })
  sayAtExit(stream, members)
  return Object.defineProperty(stream, 'counts', { get: () => members.counts }) as PinoAuditStream
}
