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

/** Longest line of an export that is looked at. */
const MAX_LINE = 4 << 20

export function fromText(text: string): Proof {
  const trimmed = text.trim()
  if (trimmed === '') throw refusal('proof_malformed', 'empty')
  if (isExport(trimmed)) throw refusal('proof_malformed', 'exported')
  return parseProof(trimmed)
}

/** Refused by its size, or as an export, before it is read as a proof. A folder, or a file that is gone by now, gives no bytes. */
export async function fromFile(file: File): Promise<Proof> {
  const head = await file
    .slice(0, MAX_LINE)
    .text()
    .catch(() => '')
  if (isExport(head)) throw refusal('proof_malformed', 'exported')
  if (file.size > MAX_PROOF_BYTES) throw refusal('proof_too_large', 'file_size', file.size / MAX_PROOF_BYTES)
  const bytes = await file.arrayBuffer().catch(() => {
    throw refusal('proof_malformed', 'file_gone')
  })
  return parseProof(new Uint8Array(bytes))
}

/** Whether a text begins as exports do: each of their lines is an event with its proof, null where it has none. */
function isExport(text: string): boolean {
  const [line = ''] = text.split('\n', 1)
  if (!line.startsWith('{') || !line.endsWith('}')) return false
  try {
    const { proof } = JSON.parse(line)
    return proof === null || proof?.format === 'killick-proof/1'
  } catch {
    return false
  }
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
