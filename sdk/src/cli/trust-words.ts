// The same words for trust as on the page: pinned by you · on somebody's word · not checked.
import { joined, lines, own, padded, paint, type Text, text, widthOf } from './terminal.ts'

/**
 * `you`: it was pinned. `nobody`: it was not checked. `fails`: it is not what was pinned. Else the name of whoever vouches for
 * it.
 */
export type Backing = { what: string; by: 'you' | 'nobody' | 'fails' | { name: string } }

/** A line for each thing on which a result rests. Only pinned things are green. */
export function trustLines(items: readonly Backing[]): Text {
  const width = Math.max(...items.map(({ what }) => widthOf(what)))
  return lines([
    own('Whose word it rests on:'),
    ...items.map(({ what, by }) => joined([own(' '), padded(what, width), wordsFor(by)], '  ')),
  ])
}

function wordsFor(by: Backing['by']): Text {
  if (by === 'you') return paint('green', 'pinned by you')
  if (by === 'nobody') return paint('dim', 'not checked')
  if (by === 'fails') return paint('red', 'not the pinned one')
  return paint('yellow', text`on ${by.name}’s word`)
}
