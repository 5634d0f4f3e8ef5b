/**
 * Why the proxy answers in the upstream's place: HTTP status and one sentence each. A closed set, stable across releases; docs/ERRORS.md
 * lists it. Up to 503 the upstream has not seen the request, unless a sentence says otherwise.
 */
export const HTTP_CODES = {
  http_request_invalid: [400, 'The request cannot be read in one way only, so it is not passed on.'],
  http_path_odd: [400, 'The path can be read in more than one way, and the proxy is set to refuse such paths.'],
  http_unauthenticated: [401, 'Nothing vouches for who asks, and the proxy is set to ask for that.'],
  http_timeout: [408, 'The request did not arrive in time. The upstream may have seen its beginning.'],
  http_headers_too_large: [431, 'The request headers are too large, or too many.'],
  http_internal: [500, 'The proxy is at fault. Whether the request was passed on is not known.'],
  http_method_unsupported: [501, 'The method is none that the proxy passes on.'],
  http_upstream_unreachable: [502, 'The upstream cannot be reached.'],
  http_upstream_broken: [502, 'The upstream ended the connection before it answered. What it did is not known.'],
  http_not_recorded: [
    503,
    'The request could not be recorded, so it was not passed on. Send again after the time in Retry-After.',
  ],
  http_busy: [503, 'Too many requests are under way. Send again after the time in Retry-After.'],
  http_draining: [503, 'The proxy is being stopped. Send again after the time in Retry-After.'],
  http_upstream_timeout: [504, 'The upstream did not answer in time. What it did is not known.'],
} as const satisfies Record<string, readonly [status: number, sentence: string]>

/** A code of `HTTP_CODES`. */
export type HttpCode = keyof typeof HTTP_CODES

/** The proxy refuses a request. `details` become members of the problem document. */
export class HttpRefusal extends Error {
  override readonly name = 'HttpRefusal'
  readonly code: HttpCode
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: HttpCode, message: string = HTTP_CODES[code][1], details: Record<string, unknown> = {}) {
    super(message)
    this.code = code
    this.details = details
  }
}
