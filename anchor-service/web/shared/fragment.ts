/**
 * Proofs that travel in a link: `#` and the base64url of the proof's JSON, compressed as raw deflate (RFC 1951). What
 * comes after `#` is never sent to a server.
 */
import { fromBase64url, KillickError, MAX_PROOF_BYTES, readBody, toBase64url } from '@killick/sdk/verify'
import { refusal } from './refusal.ts'

export async function packFragment(json: string): Promise<string> {
  const packed = new Blob([json]).stream().pipeThrough(new CompressionStream('deflate-raw'))
  return toBase64url((await readBody(packed, Number.POSITIVE_INFINITY))!)
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
  // What unpacks to more than a proof may have is refused while it unpacks.
  const json = await readBody(unpacked, MAX_PROOF_BYTES).catch(() => {
    throw refusal('proof_malformed', 'link_changed')
  })
  if (json === null) throw new KillickError('proof_too_large')
  return json
}
