/** C2SP checkpoints (c2sp.org/tlog-checkpoint): what a log signs about itself. */
import { fromBase64, toBase64 } from './bytes.ts'
import { KillickError } from './errors.ts'
import { type Hash, isHash } from './hash.ts'
import { type Size, toUint64 } from './merkle.ts'
import { parseNote } from './note.ts'

/**
 * A parsed C2SP checkpoint (c2sp.org/tlog-checkpoint): `origin` is the log's name, `root` the root of its first `size` entries.
 */
export type Checkpoint = {
  readonly origin: string
  /** A number if it is a safe integer, else a bigint; below 2^64. */
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
 * Reads a checkpoint from its text, or from the text of a whole signed note. It checks no signature: give it the text that
 * `openNote` returned.
 * @throws KillickError `checkpoint_malformed`, `note_malformed`, `note_too_many_signatures`
 */
export function parseCheckpoint(noteOrText: string): Checkpoint {
  if (typeof noteOrText !== 'string') throw new KillickError('checkpoint_malformed')
  // The text of a checkpoint has no blank line, so a blank line can only stand before signatures.
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
