/** What another machine sends is read to its limit, and no further. */

/**
 * The bytes of a body that another machine sends; of none, no bytes. Null where it has more than `maxBytes`: it is then read no
 * further. Rejects as the stream does.
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
      // The sender may never notice, and there is nothing to wait for.
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

/** Whether an answer leads elsewhere: a status of 3xx, or what a browser shows of one. Killick follows none. */
export const isRedirect = ({ status, type }: Pick<Response, 'status' | 'type'>): boolean =>
  type === 'opaqueredirect' || (status >= 300 && status < 400)

/** A request failed because the connection ended before the answer began: in the words of undici, and of the system below it. */
export function isCut(error: unknown): boolean {
  const { code } = ((error as Error).cause ?? {}) as { code?: unknown }
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE'
}
