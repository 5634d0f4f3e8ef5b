/**
 * Proofs that travel in a link: `#` and the base64url of the proof's JSON, compressed as raw deflate (RFC 1951). What
 * comes after `#` is never sent to a server.
 */
import { fromBase64url, KillickError, toBase64url } from '@killick/sdk/verify'
import { refusal } from './refusal.ts'

/** As large as a proof may be; anything that unpacks to more is refused while it unpacks. */
export const MAX_PROOF_BYTES = 1024 * 1024

export async function packFragment(json: string): Promise<string> {
  const packed = new Blob([json]).stream().pipeThrough(new CompressionStream('deflate-raw'))
  return toBase64url(await readAll(packed, Number.POSITIVE_INFINITY))
}

/** The JSON text of a fragment, with or without its `#`. @throws KillickError proof_malformed | proof_too_large */
export async function unpackFragment(fragment: string): Promise<Uint8Array> {
  const text = fragment.replace(/^#/, '')
  if (text.length > 2 * MAX_PROOF_BYTES) throw new KillickError('proof_too_large')
  const bytes = fromBase64url(text)
  if (bytes === null) throw refusal('proof_malformed', 'link_cut')
  const unpacked = new Blob([bytes as Uint8Array<ArrayBuffer>])
    .stream()
    .pipeThrough(new DecompressionStream('deflate-raw'))
  try {
    return await readAll(unpacked, MAX_PROOF_BYTES)
  } catch (error) {
    if (error instanceof KillickError) throw error
    throw refusal('proof_malformed', 'link_changed')
  }
}

async function readAll(stream: ReadableStream<Uint8Array>, limit: number): Promise<Uint8Array> {
  const reader = stream.getReader()
  const parts: Uint8Array[] = []
  let total = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    total += value.length
    if (total > limit) {
      await reader.cancel()
      throw new KillickError('proof_too_large')
    }
    parts.push(value)
  }
  const all = new Uint8Array(total)
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
