/** What a verifier brings along. Nothing in here comes from the proof. */

import type { PublicJwk } from '../core/jwk.ts'
import type { Anchor } from '../core/proof.ts'

/** A contract and the log in it that the verifier means to rely on. */
export type PinnedLog = { readonly chainId: number; readonly contract: string; readonly logId: string }

/**
 * What a node said about one anchor of a proof. Made by `readAnchors`, or by any other means the verifier has of
 * knowing the chain.
 */
export type AnchorFact = Pick<
  Anchor,
  'chainId' | 'contract' | 'logId' | 'size' | 'root' | 'time' | 'transaction' | 'block'
> & {
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

export const DEFAULT_CONFIRMATIONS = 12
