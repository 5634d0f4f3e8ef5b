/** The service's own API, asked with the session of this browser. */

export class ApiError extends Error {
  readonly code: string
  readonly status: number

  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

/** @throws ApiError with the service's code; `unreachable` where it gave no answer */
export async function api<T>(path: string, method = 'GET', body?: object): Promise<T> {
  const response = await fetch(path, {
    method,
    // No other site can make a browser send this header, so the session alone is not enough to change anything.
    headers: { 'x-killick-console': '1', ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  }).catch(() => {
    throw new ApiError(0, 'unreachable', 'The service cannot be reached.')
  })
  const answer = (await response.json().catch(() => ({}))) as T & { code?: string; detail?: string }
  if (!response.ok && response.status !== 503) {
    throw new ApiError(
      response.status,
      answer.code ?? 'unknown',
      answer.detail ?? `The service answered ${response.status}.`,
    )
  }
  return answer
}

export type PartyAnswer = { type: string; id: string; name?: string }
export type Json = null | boolean | number | string | Json[] | { [member: string]: Json }
export type Fields = { action?: string; actor?: PartyAnswer; targets?: PartyAnswer[]; outcome?: string } & {
  [name: string]: Json | undefined
}

export type ConsoleEvent = {
  id: string
  leafHash: string
  source: string
  stream: string
  seq: number
  recordedAt: string
  logIndex: number
  fields: Fields
  /** Fields that the ledger does not hold any more. */
  missing?: number
  error?: never
}
/** One that was altered in the database; where it stands may be unknown. */
export type UnreadableAnswer = {
  id: string
  logIndex: number
  number: number
  leafHash?: string
  source?: string
  stream?: string
  seq?: number
  recordedAt?: string
  error: { code: string; detail: string }
}
export type ListedEvent = ConsoleEvent | UnreadableAnswer
export type ShareAnswer = {
  id: string
  leafHash: string
  fields: string[]
  state: 'open' | 'expired' | 'revoked'
  createdAt: string
  expires: string | null
  url?: string
}
export type AnchorAnswer = {
  target: string
  chainId: number
  contract: string
  size: number
  state: string
  plannedAt: string
  changedAt: string
  transaction: string | null
  block: number | null
  time: number | null
  gasUsed: number | null
  gasPrice: string | null
  detail: string | null
}
export type SourceAnswer = {
  source: string
  eventSignatures: string
  keys: { kid: string; notBefore: string | null; notAfter: string | null; jwk: { crv: string } }[]
}
export type SignedHeaderAnswer = {
  header: string
  said: {
    seq: number
    n: number
    root: string
    prev: string | null
    time: string
    kid: string
    leafHash: string
  } | null
  key: object | null
}
export type EquivocationAnswer = {
  source: string
  stream: string
  seq: number
  logIndex: number
  recordedAt: string
  accepted: SignedHeaderAnswer
  refused: SignedHeaderAnswer
}
export type Refused = {
  source: string
  stream: string
  code: string
  seq: number
  expected: number
  at: string
  times: number
}
/** How an audit ended, as the service says in `/readyz`. */
export type AuditEnd = {
  outcome: 'pass' | 'fail' | 'undecided'
  at: string
  seconds: number
  size: number | null
  events: number | null
  first: { logIndex: number; source?: string; stream?: string; seq?: number; message: string } | null
  findings: { check: string; reason: string; detail: string }[]
}
export type Audit = {
  state: 'waiting' | 'running' | 'elsewhere'
  progress: { batches: number; size: number; events: number } | null
  began: string | null
  next: string | null
  failed: boolean
  last: AuditEnd | null
  passed: AuditEnd | null
  intervalMs: number
  pace: number
}
export type Stream = { source: string; stream: string; events: number; lastAt: string }
