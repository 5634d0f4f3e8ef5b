/** The values of each check, by its name and reason, for a sentence about it. The sentences are made elsewhere. */
import type { ErrorCode } from '../core/errors.ts'
import type { NoAnswer } from './rpc.ts'

/** No values: the reason says everything. */
export type NoValues = { readonly [name: string]: never }

/** Why something cannot be read. `message` is the parser's, in English, for developers; other languages go by `code`. */
export type Unreadable = { readonly code: ErrorCode; readonly message: string }

/** A node gave no usable answer. `said` says why, in English; `fault` says the same as data, if `readAnchors` made the fact. */
export type NodeSilence = { readonly node: string; readonly said: string; readonly fault: NoAnswer | null }

/** What the log says of the keys that signed, and what casts doubt on it. */
export type KeyFindings = {
  /** `since`: when an anchor first covered that log entry, ISO 8601; null: no anchor is shown to cover it. */
  readonly keys: readonly { readonly kid: string; readonly entry: number; readonly since: string | null }[]
  /** A key of the source that was used outside the time for which it was registered. */
  readonly expired: string | null
  /** A log entry signed with a key of the ledger outside the time for which that was registered. */
  readonly expiredAt: number | null
}

/** What is wrong with a carried registration; `entry` is its log index. */
export type RegistrationFault =
  | { readonly what: 'unreadable'; readonly refusal: Unreadable }
  | { readonly what: 'not_first' }
  | {
      readonly what: 'out_of_order' | 'registers_nothing' | 'not_alone' | 'other_source' | 'path' | 'not_signed'
      readonly entry: number
    }

/** What one erasure says of the event. */
export type ErasureWord = {
  readonly id: string
  /** Log entry of the order, and when it was recorded by the ledger's clock, ISO 8601, UTC. */
  readonly logIndex: number
  readonly at: string
  readonly reason: string
  readonly legalBasis: string | null
  /** Number of the order. */
  readonly order: string | null
  /** How many fields of the event it erased. */
  readonly count: number
  /** The retention policy by which they expired; null: they were erased by an order. */
  readonly policy: { readonly id: string; readonly version: number } | null
  /** Who ordered it, and who confirmed that; null: it took one person. */
  readonly confirmed: { readonly orderedBy: string; readonly confirmedBy: string } | null
}

/** What the carried erasures say, and how many fields they name in all. */
export type Erasures = { readonly erasures: readonly ErasureWord[]; readonly fields: number }

/** What is wrong with a carried erasure; `entry` is its log index. */
export type ErasureFault =
  | { readonly what: 'unreadable'; readonly refusal: Unreadable }
  | {
      readonly what: 'no_order' | 'not_alone' | 'other_log' | 'not_in_log' | 'not_listed' | 'not_hidden'
      readonly entry: number
    }

/**
 * Values of each check by its reason; docs/PROTOCOL.md lists them. A check is named like its id, without an anchor's number.
 * Sizes and places are counts from 0, times ISO 8601 in UTC.
 */
