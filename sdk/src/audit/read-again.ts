/**
 * Reads entries again which an earlier audit has read. An audit that goes on at a place of the log knows nothing of those before it; a drop behind
 * the place names them all the same, and their headers say whether it may. That they are still the log's follows from its tiles.
 */
import { type BatchHeader, droppedLeaves } from '../core/batch.ts'
import { equalBytes } from '../core/bytes.ts'
import type { Hash } from '../core/hash.ts'
import { nodePrimitives } from '../node/primitives.ts'
import type { Api } from './api.ts'
import { Findings } from './findings.ts'
import type { Prefix } from './prefix.ts'
import { KnownKeys, linesOf, readAll } from './readings.ts'
import { readStretches } from './stretches.ts'

/** What is served of a batch now. `leaves`: of its events, if nothing else is shown of them. */
export type ReadAgain = {
  readonly logIndex: number
  readonly header: BatchHeader
  readonly state: 'dropped' | 'shown' | 'unreadable'
  readonly leaves: readonly Hash[]
}

const PAGE = 256
/** Entries between two stretches are read too if there are no more than this: that is cheaper than one request more. */
const GAP = 16

/** Entries of some stretches, in their order; it ends early where they are not served. */
export async function* readAgain(
  api: Api,
  prefix: Prefix,
  stretches: readonly (readonly [first: number, last: number])[],
): AsyncGenerator<ReadAgain> {
  let next = 0
  const isWanted = (at: number) => {
    while (next < stretches.length && stretches[next]![1] < at) next += 1
    return next < stretches.length && stretches[next]![0] <= at
  }
  for (const [from, last] of joined(stretches)) {
    const pages = readStretches({
      ...{ api, from, size: last + 1, page: PAGE },
      // What is wrong there shows in what is missing.
      ...{ findings: new Findings(), beforePage: async () => {} },
    })
    for await (const { first, headers, ends, bytes } of pages) {
      const readings = readAll({ ends, bytes, keys: [] }, new KnownKeys())
      for (const [i, header] of headers.entries()) {
        const logIndex = first + i
        if (!isWanted(logIndex)) continue
        const { tokens } = linesOf(bytes.subarray(ends[i - 1] ?? 0, ends[i]))
        const isIts = await prefix.hasEntry(logIndex, header.leafHash)
        const leaves = readings[i]!.isDropped ? droppedLeaves(header, tokens, nodePrimitives) : null
        const state = !isIts || readings[i]!.fault ? 'unreadable' : leaves === null ? 'shown' : 'dropped'
        yield { logIndex, header, state, leaves: leaves ?? [] }
      }
    }
  }
}

/** Whether nothing but leaf hashes is shown now of a batch that was shown before. */
export async function isDroppedNow(api: Api, logIndex: number, header: BatchHeader): Promise<boolean> {
  const how = { api, from: logIndex, size: logIndex + 1, page: 1, findings: new Findings(), beforePage: async () => {} }
  for await (const { headers, ends, bytes } of readStretches(how)) {
    const [reading] = readAll({ ends, bytes, keys: [] }, new KnownKeys())
    return equalBytes(headers[0]!.leafHash, header.leafHash) && reading!.isDropped
  }
  return false
}

function joined(stretches: readonly (readonly [first: number, last: number])[]): [number, number][] {
  const all: [number, number][] = []
  for (const [first, last] of stretches) {
    const before = all.at(-1)
    if (before !== undefined && first - before[1] <= GAP) before[1] = last
    else all.push([first, last])
  }
  return all
}
