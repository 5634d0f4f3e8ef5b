/** Reads what another machine sends, up to a limit. */

/**
 * The bytes of a body that another machine sends; empty if there is no body. Null if it has more than `maxBytes`; the rest is
 * then not read. Rejects as the stream does.
 */
export async function readBody(body: ReadableStream<Uint8Array> | null, maxBytes: number): Promise<Uint8Array | null> {
  if (body === null) return new Uint8Array()
  const parts: Uint8Array[] = []
  let length = 0
  // Not every browser iterates over streams.
  const reader = body.getReader()
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    length += part.value.length
    if (length > maxBytes) {
      // Not awaited: the sender may never notice.
      reader.cancel().catch(() => {})
      return null
    }
    parts.push(part.value)
  }
  const bytes = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

/** Whether an answer is a redirect: status 3xx, or what a browser shows instead of that. Killick follows none. */
export const isRedirect = ({ status, type }: Pick<Response, 'status' | 'type'>): boolean =>
  type === 'opaqueredirect' || (status >= 300 && status < 400)

/** Whether a request failed because the connection ended before the answer began, by the codes of undici and of the system. */
export function isCut(error: unknown): boolean {
  const { code } = ((error as Error).cause ?? {}) as { code?: unknown }
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE'
}
