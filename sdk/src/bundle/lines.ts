/**
 * The lines of `log.txt`: what a bundle carries of the log, from its first entry to its last, and hashes for all that it does not
 * carry. Read from top to bottom they make the log's root.
 */
import { MAX_EVENT_BYTES } from '../core/event.ts'
import { type Hash, isHashText, parseHash, printHash } from '../core/hash.ts'

/**
 * One line. `tree`: 2^`level` entries of the log that are not carried. `entry`: an entry, which is a batch header. `node`: 2^`level`
 * events of that batch that are not carried. `event`: one that is. A header without lines of its own carries no events. `erased`: what
 * the erasure that the log orders at its entry `order` takes of the event before it, by digests. `list`: 2^`level` events of that
 * erasure's list that are not carried.
 */
export type LogLine =
  | { readonly kind: 'tree'; readonly level: number; readonly hash: Hash }
  | { readonly kind: 'node'; readonly level: number; readonly hash: Hash }
  | { readonly kind: 'entry'; readonly text: string }
  | { readonly kind: 'event'; readonly text: string }
  | { readonly kind: 'erased'; readonly order: number; readonly digests: readonly string[] }
  | { readonly kind: 'list'; readonly order: number; readonly level: number; readonly hash: Hash }

/** Longest line, in bytes, without its line feed. */
export const MAX_LINE_BYTES = MAX_EVENT_BYTES + 2

const LETTERS = { tree: 'T', node: 'N', entry: 'H', event: 'E', erased: 'X', list: 'L' } as const
const KINDS = { T: 'tree', N: 'node', H: 'entry', E: 'event', X: 'erased', L: 'list' } as const

export function printLine(line: LogLine): string {
  const letter = LETTERS[line.kind]
  if ('text' in line) return `${letter} ${line.text}\n`
  if ('digests' in line) return `${letter} ${line.order} ${line.digests.join()}\n`
  const order = 'order' in line ? `${line.order} ` : ''
  return `${letter} ${order}${line.level} ${printHash(line.hash)}\n`
}

/** All that can be right in `log.txt` is ASCII; whatever else there is makes its line wrong. */
const latin1 = new TextDecoder('latin1')

/** The lines of a stretch of `log.txt`, without their line feeds, by portable code. */
export const linesOf = (stretch: Uint8Array): string[] => splitLines(latin1.decode(stretch))

/** The lines of whole lines, without their line feeds. */
export const splitLines = (text: string): string[] => text.slice(0, -1).split('\n')

/** Null: it is no such line. The texts of entries and events are not looked into. */
export function parseLine(line: string): LogLine | null {
  const kind = line[1] === ' ' ? KINDS[line[0] as keyof typeof KINDS] : undefined
  if (kind === undefined) return null
  const text = line.slice(2)
  if (kind === 'entry' || kind === 'event') return { kind, text }
  if (kind === 'tree' || kind === 'node') {
    const subtree = subtreeOf(text)
    return subtree && { kind, ...subtree }
  }
  const [, digits = '', rest = ''] = /^(0|[1-9]\d{0,15}) (.+)$/.exec(text) ?? []
  const order = Number(digits)
  if (rest === '' || !Number.isSafeInteger(order)) return null
  if (kind === 'list') {
    const subtree = subtreeOf(rest)
    return subtree && { kind, order, ...subtree }
  }
  const digests = rest.split(',')
  return digests.every(isHashText) ? { kind, order, digests } : null
}

function subtreeOf(text: string): { level: number; hash: Hash } | null {
  const [, digits, printed] = /^(0|[1-9]\d?) ([\w-]{43})$/.exec(text) ?? []
  const [level, hash] = [Number(digits), parseHash(printed)]
  return digits === undefined || level > 52 || hash === null ? null : { level, hash }
}
