// Turns a refusal or a missing answer of a service into an error.
import { ERROR_CODES, type ErrorCode, KillickError } from './errors.ts'
import { isObject, parseJson } from './json.ts'

/** Undici hides the reason in a chain of causes; people need the innermost one ("connect ECONNREFUSED 127.0.0.1:8787"). */
export function unreachable(url: string, error: Error): KillickError {
  let reason = error
  while (reason.cause instanceof Error) reason = reason.cause
  const message = reason.message || (reason as Error & { code?: string }).code || reason.name
  return new KillickError('unreachable', `${url} cannot be reached: ${message}`, { url, reason: message })
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
