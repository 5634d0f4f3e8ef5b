/** What a verifier brings along. Nothing in here comes from the proof. */

import { KillickError } from '../core/errors.ts'
import { isCount } from '../core/event.ts'
import { type PublicJwk, parsePublicJwk } from '../core/jwk.ts'
import { parseVkey } from '../core/note.ts'
import type { Anchor } from '../core/proof.ts'

/** A contract and the log in it that the verifier means to rely on. Hex digits of either case, as wallets print addresses. */
export type PinnedLog = { readonly chainId: number; readonly contract: string; readonly logId: string }

/**
 * What a node said about one anchor of a proof. Made by `readAnchors`, or by any other means the verifier has of
 * knowing the chain.
 */
export type AnchorFact = Pick<
  Anchor,
  'chainId' | 'contract' | 'logId' | 'size' | 'root' | 'time' | 'transaction' | 'block'
> &
  Answer

type Answer = {
  /** Which node answered, as a label to show. */
  readonly node: string
} & (
  | { readonly unreadable: string }
  | {
      /** The contract holds (size, root, time) in this log. */
      readonly anchored: boolean
      /** The code at the address is the published one. */
      readonly genuineCode: boolean
      /** The block has the anchor's time and holds its transaction; null where the node no longer has the block. */
      readonly located: boolean | null
      /** Blocks on top of and including the anchor's. */
      readonly confirmations: number
      /** The chain's own finality covers the anchor; null where the chain has none. */
      readonly finalized: boolean | null
    }
)

/** The answer that counts, of several about one anchor: a denial before a confirmation before none at all. */
export function weightiest<A extends Answer>(answers: readonly A[]): A | undefined {
  const denies = (answer: Answer) =>
    'anchored' in answer && !(answer.anchored && answer.genuineCode && answer.located !== false)
  return answers.find(denies) ?? answers.find((answer) => 'anchored' in answer) ?? answers[0]
}

export type Trust = {
  /** Keys known to belong to a source; without a name, to whichever source the event is of. */
  readonly sourceKeys?: readonly { readonly source?: string | undefined; readonly jwk: PublicJwk }[]
  /** Verifier keys (C2SP vkeys) of the log. */
  readonly logKeys?: readonly string[]
  readonly logs?: readonly PinnedLog[]
  /** What the chain says, from `readAnchors`. */
  readonly facts?: readonly AnchorFact[]
  /** How many confirmations count as final on a chain without finality of its own. Default 12. */
  readonly confirmations?: number
}

/**
 * Refuses trust that could only ever fail: a slip in a pinned key or address must not read as a forged proof.
 * @throws KillickError key_invalid | vkey_invalid | trust_invalid
 */
export function checkTrust(trust: Trust): void {
  for (const { jwk } of trust.sourceKeys ?? []) parsePublicJwk(jwk)
  for (const vkey of trust.logKeys ?? []) parseVkey(vkey)
  for (const { chainId, contract, logId } of trust.logs ?? []) {
    const isHex = (text: string, digits: number) => /^0x[0-9a-f]+$/i.test(text) && text.length === 2 + digits
    if (!isCount(chainId) || !isHex(contract, 40) || !isHex(logId, 64)) {
      throw new KillickError(
        'trust_invalid',
        'A pinned log needs a chain id, a contract of 20 bytes and a log id of 32',
      )
    }
  }
  if (trust.confirmations !== undefined && !isCount(trust.confirmations)) {
    throw new KillickError('trust_invalid', 'The number of confirmations must be an integer from 0')
  }
}

export const DEFAULT_CONFIRMATIONS = 12
