/**
 * `@killick/sdk/winston`: lines of winston that carry an event are recorded into an open audit log; all others pass by.
 */
import { Writable } from 'node:stream'
import {
  AT_ONCE,
  AuditMembers,
  type BridgeCounts,
  type BridgeOptions,
  type EventRecorder,
  sayAtExit,
  sayEnd,
} from './audit-member.ts'

export type { BridgeCounts, BridgeOptions, EventRecorder } from './audit-member.ts'

/** A transport for winston, with what has become of its lines. */
export type WinstonAuditTransport = Writable & {
  /** What winston takes for the mark of a transport; it is not called. */
  log(info: unknown, next: () => void): void
  readonly counts: BridgeCounts
}

/**
 * A transport for `createLogger({ transports: [auditTransport(audit)] })`. It takes lines of every level: a logger's level drops no
 * event here. When the logger ends, it makes everything durable, says on stderr what was refused, and leaves the log open; `finish` of
 * the transport comes after that. Await it before `process.exit()`: a process that ends without it says on stderr how many events were
 * not durable.
 * @example
 * const logger = createLogger({ transports: [new transports.Console(), auditTransport(audit)] })
 * logger.info('approved', { audit: { action: 'invoice.approve', actor: { type: 'user', id: 'ada' } } })
 */
export function auditTransport(audit: EventRecorder, options: BridgeOptions = {}): WinstonAuditTransport {
  const members = new AuditMembers(audit, options)
  const underway = new Set<Promise<void>>()
  const stream = new Writable({
    objectMode: true,
    write: (info, _, done) => {
      const taken = members.take([info])
      underway.add(taken)
      taken.then(() => underway.delete(taken))
      // At once, so that an event is read before the application changes it, and many share a write to disk.
      if (underway.size < AT_ONCE) done()
      else taken.then(() => done())
    },
    final: (done) => {
      Promise.all(underway).then(() => {
        sayEnd(members.counts, null, true)
        done()
      }, done)
    },
  })
  sayAtExit(stream, members)
  const log = (_: unknown, next: () => void) => next()
  return Object.defineProperties(stream, {
    log: { value: log },
    counts: { get: () => members.counts },
  }) as WinstonAuditTransport
}
