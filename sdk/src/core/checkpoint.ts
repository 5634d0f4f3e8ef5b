/** C2SP checkpoints (c2sp.org/tlog-checkpoint): what a log signs about itself. */
import { fromBase64, toBase64 } from './bytes.ts'
import { KillickError } from './errors.ts'
import { type Hash, isHash } from './hash.ts'
import { type Size, toUint64 } from './merkle.ts'
import { parseNote } from './note.ts'

/** A C2SP checkpoint (c2sp.org/tlog-checkpoint), read: `origin` is the log's name, `root` that of its first `size` entries. */
export type Checkpoint = {
  readonly origin: string
  /** A safe integer where it fits, else a bigint; below 2^64. */
  readonly size: Size
  readonly root: Hash
  /** Extension lines, opaque. Killick writes none. */
  readonly extensions: readonly string[]
}

/** The text of a checkpoint, as it is signed (c2sp.org/tlog-checkpoint), without extension lines. */
export function printCheckpoint(checkpoint: Pick<Checkpoint, 'origin' | 'size' | 'root'>): string {
  return `${checkpoint.origin}\n${checkpoint.size}\n${toBase64(checkpoint.root)}\n`
}

/**
 * Reads a checkpoint's text, or a whole signed note of which only the text is read. It checks no signature:
 * give it what `openNote` returned.
 * @throws KillickError `checkpoint_malformed`, `note_malformed`, `note_too_many_signatures`
 */
export function parseCheckpoint(noteOrText: string): Checkpoint {
  if (typeof noteOrText !== 'string') throw new KillickError('checkpoint_malformed')
  // The text itself has no blank line, so one can only come before signatures.
  const text = noteOrText.includes('\n\n') ? parseNote(noteOrText).text : noteOrText
  const [origin, digits, base64, ...rest] = text.split('\n')
  const root = base64 === undefined ? null : fromBase64(base64)
  const extensions = rest.slice(0, -1)
  if (!origin || digits === undefined || !/^(0|[1-9]\d{0,19})$/.test(digits) || root === null || !isHash(root)) {
    throw new KillickError('checkpoint_malformed')
  }
  const size = toUint64(BigInt(digits))
  if (size === null || rest.at(-1) !== '' || extensions.includes('')) throw new KillickError('checkpoint_malformed')
  return { origin, size: size <= Number.MAX_SAFE_INTEGER ? Number(size) : size, root, extensions }
}
