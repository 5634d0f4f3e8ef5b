import { TILE_WIDTH } from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import { readEntries } from '../ledger/tree/tiles.ts'
import { type KeptBody, keepBody } from './kept-body.ts'

/** Most bytes of bundles to keep; the least recently used go first. */
const MAX_BYTES = 32 * 1024 * 1024

/** Bundles of entries (C2SP tlog-tiles), compressed once: entries never change, and are a third of their size with gzip. */
export function keepBundles(db: Db) {
  const kept = new Map<string, { body: Promise<KeptBody>; bytes: number }>()
  let bytes = 0

  function forget(name: string): void {
    bytes -= kept.get(name)?.bytes ?? 0
    kept.delete(name)
  }

  async function make(name: string, index: number, width: number): Promise<KeptBody> {
    const body = await keepBody(await bundleOf(db, index, width), ['gzip'])
    const own = kept.get(name)
    if (own?.bytes === 0) {
      own.bytes = body.identity.length + (body.gzip?.length ?? 0)
      bytes += own.bytes
      while (bytes > MAX_BYTES) forget(kept.keys().next().value!)
    }
    return body
  }

  return {
    read({ index, width }: { index: number; width: number }): Promise<KeptBody> {
      const name = `${index}.${width}`
      const known = kept.get(name)
      const entry = known ?? { body: make(name, index, width), bytes: 0 }
      kept.delete(name)
      kept.set(name, entry)
      if (known === undefined) entry.body.catch(() => forget(name))
      return entry.body
    },
  }
}

/** Each entry behind its length, a big-endian uint16. */
async function bundleOf(db: Db, index: number, width: number): Promise<Buffer> {
  const entries = await readEntries(db, index * TILE_WIDTH, width)
  return Buffer.concat(
    entries.flatMap((entry) => {
      const length = Buffer.alloc(2)
      length.writeUInt16BE(entry.length)
      return [length, Buffer.from(entry, 'latin1')]
    }),
  )
}
