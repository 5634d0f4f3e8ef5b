/** Where a proof can come from: a file, a pasted text, the end of a link, or a share on the service. */
import { MAX_PROOF_BYTES, type Proof, parseProof } from '@killick/sdk/verify'
import { unpackFragment } from '../shared/fragment.ts'
import { refusal } from '../shared/refusal.ts'

/** A link that shows nothing, and why. The service tells the state of a link, never what it led to. */
export class LinkError extends Error {
  readonly state: 'revoked' | 'expired' | 'dropped' | 'altered' | 'unknown' | 'limited' | 'unreachable'

  constructor(state: LinkError['state']) {
    super(state)
    this.state = state
  }
}

export function fromText(text: string): Proof {
  const trimmed = text.trim()
  if (trimmed === '') throw refusal('proof_malformed', 'empty')
  return parseProof(trimmed)
}

/** Refused by its size before a byte of it is read. A folder, or a file that is gone by now, gives no bytes. */
export async function fromFile(file: File): Promise<Proof> {
  if (file.size > MAX_PROOF_BYTES) throw refusal('proof_too_large', 'file_size', file.size / MAX_PROOF_BYTES)
  const bytes = await file.arrayBuffer().catch(() => {
    throw refusal('proof_malformed', 'file_gone')
  })
  return parseProof(new Uint8Array(bytes))
}

export async function fromFragment(fragment: string): Promise<Proof> {
  return parseProof(await unpackFragment(fragment))
}

/** @throws LinkError | KillickError */
export async function fromService(url: string): Promise<Proof> {
  const response = await fetch(url, {
    headers: { accept: 'application/json' },
    credentials: 'omit',
    cache: 'no-store',
  }).catch(() => {
    throw new LinkError('unreachable')
  })
  if (response.ok) {
    // An answer may break off in its middle.
    const blob = await response.blob().catch(() => {
      throw new LinkError('unreachable')
    })
    return fromFile(new File([blob], 'proof.json'))
  }
  if (response.status === 429) throw new LinkError('limited')
  const problem = (await response.json().catch(() => ({}))) as { code?: unknown }
  if (problem.code === 'share_revoked') throw new LinkError('revoked')
  if (problem.code === 'share_expired') throw new LinkError('expired')
  if (problem.code === 'event_dropped') throw new LinkError('dropped')
  if (problem.code === 'event_unreadable') throw new LinkError('altered')
  throw new LinkError(response.status === 404 ? 'unknown' : 'unreachable')
}
