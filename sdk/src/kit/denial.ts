import type { EventInput } from '../core/fields.ts'

/** How an event ended. */
export type EventOutcome = NonNullable<EventInput['outcome']>

/**
 * Something was refused to somebody. `withAudit` and the adapters record it as `denied`; frameworks that look for `status` or
 * `statusCode` answer with it.
 * @example
 * if (!mayRefund(user)) throw new DeniedError('over the limit')
 */
export class DeniedError extends Error {
  /** 403, or 401 where nobody has signed in. */
  readonly status: 401 | 403
  readonly statusCode: 401 | 403

  /** @param reason recorded as `metadata.reason`, up to 16,384 characters */
  constructor(reason = 'denied', status: 401 | 403 = 403) {
    super(reason)
    this.name = 'DeniedError'
    this.status = status
    this.statusCode = status
  }
}

/** 401 and 403 are `denied`, all else from 400 on is `failure`, the rest `success`. */
export function outcomeOfStatus(status: number): EventOutcome {
  if (status === 401 || status === 403) return 'denied'
  return status >= 400 ? 'failure' : 'success'
}

/**
 * Whether an error is a denial: it has 401 or 403 as `status`, `statusCode`, `getStatus()` (NestJS) or `output.statusCode` (boom). A
 * `DeniedError` has. Where errors carry the status of another service's answer, the audit object can be given a function of its own.
 */
export function isDenial(error: unknown): boolean {
  const status = statusOf(error)
  return status === 401 || status === 403
}

const MAX_REASON = 16_384

/**
 * What a `DeniedError` gives as its reason, as an event can hold it: often it quotes what the one who was refused has sent, which must
 * not keep the denial from being recorded. Undefined for any other error.
 */
export function reasonOf(error: unknown): string | undefined {
  const { name, message } = (error ?? {}) as Partial<Error>
  // Bundlers may have given the application a copy of the class of its own.
  if (!(error instanceof DeniedError || name === 'DeniedError') || typeof message !== 'string') return undefined
  const text = message.length <= MAX_REASON ? message : `${message.slice(0, MAX_REASON - 1)}…`
  return text.toWellFormed()
}

/** The HTTP status that an error stands for; null if it has none. */
export function statusOf(error: unknown): number | null {
  if (typeof error !== 'object' || error === null) return null
  const it = error as {
    status?: unknown
    statusCode?: unknown
    getStatus?: unknown
    output?: { statusCode?: unknown } | null
  }
  const found = [it.status, it.statusCode, it.output?.statusCode].find(isStatus)
  if (found !== undefined) return found
  const asked = typeof it.getStatus === 'function' ? it.getStatus() : null
  return isStatus(asked) ? asked : null
}

const isStatus = (value: unknown): value is number =>
  Number.isInteger(value) && Number(value) >= 100 && Number(value) < 600
