/**
 * The lines of `log.txt`: what a bundle carries of the log, from its first entry to its last, and hashes for all that it does not
 * carry. Read from top to bottom they make the log's root.
 */
import { MAX_EVENT_BYTES } from '../core/event.ts'
import { type Hash, parseHash, printHash } from '../core/hash.ts'

/**
 * One line. `tree`: 2^`level` entries of the log that are not carried. `entry`: an entry, which is a batch header. `node`: 2^`level`
 * events of that batch that are not carried. `event`: one that is. A header without lines of its own carries no events.
 */
export type LogLine =
  | { readonly kind: 'tree'; readonly level: number; readonly hash: Hash }
  | { readonly kind: 'node'; readonly level: number; readonly hash: Hash }
  | { readonly kind: 'entry'; readonly text: string }
  | { readonly kind: 'event'; readonly text: string }

/** Longest line, in bytes, without its line feed. */
export const MAX_LINE_BYTES = MAX_EVENT_BYTES + 2

const LETTERS = { tree: 'T', node: 'N', entry: 'H', event: 'E' } as const
const KINDS = { T: 'tree', N: 'node', H: 'entry', E: 'event' } as const

export function printLine(line: LogLine): string {
  const letter = LETTERS[line.kind]
  return 'text' in line ? `${letter} ${line.text}\n` : `${letter} ${line.level} ${printHash(line.hash)}\n`
}

/** Null: it is no such line. The texts of entries and events are not looked into. */
export function parseLine(line: string): LogLine | null {
  const kind = line[1] === ' ' ? KINDS[line[0] as keyof typeof KINDS] : undefined
  if (kind === undefined) return null
  if (kind === 'entry' || kind === 'event') return { kind, text: line.slice(2) }
  const [, digits, text] = /^. (0|[1-9]\d?) ([\w-]{43})$/.exec(line) ?? []
  const [level, hash] = [Number(digits), parseHash(text)]
  return digits === undefined || level > 52 || hash === null ? null : { kind, level, hash }
}
