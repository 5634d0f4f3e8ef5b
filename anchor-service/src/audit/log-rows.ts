/**
 * Nobody signs how the log is cut into commits and when each was made. Checkpoints, tiles and the times at which batches were
 * accepted follow from each other, and from what is signed around them.
 */

import type { Fault, OwnCheck, WalkedEntry } from '@killick/sdk/audit'
import { SYSTEM, TILE_WIDTH } from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import { type Columns, cursor, fault, type KeyedRow, micros, TOLERANCE, type Walk } from './walk.ts'

const BATCHES = `select log_index::float8 as key, json_build_object('at', ${micros('accepted_at')}) as columns
  from batches where log_index > $1 order by log_index limit $2`

const CHECKPOINTS = `select size::float8 as key, json_build_object('root', encode(root, 'hex'), 'at', ${micros('signed_at')}) as columns
  from checkpoints where size > $1 order by size limit $2`

const TILES = `select tile::float8 * ${TILE_WIDTH} + start as key, json_build_object('n', length(hashes) / 32) as columns
  from tiles where level = $3 and (tile, start) > (floor($1::float8 / ${TILE_WIDTH})::bigint, ($1::float8 - ${TILE_WIDTH} * floor($1::float8 / ${TILE_WIDTH}))::smallint)
  order by tile, start limit $2`

/** Each level's last row, and the log's size, as of one moment. */
const ENDS = `
  with recursive levels as (
    (select level from tiles order by level limit 1)
    union all
    select (select level from tiles where level > l.level order by level limit 1) from levels l where l.level is not null)
  select coalesce((select log_index + 1 from batches order by log_index desc limit 1), 0)::float8 as size,
    coalesce((select size from checkpoints order by size desc limit 1), 0)::float8 as signed,
    (select coalesce(json_agg(json_build_object('level', l.level, 'end', (
       select tile::float8 * ${TILE_WIDTH} + start + length(hashes) / 32 from tiles where level = l.level order by tile desc, start desc limit 1))), '[]')
     from levels l where l.level is not null) as levels`

export function checkLogRows(db: Db, walk: Walk): OwnCheck {
  const batches = cursor(db, BATCHES)
  const checkpoints = cursor(db, CHECKPOINTS)
  const tiles: ReturnType<typeof cursor>[] = []
  let ahead: KeyedRow[] = []
  /** Size of the log before the commit that the walk is in. */
  let before = 0
  let commits = 0

  /** When this entry and the next were accepted, if they exist. */
  async function acceptedAt(logIndex: number): Promise<{ own: number | null; next: number | null }> {
    ahead = [...ahead, ...(await batches.upTo(logIndex + 1))].filter(({ key }) => key >= logIndex)
    const timeOf = (key: number) => {
      const at = ahead.find((row) => row.key === key)?.columns.at
      return typeof at === 'number' ? at : null
    }
    return { own: timeOf(logIndex), next: timeOf(logIndex + 1) }
  }

  function checkTime({ logIndex, header }: WalkedEntry, at: number | null): Fault[] {
    walk.acceptedAt = at
    if (at === null) return [fault(logIndex, 'unreadable', 'batches.accepted_at: it is no time')]
    const isSystem = header.source === SYSTEM.source && header.stream === SYSTEM.stream
    const faults: Fault[] = []
    if (at < walk.latest - TOLERANCE)
      faults.push(fault(logIndex, 'misplaced', 'batches.accepted_at: it is earlier than that of an entry before it'))
    if (isSystem && Math.abs(at - 1000 * header.time) > TOLERANCE)
      faults.push(fault(logIndex, 'different', 'batches.accepted_at: it is not near the time that the ledger signed'))
    walk.latest = Math.max(walk.latest, at)
    return faults
  }

  function checkCheckpoint({ logIndex, root }: WalkedEntry, columns: Columns): Fault[] {
    const faults: Fault[] = []
    if (columns.root !== Buffer.from(root()).toString('hex'))
      faults.push(fault(logIndex, 'root_mismatch', `checkpoints.root: it is not that of ${logIndex + 1} entries`))
    if (columns.at !== walk.acceptedAt)
      faults.push(
        fault(logIndex, 'different', 'batches.accepted_at, checkpoints.signed_at: those of one commit differ'),
      )
    return faults
  }

  /** The rows that a commit has added: one for each tile that it has touched. */
  async function checkTiles(from: number, to: number): Promise<Fault[]> {
    const faults: Fault[] = []
    for (let level = 0; ; level++) {
      const width = TILE_WIDTH ** level
      const [start, end] = [Math.floor(from / width), Math.floor(to / width)]
      if (end === 0) return faults
      const rowsOf = tiles[level] ?? cursor(db, TILES, [level])
      tiles[level] = rowsOf
      for (let at = start; at < end; ) {
        const n = Math.min(end - at, TILE_WIDTH - (at % TILE_WIDTH))
        const rows = await rowsOf.upTo(at)
        const isRight = rows.length === 1 && rows[0]!.key === at && rows[0]!.columns.n === n
        if (!isRight)
          faults.push(
            fault(
              at * width,
              rows.length === 0 ? 'absent' : 'different',
              `tiles: not one row with ${n} hashes from ${at} on, at level ${level}`,
            ),
          )
        at += n
      }
    }
  }

  return {
    id: 'rows',
    title: 'Checkpoints, tiles and times are those of the commits that made the log',
    async entry(entry) {
      const { logIndex } = entry
      const size = logIndex + 1
      const { own, next } = await acceptedAt(logIndex)
      const faults = checkTime(entry, own)
      const found = await checkpoints.upTo(size)
      const checkpoint = found.find(({ key }) => key === size)
      for (const { key } of found)
        if (key !== size) faults.push(fault(logIndex, 'untold', `checkpoints.size: there is one of ${key}`))
      if (checkpoint) faults.push(...checkCheckpoint(entry, checkpoint.columns))
      else if (own !== next)
        faults.push(
          fault(logIndex, 'absent', `batches.accepted_at, checkpoints: there is none of ${size}, where a commit ended`),
        )
      if (checkpoint || own !== next) {
        faults.push(...(await checkTiles(before, size)))
        before = size
        commits += 1
      }
      return faults
    },
    async finish() {
      type Ends = { size: number; signed: number; levels: { level: number; end: number }[] }
      const { size, signed, levels } = (await db.query<Ends>(ENDS)).rows[0]!
      const faults: Fault[] = []
      if (size !== signed)
        faults.push(
          fault(
            Math.min(size, signed),
            'different',
            `batches.log_index, checkpoints.size: one ends at ${size}, the other at ${signed}`,
          ),
        )
      for (const { level, end } of levels)
        if (level < 0 || end === 0 || end !== Math.floor(size / TILE_WIDTH ** level))
          faults.push(fault(null, 'different', `tiles: level ${level} does not end where the log does`))
      return { faults, detail: `${commits.toLocaleString('en')} commits` }
    },
  }
}
