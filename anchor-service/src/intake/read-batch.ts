import {
  type BatchHeader,
  EventReader,
  equalBytes,
  type LineSignature,
  type ParsedEvent,
  readEvents as readLines,
  type TakeEvents,
} from '@killick/sdk/core'
import { EventSketch, sketchEvent } from '../ledger/packs/event-keys.ts'
import { treeOver } from '../ledger/tree/batch-tree.ts'

export type { LineSignature }

/** Takes the events, in order. */
export type Take = TakeEvents<EventSketch>

const isComplete = ({ fields }: ParsedEvent) =>
  ['action', 'actor', 'targets'].every((name) => fields[name] !== undefined)

/** One for the thread: its buffers hold the longest event. */
const how = {
  reader: new EventReader(new EventSketch()),
  noteOf: (event: ParsedEvent) => sketchEvent(event),
  isTaken: isComplete,
}

/**
 * Reads the events of a batch: structure, chain, digests, fields and root, as core's readBatch does, several times as fast.
 * The caller checks the signatures.
 * @param text the whole body
 * @returns what its events have together, with the nodes of the tree over them as `treeOver` keeps them; null if something is wrong:
 * core's reader then says what
 */
export function readEvents(text: Buffer, header: BatchHeader, take: Take) {
  const read = readLines(text, header, how, take)
  if (read === null) return null
  const { root, nodes } = treeOver(read.leaves)
  return equalBytes(root, header.root) ? { ...read, nodes } : null
}
