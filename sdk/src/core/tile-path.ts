import { TILE_WIDTH } from './tree.ts'

/** A tile of hashes at a level, or a bundle of entries. `width` is 256 for a full one. */
export type TileAddress = { level: number | 'entries'; index: number; width: number }

const PATH = /^(entries|0|[1-9]\d?)\/((?:x\d{3}\/){0,5}\d{3})(?:\.p\/([1-9]\d{0,2}))?$/

/**
 * Reads `<L>/<N>[.p/<W>]` of C2SP tlog-tiles, as it follows `/tile/`. @returns null unless it is spelled as `printTilePath`
 * spells it
 */
export function parseTilePath(path: string): TileAddress | null {
  const match = PATH.exec(path)
  if (match === null) return null
  const level = match[1] === 'entries' ? 'entries' : Number(match[1])
  const index = Number(match[2]!.replaceAll(/[x/]/g, ''))
  const width = match[3] === undefined ? TILE_WIDTH : Number(match[3])
  if (level !== 'entries' && level > 63) return null
  if (!Number.isSafeInteger(index)) return null
  const address: TileAddress = { level, index, width }
  return printTilePath(address) === path ? address : null
}

/** `<L>/<N>[.p/<W>]` of C2SP tlog-tiles: index 1234067 is x001/x234/067, and a full tile has no `.p`. */
export function printTilePath({ level, index, width }: TileAddress): string {
  const groups: string[] = []
  let rest = index
  do {
    groups.unshift(String(rest % 1000).padStart(3, '0'))
    rest = Math.floor(rest / 1000)
  } while (rest > 0)
  const parts = groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group))
  return `${level}/${parts.join('/')}${width < TILE_WIDTH ? `.p/${width}` : ''}`
}
