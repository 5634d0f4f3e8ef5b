import { KillickError } from '@killick/sdk/core'

/** Something outside the service keeps it from starting; the message is a sentence that says what to do. */
export class StartError extends Error {
  override readonly name = 'StartError'
}

/**
 * Why the service says no, beyond what the sdk's own codes say: HTTP status and one sentence each. A closed set, stable
 * across releases; docs/ERRORS.md lists it together with the codes of the sdk.
 */
export const SERVICE_CODES = {
  request_invalid: [400, 'The request does not have the form that the OpenAPI document describes.'],
  encoding_invalid: [400, 'The body is not valid in its Content-Encoding.'],
  unauthorized: [401, 'A valid bearer token is required.'],
  forbidden: [403, 'The token does not allow this.'],
  key_not_yet_valid: [403, 'The signing key is not valid yet.'],
  key_expired: [403, 'The signing key is no longer valid.'],
  source_reserved: [403, 'The source "killick" is the ledger itself; only the ledger records for it.'],
  event_signature_required: [403, 'The source must sign each event; this event is unsigned.'],
  event_time_refused: [
    403,
    "The event claims a time too far from the ledger's clock: outside the bounds that its source is registered with.",
  ],
  second_person_required: [403, 'Somebody else has to confirm what you proposed.'],
  not_found: [404, 'There is nothing at this address.'],
  event_not_found: [404, 'No event that is kept has this id, and no accepted event this leaf hash.'],
  share_not_found: [404, 'There is no such link.'],
  bundle_not_found: [404, 'There is no such bundle, or it was removed.'],
  erasure_not_found: [404, 'There is no such erasure.'],
  retention_not_found: [404, 'There is no such policy, or it was ended.'],
  proposal_not_found: [404, 'There is no such proposal.'],
  hold_not_found: [404, 'There is no such hold, or it was lifted.'],
  stream_not_found: [404, 'No batch of this stream has been accepted.'],
  request_timeout: [408, 'The request did not arrive in time.'],
  stream_gap: [409, 'Events are missing between the head of the stream and this batch.'],
  stream_fork: [409, 'The batch does not follow the head of the stream.'],
  equivocation: [409, 'The stream already has another event at this place. Both signed headers are kept as evidence.'],
  erasure_held: [409, 'A hold covers some of the events. Nothing was erased.'],
  erasure_empty: [409, 'No event that was asked for holds such a field. Nothing was erased.'],
  erasure_id_taken: [409, 'Another order, or a proposal, has this id. Nothing was erased.'],
  erasure_unreadable: [409, 'Some of the events cannot be read as they were accepted. Nothing was erased.'],
  retention_changed: [409, 'Policies or holds have just changed. Ask again.'],
  proposal_ended: [409, 'The proposal was confirmed, refused, or not confirmed in time.'],
  catalogue_taken: [409, 'The source has a version of this name already, and it says something else.'],
  bundle_not_ready: [409, 'The bundle is not made yet, or could not be made.'],
  bundles_full: [409, 'Bundles take as much room as they may. Remove some, or wait until they are old enough.'],
  event_unreadable: [410, 'The database does not hold this event as it was accepted: somebody has altered it.'],
  event_dropped: [410, 'A retention policy has dropped this event. Its leaf hash remains.'],
  entries_pruned: [410, 'The log does not publish this any more: it is older than its policy says.'],
  share_expired: [410, 'The link has expired.'],
  share_revoked: [410, 'The link was revoked.'],
  sign_in_used: [
    410,
    'This link to the console has signed in once already. Sign in with a token, or make another link.',
  ],
  history_too_long: [
    413,
    'The history has more events than one answer may be made of: killick history tells up to 100,000, a bundle any number.',
  ],
  erasure_too_large: [413, 'More than 100,000 events lose fields by this order.'],
  body_too_large: [413, 'The body is larger than allowed, as sent or decompressed.'],
  unsupported_media_type: [415, 'The Content-Type or Content-Encoding is not supported.'],
  range_not_satisfiable: [416, 'The file has no such bytes.'],
  bundles_waiting: [429, 'As many bundles wait to be made as may. Ask again when one of them is done.'],
  rate_limited: [429, 'Too many requests from this address.'],
  headers_too_large: [431, 'The request headers are too large.'],
  internal: [500, 'The service is at fault. The request may be sent again.'],
  overloaded: [503, 'The service has more to do than it can hold. Send again after the time in Retry-After.'],
  log_went_back: [
    503,
    'The log in the database does not continue what this service has signed. Nothing is taken until an operator decides.',
  ],
  registry_altered: [
    503,
    'The registered sources in the database are not what their signed registrations say: somebody has altered them.',
  ],
  proposal_altered: [
    503,
    'The database does not hold what was proposed, as the log has it: somebody has altered it. Nothing was erased.',
  ],
  catalogue_changed: [503, 'What is enforced for the source has just changed. Send again.'],
  unavailable: [
    503,
    'The database did not answer, or `detail` says what else is in the way. Send again: a batch that was accepted all the same gets the same receipt.',
  ],
} as const satisfies Record<string, readonly [status: number, title: string]>

export type ServiceCode = keyof typeof SERVICE_CODES

/** The service refuses a request. `details` become members of the problem document. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly code: ServiceCode
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: ServiceCode, message: string = SERVICE_CODES[code][1], details: Record<string, unknown> = {}) {
    super(message)
    this.code = code
    this.details = details
  }
}

/** Whether a batch was refused because an event does not fit the catalogue that its source is held to. */
export const isMisfit = (error: unknown): boolean =>
  error instanceof KillickError && (error.code === 'action_unknown' || error.code === 'action_invalid')
