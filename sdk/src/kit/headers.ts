import { type AuditContext, isTraceparent } from './context.ts'

/** One value of a header; null or undefined if the request does not have it. */
export type HeaderReader = (name: string) => string | readonly string[] | null | undefined

/**
 * What a request's headers say for its context: `userAgent`, `traceparent`, and `requestId` if a header is named for it. Whoever
 * sends the request can write anything there; what is malformed is left out, since a caller must not be able to keep an event from
 * being recorded. The address is the application's to decide: it depends on the proxies before it.
 * @param header reads a header by its lower-case name
 */
export function contextOfHeaders(
  header: HeaderReader,
  { requestIdHeader }: { readonly requestIdHeader?: string | undefined } = {},
): AuditContext {
  const userAgent = textOf(header('user-agent'))
  const traceparent = textOf(header('traceparent'))
  const requestId = requestIdHeader === undefined ? undefined : textOf(header(requestIdHeader.toLowerCase()))
  return {
    ...(userAgent !== undefined && { userAgent }),
    ...(isTraceparent(traceparent) && { traceparent }),
    ...(requestId !== undefined && { requestId }),
  }
}

function textOf(value: string | readonly string[] | null | undefined): string | undefined {
  const text = typeof value === 'string' ? value : value?.[0]
  return text === undefined || text === '' || text.length > 16_384 ? undefined : text.toWellFormed()
}
