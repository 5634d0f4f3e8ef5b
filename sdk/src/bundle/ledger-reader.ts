/** What a maker of bundles needs of a ledger. */
import type { ErasedEvent } from '../core/erasure.ts'
import type { Hash } from '../core/hash.ts'
import type { RetentionDrop } from '../core/retention.ts'
import type { BundleAnchor } from './manifest.ts'

/** Where an event stands. */
export type FoundPlace = {
  readonly logIndex: number
  readonly source: string
  readonly stream: string
  readonly seq: number
}

/** An erasure: the log index of the event that orders it, and how many events it names. */
export type FoundErasure = { readonly id: string; readonly logIndex: number; readonly events: number }

/** A drop: the log index of the event that says so, and the log entries of the batches that have lost their events. */
export type FoundDrop = { readonly logIndex: number; readonly entries: RetentionDrop['entries'] }

/** A ledger as its readers see it. */
export type LedgerReader = {
  /** Where it is, for the manifest. */
  readonly url: string
  /** The newest checkpoint, a signed note. */
  checkpoint(): Promise<string>
  /** Anchors that count, in any order. */
  anchors(): Promise<readonly BundleAnchor[]>
  /** Entries of the log from `first` to before `end`: batch headers. */
  entries(first: number, end: number): AsyncIterable<string>
  /** So many batches of the log, in wire form: of one that was dropped with leaf hashes for events. */
  batches(first: number, count: number): AsyncIterable<{ readonly header: string; readonly tokens: readonly string[] }>
  /** The hash of 2^`level` entries, from entry `index` · 2^`level` on, in a log of `size`. */
  node(level: number, index: number, size: number): Promise<Hash>
  /** Events that meet the conditions of a search, in any order. */
  search(conditions: Readonly<Record<string, string>>): AsyncIterable<FoundPlace>
  /** All erasures that the log orders, in any order; with `after` only those behind that entry. */
  erasures(after?: number): Promise<readonly FoundErasure[]>
  /** What erasures take of these events, in any order: the log index of the erasure, and the event's place in its list. */
  erased(
    leafHashes: readonly Hash[],
  ): Promise<readonly (ErasedEvent & { readonly logIndex: number; readonly pos: number })[]>
  /** The list of an erasure, from its first event on. */
  erasedList(id: string): AsyncIterable<ErasedEvent>
  /** Drops that the log tells of at entry `from` or later, by rising log index. Asked only where a batch was dropped. */
  drops(from: number): AsyncIterable<FoundDrop>
}
