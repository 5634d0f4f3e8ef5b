// The same words for trust as on the page: pinned by you · on somebody's word · not checked.
import { basename } from 'node:path'
import type { Pinner } from './pins.ts'
import { joined, lines, own, padded, paint, type Text, text, widthOf } from './terminal.ts'

/**
 * `pinned`: by whom. `nobody`: it was not checked. `fails`: it is not what was pinned. Else the name of whoever vouches for it.
 */
export type Backing = { what: string; by: { pinned: Pinner } | 'nobody' | 'fails' | { name: string } }

export const isPinned = ({ by }: Backing): boolean => typeof by === 'object' && 'pinned' in by

/** A line for each thing on which a result rests. Only pinned things are green, and only if somebody compared them. */
export function trustLines(items: readonly Backing[]): Text {
  const width = Math.max(...items.map(({ what }) => widthOf(what)))
  return lines([
    own('Whose word it rests on:'),
    ...items.map(({ what, by }) => joined([own(' '), padded(what, width), wordsFor(by)], '  ')),
  ])
}

function wordsFor(by: Backing['by']): Text {
  if (by === 'nobody') return paint('dim', 'not checked')
  if (by === 'fails') return paint('red', 'not the pinned one')
  if ('name' in by) return paint('yellow', text`on ${by.name}’s word`)
  if (by.pinned === 'you') return paint('green', 'pinned by you')
  const { file, firstUse } = by.pinned
  if (firstUse === null) return paint('green', text`pinned in ${basename(file)}`)
  return paint('yellow', text`pinned in ${basename(file)} on first use, as ${firstUse.from} had it at ${firstUse.at}`)
}

/** Whose pins a result rests on of which everything is pinned. */
export function pinnersOf(items: readonly Backing[]): string {
  const pinners = items.flatMap(({ by }) => (typeof by === 'object' && 'pinned' in by ? [by.pinned] : []))
  const kept = pinners.filter((pinner) => pinner !== 'you')
  if (kept[0] === undefined) return 'pinned by you'
  const isFirst = kept.some(({ firstUse }) => firstUse !== null)
  return `by the pins in ${basename(kept[0].file)}${isFirst ? ', taken on first use' : ''}`
}