export type CheckValues = {
  readonly 'event.form': {
    readonly ok: { readonly shown: number; readonly fields: number }
    readonly malformed: Unreadable
  }
  readonly 'event.fields': {
    readonly part_unreadable: NoValues
    readonly ok: { readonly fields: number }
    readonly fields_hidden: { readonly hidden: number; readonly fields: number }
    /** `hidden` counts all that are not shown, erased ones too. */
    readonly fields_erased: { readonly erased: number; readonly hidden: number; readonly fields: number }
    /** As `fields_erased`, where all of it has expired. */
    readonly fields_expired: { readonly erased: number; readonly hidden: number; readonly fields: number }
    readonly fields_missing: { readonly missing: number; readonly hidden: number; readonly fields: number }
    readonly malformed: { readonly missing: number; readonly hidden: number }
  }
  readonly 'event.erasure': {
    readonly part_unreadable: NoValues
    readonly ok: Erasures
    readonly not_pinned: Erasures
    readonly erasure_invalid: ErasureFault
  }
  readonly 'event.signature': {
    readonly part_unreadable: NoValues
    readonly ok: { readonly alg: string; readonly kid: string }
    readonly key_absent: { readonly kid: string }
    readonly key_mismatch: { readonly alg: string }
    readonly signature_invalid: { readonly kid: string }
    readonly batch_signed: NoValues
  }
  readonly 'event.time': {
    readonly part_unreadable: NoValues
    readonly ok: { readonly recordedAt: string; readonly after: string | null; readonly by: string }
    readonly time_outside: {
      readonly side: 'before' | 'after'
      readonly recordedAt: string
      /** The bound beyond which a claimed time lies. */
      readonly bound: string
      readonly tolerance: number
    }
    readonly time_unbounded: NoValues
  }
  readonly 'batch.signature': {
    readonly ok: { readonly alg: string; readonly kid: string }
    readonly key_absent: { readonly kid: string }
    readonly key_mismatch: { readonly alg: string }
    readonly signature_invalid: { readonly kid: string }
    readonly malformed: Unreadable
  }
  readonly 'batch.inclusion': {
    readonly part_unreadable: NoValues
    readonly ok: { readonly index: number; readonly size: number }
    readonly place_mismatch:
      | { readonly what: 'stream' }
      | { readonly what: 'seq'; readonly seq: number; readonly index: number; readonly first: number }
    readonly path_invalid: NoValues
  }
  readonly 'source.key': {
    readonly part_unreadable: NoValues
    readonly ok: { readonly source: string }
    readonly key_mismatch: NoValues
    readonly not_pinned: { readonly source: string }
    readonly pin_mismatch: { readonly source: string }
    readonly pin_expired: NoValues
    readonly pin_time_open: NoValues
  }
  readonly 'source.registration': {
    readonly part_unreadable: NoValues
    readonly ok: KeyFindings
    readonly not_pinned: NoValues
    readonly registration_absent: NoValues
    readonly registration_invalid: RegistrationFault
    readonly registration_late: { readonly kid: string; readonly source: string; readonly entry: number }
    readonly registration_gap: KeyFindings
    readonly registration_expired: KeyFindings
  }
  readonly 'log.inclusion': {
    readonly part_unreadable: NoValues
    readonly ok: { readonly index: number; readonly size: number; readonly origin: string }
    readonly malformed: Unreadable
    readonly place_mismatch: NoValues
    readonly path_invalid: NoValues
  }
  readonly 'log.signature': {
    /** `unread`: pinned keys of types that are not read. */
    readonly ok: { readonly name: string; readonly unread: readonly string[] }
    readonly not_pinned: { readonly unread: readonly string[] }
    readonly signature_invalid: { readonly name: string }
    /** `signed`: a pinned key signed it, but its name is not the log's. */
    readonly pin_mismatch: { readonly origin: string; readonly signed: boolean }
    readonly malformed: Unreadable
  }
  readonly anchor: { readonly not_anchored: NoValues }
  readonly 'anchor.path': {
    readonly part_unreadable: NoValues
    /** `same`: the anchored root is the checkpoint's own. */
    readonly ok: { readonly index: number; readonly size: number; readonly same: boolean }
    readonly path_invalid: { readonly same: boolean }
  }
  readonly 'anchor.contract': {
    readonly not_asked: NoValues
    readonly node_unreadable: NodeSilence
    readonly code_foreign: { readonly contract: string }
    readonly not_held: NoValues
    readonly ok: { readonly contract: string; readonly chainId: number; readonly node: string }
  }
  readonly 'anchor.block': {
    readonly not_asked: NoValues
    readonly node_unreadable: NodeSilence
    readonly ok: { readonly block: number }
    readonly block_pruned: NoValues
    readonly block_mismatch: { readonly block: number }
  }
  readonly 'anchor.final': {
    readonly not_asked: NoValues
    readonly node_unreadable: NodeSilence
    /** `confirmations`: null if the chain has finality of its own. */
    readonly ok: { readonly confirmations: number | null; readonly needed: number }
    readonly not_final: { readonly confirmations: number | null; readonly needed: number }
  }
  readonly 'anchor.log': {
    readonly not_asked: NoValues
    readonly node_unreadable: NodeSilence
    readonly code_foreign: { readonly contract: string }
    readonly not_held: NoValues
    readonly ok: NoValues
    readonly not_pinned: NoValues
    readonly other_pinned: NoValues
    readonly pin_mismatch: NoValues
    readonly succession_invalid:
      | { readonly what: 'other_logs' | 'not_extended' }
      | { readonly what: 'unreadable'; readonly refusal: Unreadable }
    readonly succeeded: {
      readonly steps: number
      /** On which side of the last honest anchor of the pinned log the entry lies, and that anchor. */
      readonly lies: 'before' | 'after'
      readonly size: number
      readonly time: string
    }
  }
  readonly 'anchor.before': {
    readonly not_asked: NoValues
    readonly node_unreadable: NodeSilence
    readonly code_foreign: { readonly contract: string }
    readonly not_held: NoValues
    readonly ok: { readonly size: number }
    readonly order_mismatch: NoValues
    readonly block_mismatch: { readonly block: number }
  }
}

/** What a check asks: its id, without an anchor's number. */
export type CheckName = keyof CheckValues
