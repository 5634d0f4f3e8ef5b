/**
 * Checks holds: those that the service tells of are those that the log places, and as long as the log lets them stand. So nobody can
 * excuse with a hold of his own making what has not expired.
 */

import { KillickError } from '../core/errors.ts'
import { isCount, type ParsedEvent } from '../core/event.ts'
import { type HoldScope, isHoldScope } from '../core/holds.ts'
import { isObject, type JsonObject } from '../core/json.ts'
import { SYSTEM } from '../core/registry.ts'
import { malformed, rowsOf, within } from './answers.ts'
import type { Api } from './api.ts'
import { isFaulty } from './faulty.ts'
import type { Fault } from './findings.ts'
import type { OwnCheck } from './own-check.ts'
import { systemEvent } from './records.ts'

/** A hold. `lifted`: the log entry that lifts it; null: it stands. */
export type Hold = {
  readonly id: string
  readonly logIndex: number
  readonly covers: HoldScope
  readonly lifted: number | null
}

export type HoldCheck = OwnCheck & {
  /** The holds that the service tells of, but for those that came after `listedAt`; none where it tells of nothing that can be read. */
  claimed(): Promise<readonly Hold[]>
  /** What the log lets stand at one of its entries that the audit has come to. */
  standing(at: number): HoldScope[]
}

const PATH = '/v1/holds'
const MAX_BYTES = 1 << 24

/** @param listedAt how many entries the log had as the audit began: what came later excuses nothing, for nobody holds it against the log */
export function checkHolds(api: Api, listedAt: number): HoldCheck {
  const told = new Map<string, Hold>()
  let claims: Promise<{ holds: readonly Hold[]; fault: string | null }> | null = null
  let size = 0

  const read = () => {
    claims ??= readHolds(api)
    return claims
  }

  /** Takes what an event says of holds. @returns why it cannot be so */
  function take(event: ParsedEvent, logIndex: number): string | null {
    const { action, metadata } = event.fields
    if (action !== 'hold.place' && action !== 'hold.lift') return null
    const id = targetOf(event)
    if (id === null) return 'its target is not one hold'
    const known = told.get(id)
    if (action === 'hold.lift') {
      if (known === undefined || known.lifted !== null) return 'it lifts a hold that does not stand'
      told.set(id, { ...known, lifted: logIndex })
      return null
    }
    const covers = isObject(metadata) ? metadata.covers : undefined
    if (!isHoldScope(covers)) return 'what it covers cannot be read'
    if (known !== undefined) return 'it places a hold of a name that another has'
    told.set(id, { id, logIndex, covers, lifted: null })
    return null
  }

  return {
    id: 'holds',
    title: 'Holds are those that the log places, and stand until it lifts them',
    resumes: {
      again: true,
      async begin(before) {
        size = before.size
        return []
      },
    },
    standing: (at) =>
      [...told.values()]
        .filter(({ logIndex, lifted }) => logIndex < at && (lifted === null || lifted >= at))
        .map(({ covers }) => covers),
    claimed: async () => (await read()).holds.filter(({ logIndex }) => logIndex < listedAt),
    async entry(walked) {
      const { logIndex } = walked
      size = logIndex + 1
      const event = systemEvent(walked)
      const wrong = event && take(event, logIndex)
      if (wrong === null) return []
      return [
        {
          place: { logIndex, ...SYSTEM, seq: event!.seq },
          reason: 'misplaced',
          message: `Hold, log entry ${logIndex}: ${wrong}`,
        },
      ]
    },
    async finish() {
      const { holds, fault } = await read()
      const faults: Fault[] = []
      if (fault !== null) faults.push({ place: null, reason: 'unreadable', message: fault })
      // Of one of which a later event tells, the next audit tells.
      const claimed = Map.groupBy(
        holds.filter(({ logIndex }) => logIndex < size),
        ({ id }) => id,
      )
      for (const id of fault === null ? new Set([...told.keys(), ...claimed.keys()]) : []) {
        const said = told.get(id)
        const [found, ...more] = claimed.get(id) ?? []
        const isSame = said && found && textOf(said) === textOf({ ...found, lifted: within(found.lifted, size) })
        if (isSame && more.length === 0) continue
        const [reason, what] =
          found === undefined
            ? (['absent', 'the hold is not listed, though the log places it'] as const)
            : said === undefined
              ? (['untold', 'the log places no such hold'] as const)
              : (['different', 'it is not what the log says of the hold'] as const)
        const place = said ? { logIndex: said.logIndex, ...SYSTEM } : null
        faults.push({ place, reason, message: `${PATH}, ${id}: ${what}` })
      }
      const standing = [...told.values()].filter(({ lifted }) => lifted === null).length
      return { faults, detail: `${told.size.toLocaleString('en')}, of which ${standing.toLocaleString('en')} stand` }
    },
  }
}

const textOf = ({ id, logIndex, covers, lifted }: Hold) =>
  JSON.stringify([id, logIndex, Object.entries(covers).sort(), lifted])

/** The id of the one hold that an event is about. */
function targetOf({ fields: { targets } }: ParsedEvent): string | null {
  const target = Array.isArray(targets) && targets.length === 1 ? targets[0] : undefined
  return isObject(target) && target.type === 'hold' && typeof target.id === 'string' ? target.id : null
}

async function readHolds(api: Api): Promise<{ holds: readonly Hold[]; fault: string | null }> {
  try {
    return { holds: rowsOf(await api.json(PATH, MAX_BYTES), PATH, 'holds').map(parseRow), fault: null }
  } catch (error) {
    if (error instanceof KillickError && error.details.status === 404) return { holds: [], fault: null }
    if (!isFaulty(error)) throw error
    return { holds: [], fault: `${PATH} cannot be read: ${error.message}` }
  }
}

function parseRow({ id, logIndex, covers, lifted }: JsonObject): Hold {
  if (typeof id !== 'string' || !isHoldScope(covers)) return malformed(`${PATH}: a hold has no name, or no scope`)
  if (!isCount(logIndex) || (lifted !== null && !isCount(lifted))) return malformed(`${PATH}: a hold has no numbers`)
  return { id, logIndex, covers, lifted }
}
