// One request on node:http, from its first hook to the end of its response.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { auditContext } from '../kit/index.ts'
import { AuditedRequest, type RequestFacts } from './audited-request.ts'
import { hold } from './hold.ts'
import type { NodeRequestAudit, RequestSink } from './options.ts'

const known = new WeakMap<object, AuditedRequest>()

/** The audited request that was begun for this message of node:http; undefined if none was. */
export const auditedRequestOf = <Request>(message: object): AuditedRequest<Request> | undefined =>
  known.get(message) as AuditedRequest<Request> | undefined

/**
 * Begins a request: its context, and its event once it is answered. A second call for the same message is the same request: an
 * adapter may be mounted twice, or under a framework that has one too.
 */
export function beginNodeRequest<Request>(
  sink: RequestSink,
  options: NodeRequestAudit<Request>,
  message: IncomingMessage,
  response: ServerResponse,
  facts: Omit<RequestFacts<Request>, 'method' | 'header'>,
): AuditedRequest<Request> {
  const begun = auditedRequestOf<Request>(message)
  if (begun) return begun
  const request = new AuditedRequest(sink, options, {
    ...facts,
    method: message.method ?? '',
    header: (name) => message.headers[name],
  })
  known.set(message, request as AuditedRequest)
  // Node emits from where the socket was opened: not in this request.
  request.scope.run(() => {
    auditContext.bindEmitter(message)
    auditContext.bindEmitter(response)
  })
  new Ending(request as AuditedRequest, options, response).begin()
  return request
}

/** Waits for the answer, or for the client to hang up. */
class Ending {
  readonly #request: AuditedRequest
  readonly #options: NodeRequestAudit<never>
  readonly #response: ServerResponse
  #timer: NodeJS.Timeout | undefined

  constructor(request: AuditedRequest, options: NodeRequestAudit<never>, response: ServerResponse) {
    this.#request = request
    this.#options = options
    this.#response = response
  }

  begin(): void {
    const response = this.#response
    if (this.#options.responseWaits) this.#watch()
    response.once('finish', () => this.#end(response.statusCode, false))
    response.once('close', () => {
      if (this.#timer) return
      if (response.headersSent || response.writableEnded) this.#end(response.statusCode, !response.writableFinished)
      else this.#hangUp()
    })
  }

  /** Makes the event when the handler begins to answer. */
  #watch(): void {
    hold(this.#response, (status) => {
      const durable = this.#request.ended({ status, aborted: this.#response.destroyed })
      if (!this.#timer) return durable
      // The client is gone: nobody waits.
      clearTimeout(this.#timer)
      durable?.catch(() => {})
      this.#request.scope.end()
      return null
    })
  }

  /** The client is gone, but what it asked for may be done all the same. */
  #hangUp(): void {
    this.#timer = setTimeout(() => this.#end(null, true), this.#options.hangUpMs ?? 5_000)
    if (!this.#options.responseWaits) this.#watch()
  }

  #end(status: number | null, aborted: boolean): void {
    // The audit object reports what it cannot record.
    this.#request.ended({ status, aborted })?.catch(() => {})
    this.#request.scope.end()
  }
}
