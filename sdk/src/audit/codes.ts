/** What the result of an audit says in codes. `@killick/sdk/words` has the sentences. */

/** Why a check of an audit ended as it did: a closed set, stable across releases; docs/ERRORS.md lists what each means. */
export type AuditReason =
  /** It holds. */
  | 'ok'
  /** The audit stopped before this check. */
  | 'stopped'
  /** What the service answered or stores cannot be read. */
  | 'unreadable'
  /** Something that must be there is not. */
  | 'absent'
  /** Something is there that neither the log nor the migrations account for. */
  | 'untold'
  /** It is not what the log says, or not what the migrations make. */
  | 'different'
  /** It does not follow what stands before it. */
  | 'misplaced'
  /** A signature does not verify, or is by a key that may not sign here. */
  | 'signature_invalid'
  /** A key was not registered before it was used, or used outside its time. */
  | 'key_unregistered'
  /** A registration does not hold. */
  | 'registration_invalid'
  /** Fields that were accepted are gone, and no erasure names them. */
  | 'fields_missing'
  /** What an erasure or a drop names can still be read, or was not erased in time. */
  | 'erasure_undone'
  /** An order says that events have expired, or a drop that they could go, and log and anchors do not bear that out. */
  | 'retention_unfounded'
  /** What a policy lets expire or drops is still there a week after it was due, and no hold covers it. */
  | 'retention_overdue'
  /** It says that two people decided it, and the log does not bear that out. */
  | 'confirmation_invalid'
  /** It hashes to another root. */
  | 'root_mismatch'
  /** The log has another root or batch than it signed before. */
  | 'rewritten'
  /** Entries that it signed before are not shown. */
  | 'removed'
  /** An event is not found in one of the ways that readers look for it. */
  | 'not_found'
  /** The proof of an event fails. */
  | 'proof_failed'
  /** Nothing is anchored. */
  | 'not_anchored'
  /** No node was asked that could tell. */
  | 'not_asked'
  /** A node gave no usable answer. */
  | 'node_unreadable'
  /** The code at the address is not the published contract. */
  | 'code_foreign'
  /** The contract does not hold this. */
  | 'not_held'
  /** The block is not the one that is named. */
  | 'block_mismatch'
  /** It says that it succeeds another log, and that does not hold. */
  | 'succession_invalid'
  /** The log that was left was anchored on. */
  | 'left_log_anchored'
  /** A pinned log was left; what came after is on the publisher's word. */
  | 'pinned_log_left'
  /** Something was stated while the audit ran. */
  | 'changed_meanwhile'
  /** There is nothing to hold it against. */
  | 'nothing_known'

/**
 * What an audit took on somebody's word, because it was not pinned. The operator's word: `log_key`, on which key is the log's;
 * `source_keys`, given in the log, on the keys of these sources; `contract`, on which contract and log to ask. The publisher's
 * word: `succession`, that this log succeeds a pinned one; `left_log`, that anchors in the log that was left which this log does
 * not extend are not its own. `unread_keys` is nobody's word: these pinned log keys, given by name and type, are of a type that
 * is not read, so that nothing was checked with them.
 */
export type AuditRestsOn =
  | { readonly what: 'log_key' | 'contract' | 'succession' | 'left_log' }
  | { readonly what: 'source_keys'; readonly sources: readonly string[] }
  | { readonly what: 'unread_keys'; readonly keys: readonly string[] }
