import { TILE_WIDTH } from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { readEntries } from '../ledger/tree/tiles.ts'
import { Lru } from '../lru.ts'
import { type KeptBody, keepBody } from './kept-body.ts'

/** Most bytes of bundles to keep; the least recently used go first. */
const MAX_BYTES = 32 * 1024 * 1024

/**
 * Bundles of entries (C2SP tlog-tiles), compressed once: entries never change, and are a third of their size with gzip. But a database
 * may be restored under the service, and its log go on with others.
 */
export function keepBundles({ db, turns }: Pick<Ledger, 'db' | 'turns'>) {
  const kept = new Lru<Promise<KeptBody>>(MAX_BYTES)

  async function make(name: string, index: number, width: number): Promise<KeptBody> {
    const made = keepBody(await bundleOf(db, index, width), ['gzip'])
    const { identity, gzip } = await made
    if (kept.has(name)) kept.set(name, made, identity.length + (gzip?.length ?? 0))
    return made
  }

  return {
    read({ index, width }: { index: number; width: number }): Promise<KeptBody> {
      const name = `${turns()}.${index}.${width}`
      const known = kept.get(name)
      if (known !== undefined) return known
      const body = make(name, index, width)
      // Its size is known once it is made; until then all requests for it wait for the same result.
      kept.set(name, body, 0)
      body.catch(() => kept.delete(name))
      return body
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
