import { TILE_WIDTH } from '@killick/sdk/core'

/** A tile of hashes at a level, or a bundle of entries. `width` is 256 for a full one. */
export type TileAddress = { level: number | 'entries'; index: number; width: number }

const PATH = /^(entries|0|[1-9]\d?)\/((?:x\d{3}\/){0,5}\d{3})(?:\.p\/([1-9]\d{0,2}))?$/

/** `<L>/<N>[.p/<W>]` of C2SP tlog-tiles, as it follows `/tile/`; null unless canonical. */
export function parseTilePath(path: string): TileAddress | null {
  const match = PATH.exec(path)
  if (match === null) return null
  const level = match[1] === 'entries' ? 'entries' : Number(match[1])
  const index = Number(match[2]!.replaceAll(/[x/]/g, ''))
  const width = match[3] === undefined ? TILE_WIDTH : Number(match[3])
  const isPartial = match[3] !== undefined
  if (level !== 'entries' && level > 63) return null
  if (!Number.isSafeInteger(index) || (isPartial && width >= TILE_WIDTH)) return null
  return printIndex(index) === match[2] ? { level, index, width } : null
}

/** 1234067 → x001/x234/067. */
export function printIndex(index: number): string {
  const groups: string[] = []
  let rest = index
  do {
    groups.unshift(String(rest % 1000).padStart(3, '0'))
    rest = Math.floor(rest / 1000)
  } while (rest > 0)
  return groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join('/')
}
