/** Something outside the collector keeps it from starting; the message is a sentence that says what to do. */
export class GatewayStartError extends Error {
  override readonly name = 'GatewayStartError'
  /** Stable, for programs: `gateway_config_invalid` or `gateway_start_failed`. */
  readonly code: 'gateway_config_invalid' | 'gateway_start_failed'
  /** What is wrong, one sentence each. */
  readonly faults: readonly string[]

  constructor(code: GatewayStartError['code'], message: string, faults: readonly string[] = []) {
    super(message)
    this.code = code
    this.faults = faults
  }
}

/**
 * Why the collector says no, beyond what the sdk's own codes say: HTTP status and one sentence each. A closed set, stable across
 * releases; docs/ERRORS.md lists it together with the codes of service and sdk. Unless a sentence says otherwise, nothing of the
 * request was recorded.
 */
export const GATEWAY_CODES = {
  collect_request_invalid: [400, 'The request is not one that the collector understands.'],
  collect_encoding_invalid: [400, 'The body is not valid in its Content-Encoding, or not UTF-8.'],
  collect_input_invalid: [400, 'The body does not have the form that its media type asks for.'],
  emitter_unknown: [
    401,
    'The emitter did not authenticate: a key or a client certificate that the collector knows is required.',
  ],
  emitter_source_refused: [403, 'The emitter may not record as this source.'],
  emitter_tenant_refused: [403, 'The emitter may not record for this tenant.'],
  emitter_action_refused: [403, 'The emitter may not record this action.'],
  collect_not_found: [404, 'There is nothing at this address.'],
  collect_timeout: [408, 'The request did not arrive in time.'],
  collect_subject_erased: [409, 'The event would hold data of a subject that was erased; nothing is sealed for it.'],
  sender_id_reused: [409, 'The id was used before, for other content.'],
  collect_body_too_large: [413, 'The body, or an event in it, is larger than allowed, as sent or decompressed.'],
  collect_media_type_unsupported: [415, 'The Content-Type or Content-Encoding is not supported here.'],
  collect_subject_missing: [422, 'The event does not say whose data it holds, and that is to be sealed.'],
  mapping_empty: [422, 'The input is well formed, and no event can be made of it.'],
  emitter_busy: [429, 'The emitter has as much under way as it may. Send again after the time in Retry-After.'],
  collect_headers_too_large: [431, 'The request headers are too large.'],
  collect_internal: [500, 'The collector is at fault. The request may be sent again.'],
  collect_draining: [503, 'The collector is being stopped. Send again after the time in Retry-After.'],
  collect_keys_unreachable: [
    503,
    'The keys of data subjects cannot be had, so nothing is sealed. Send again after the time in Retry-After.',
  ],
  ids_failed: [
    503,
    'The file that remembers the ids of senders cannot be written. Send again after the time in Retry-After.',
  ],
} as const satisfies Record<string, readonly [status: number, title: string]>

/** A code of `GATEWAY_CODES`. */
export type GatewayCode = keyof typeof GATEWAY_CODES

/** The collector refuses a request. `details` become members of the problem document. */
export class GatewayRefusal extends Error {
  override readonly name = 'GatewayRefusal'
  readonly code: GatewayCode
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: GatewayCode, message: string = GATEWAY_CODES[code][1], details: Record<string, unknown> = {}) {
    super(message)
    this.code = code
    this.details = details
  }
}
