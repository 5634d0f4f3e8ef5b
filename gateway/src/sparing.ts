/** Lines of one kind that are said in each span of time; the others are only counted. */
const MAX_SAID = 20
const SAID_MS = 10_000

/**
 * Under load the same fault comes a thousand times a second. Lines are of one kind that begin with the same three words; how many of a kind
 * were left out is said when its time is over, and no other kind goes short for them.
 */
export function sparing(tell: (text: string) => void): (text: string) => void {
  const counts = new Map<string, number>()
  const over = (kind: string): void => {
    const left = counts.get(kind)! - MAX_SAID
    counts.delete(kind)
    if (left > 0) tell(`${left} more lines that begin with "${kind}" were left out`)
  }
  return (text) => {
    const kind = text.split(' ', 3).join(' ')
    const said = counts.get(kind) ?? 0
    if (said === 0) setTimeout(over, SAID_MS, kind).unref()
    counts.set(kind, said + 1)
    if (said < MAX_SAID) tell(text)
  }
}
