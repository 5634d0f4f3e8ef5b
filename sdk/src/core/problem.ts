// Turns a refusal or a missing answer of a service into an error.
import { ERROR_CODES, type ErrorCode, KillickError } from './errors.ts'
import { isObject, parseJson } from './json.ts'

/** Undici hides the reason in a chain of causes; people need the innermost one ("connect ECONNREFUSED 127.0.0.1:8787"). */
export function unreachable(url: string, error: Error): KillickError {
  let reason = error
  while (reason.cause instanceof Error) reason = reason.cause
  const { code, reason: inShort } = reason as Error & { code?: string; reason?: unknown }
  // The message of an error of OpenSSL is a line of its own log.
  const message = (typeof inShort === 'string' && `TLS: ${inShort}`) || reason.message || code || reason.name
  return new KillickError('unreachable', `${url} cannot be reached: ${message}`, { url, reason: message })
}

/** What a service says of a request without the right token, with what may help against it. */
export const hinted = (message: string, status: number, hint: string | undefined): string =>
  status === 401 && hint !== undefined ? `${message.replace(/\.$/, '')}. ${hint}` : message

/** What `read` returns. A `KillickError` of its own keeps its code, and says before all else what was read. */
export function reading<T>(what: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    throw new KillickError(error.code, `${what}: ${error.message}`, error.details)
  }
}

/**
 * The service's refusal as an error: with the service's code if this sdk knows it, else `refused`; `details` holds the whole
 * problem document (RFC 9457), its `code` and the HTTP `status`.
 */
export function problemError(status: number, body: string): KillickError {
  let problem: Record<string, unknown> = {}
  try {
    const value = parseJson(body)
    if (isObject(value)) problem = value
  } catch {
    // Not a problem document: a proxy answered, and its status is all there is.
  }
  const serviceCode = typeof problem.code === 'string' ? problem.code : 'refused'
  // A service that answers cannot be unreachable.
  const isKnown = Object.hasOwn(ERROR_CODES, serviceCode) && serviceCode !== 'unreachable'
  const code: ErrorCode = isKnown ? (serviceCode as ErrorCode) : 'refused'
  const reason = [problem.detail, problem.title].find((words) => typeof words === 'string') ?? 'no reason given'
  return new KillickError(code, `The service answered ${status} (${serviceCode}): ${reason}`, {
    ...problem,
    status,
    code: serviceCode,
  })
}
