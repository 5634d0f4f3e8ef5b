// The files that one which is followed was renamed to, and the order in which they were written.
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/** What tells a file from others, and when it came to be and was last written, ns since 1970. `born` is 0 where no file system says it. */
export type FileFacts = { readonly inode: string; readonly born: bigint; readonly written: bigint }

/** A file whose name begins as the followed one's does. */
export type Sibling = FileFacts & { readonly path: string; readonly kind: 'same' | 'rotated' | 'packed' | 'other' }

/** What rotation puts behind a name: a number, a date, or that it is old. What else begins so may be anybody's. */
const ROTATED = /^[-._]*(\d[-._:T\dZ+]*|old)$/
const PACKED = /\.(gz|bz2|xz|zst|lz4|zip|Z)$/

/** The facts of what `stat` says with big integers. */
export const factsOf = (it: { dev: bigint; ino: bigint; birthtimeNs: bigint; mtimeNs: bigint }): FileFacts => ({
  inode: `${it.dev}-${it.ino}`,
  born: it.birthtimeNs,
  written: it.mtimeNs,
})

/** Whether it is the same file, not one that got the inode of another. Born 0: not known. */
export const isSameFile = (a: FileFacts, b: FileFacts): boolean =>
  a.inode === b.inode && (a.born === 0n || b.born === 0n || a.born === b.born)

/** The files that stand there, and the one at the path. What is gone meanwhile, or is no file, is left out. */
export async function siblingsOf(path: string): Promise<Sibling[]> {
  const own = basename(path)
  const names = (await readdir(dirname(path))).filter((name) => name.startsWith(own))
  const found = await Promise.all(
    names.map(async (name): Promise<Sibling[]> => {
      const at = join(dirname(path), name)
      const facts = await stat(at, { bigint: true }).catch(() => null)
      // A pipe, for one, would keep whoever opens it waiting.
      return facts?.isFile() ? [{ ...factsOf(facts), path: at, kind: kindOf(name.slice(own.length)) }] : []
    }),
  )
  return found.flat()
}

function kindOf(suffix: string): Sibling['kind'] {
  if (suffix === '') return 'same'
  if (ROTATED.test(suffix)) return 'rotated'
  return PACKED.test(suffix) && ROTATED.test(suffix.replace(PACKED, '')) ? 'packed' : 'other'
}

/**
 * Of the files that were renamed, the one that was written after a file: rotation begins each when the one before is renamed, so it is
 * the first that was born since. Null: the file at the path follows.
 * @param isGone the file is not there any more, which happens too when a folder was copied: then all others are born later than it was,
 * and those that were written before it was are none that follow
 * @returns it, and the compressed ones between, which cannot be read
 */
export function nextAfter(
  known: FileFacts,
  siblings: readonly Sibling[],
  isGone: boolean,
): { next: Sibling | null; packed: readonly Sibling[] } {
  const isLater = (it: Sibling) => order(it, known) > 0 && (!isGone || it.written > known.written)
  const rotated = siblings.filter(({ kind }) => kind === 'rotated')
  const [next = null] = rotated.filter(isLater).sort(order)
  // Compressing makes a new file, which keeps the time of the last write.
  const packed = siblings.filter(
    ({ kind, written }) => kind === 'packed' && written > known.written && (next === null || written <= next.written),
  )
  return { next, packed }
}

function order(a: FileFacts, b: FileFacts): number {
  const [one, other] =
    a.born === 0n || b.born === 0n
      ? [
          { ...a, born: 0n },
          { ...b, born: 0n },
        ]
      : [a, b]
  if (one.born !== other.born) return one.born < other.born ? -1 : 1
  if (one.written !== other.written) return one.written < other.written ? -1 : 1
  return one.inode < other.inode ? -1 : Number(one.inode > other.inode)
}
