// Checks what the service keeps beside the log and tells of in its system stream: links, and evidence against sources.
import type { ParsedEvent } from '../core/event.ts'
import { isObject, type JsonObject, type JsonValue } from '../core/json.ts'
import { SYSTEM } from '../core/registry.ts'
import { parseTime } from '../core/time.ts'
import { parseEquivocationRow, parseShareRow, readRows, type ToldRow } from './answers.ts'
import type { Api } from './api.ts'
import { isFaulty } from './faulty.ts'
import type { Fault, FaultPlace } from './findings.ts'
import type { OwnCheck, WalkedBatch } from './own-check.ts'
import { RowCursor } from './rows.ts'

const PAGE = 500

/** How far unsigned times may differ from signed ones, ms. */
export const TOLERANCE_MS = 3_600_000

/** The first event of a batch of the system stream; null if it is of another stream, or cannot be read, which another check reports. */
export function systemEvent({ header, event }: WalkedBatch): ParsedEvent | null {
  return header.source === SYSTEM.source && header.stream === SYSTEM.stream ? event(0) : null
}

/** One list of the service: what its rows say, and what they should say. */
type List = {
  path: string
  member: string
  /** The kind of event that tells of a row. */
  action: string
  title: string
  parse(row: JsonObject): ToldRow
  /** Names of members that differ from the event. */
  differences(row: JsonObject, event: ParsedEvent): string[]
}

const LISTS: readonly List[] = [
  {
    ...{ path: '/v1/shares', member: 'shares', action: 'share.create', title: 'link', parse: parseShareRow },
    differences: (row, { fields, time }) => {
      const { fields: shown, expires, leafHash } = metadataOf(fields)
      const told = { id: targetOf(fields, 'share'), fields: shown, expires, leafHash }
      return [...unequal(row, told), ...(isNear(row.createdAt, time) ? [] : ['createdAt'])]
    },
  },
  {
    ...{ path: '/v1/equivocations', member: 'equivocations', action: 'source.equivocate' },
    ...{ title: 'contradiction of a source', parse: parseEquivocationRow },
    differences: (row, { fields, time }) => {
      const { stream, batch, accepted, refused } = metadataOf(fields)
      const told = { source: targetOf(fields, 'source'), stream, logIndex: batch }
      const headers = { accepted: headerOf(row.accepted), refused: headerOf(row.refused) }
      return [
        ...unequal(row, told),
        ...unequal(headers, { accepted, refused }),
        ...(isNear(row.recordedAt, time) ? [] : ['recordedAt']),
      ]
    },
  },
]

/** Compares the lists with the events, in both directions. */
export function checkRecords(api: Api): OwnCheck {
  const lists = LISTS.map((list) => ({
    ...list,
    isOver: false,
    rows: new RowCursor<ToldRow>((after) => {
      const path = `${list.path}?limit=${PAGE}&after=${after}`
      return readRows(api, path, list.member, after, list.parse, indexOf)
    }, indexOf),
  }))
  /** The withdrawn links among those read, by log index of the event that tells of the withdrawal. */
  const withdrawn = new Map<number, JsonValue | undefined>()
  let count = 0
  let last = -1

  /** Links that are withdrawn by the log and not by the list, or the other way round. */
  function checkWithdrawal(event: ParsedEvent, at: number): Fault[] {
    const isRevoked = event.fields.action === 'share.revoke'
    const isSame = withdrawn.get(at) === (isRevoked ? targetOf(event.fields, 'share') : undefined)
    withdrawn.delete(at)
    if (isSame) return []
    const what = isRevoked ? 'is not withdrawn, though the log says so' : 'is withdrawn, and the log does not say so'
    const place = { logIndex: at, ...SYSTEM, seq: event.seq, id: event.id }
    return [{ place, reason: isRevoked ? 'absent' : 'untold', message: `A link ${what}` }]
  }

  /** Takes the rows up to a place of the log. @param event of the ledger that stands there, if one does @param isTold whether what stands there can be read */
  async function take(at: number, event: ParsedEvent | null, isTold: boolean, where: Omit<FaultPlace, 'logIndex'>) {
    last = at
    const faults: Fault[] = []
    for (const list of lists) {
      if (list.isOver) continue
      const told = event?.fields.action === list.action ? event : null
      const place = { logIndex: at, ...where }
      try {
        const rows = await list.rows.upTo(at)
        for (const { logIndex, revocation, members } of rows) {
          const isHere = logIndex === at && told !== null
          if (revocation !== null) withdrawn.set(revocation, members.id)
          const wrong = isHere ? list.differences(members, told) : []
          const named = { ...place, logIndex }
          if (!isHere && isTold)
            faults.push({
              place: named,
              reason: 'untold',
              message: `${list.path}: a ${list.title} of which the log does not tell`,
            })
          for (const name of wrong)
            faults.push({
              place: named,
              reason: 'different',
              message: `${list.path} ${name}: it is not what the log says of the ${list.title}`,
            })
        }
        if (told !== null && rows.at(-1)?.logIndex !== at)
          faults.push({
            ...{ place, reason: 'absent' },
            message: `${list.path}: a ${list.title} of which the log tells is not there`,
          })
        else if (told !== null) count += 1
      } catch (error) {
        if (!isFaulty(error)) throw error
        list.isOver = true
        faults.push({ place: null, reason: 'unreadable', message: `${list.path} cannot be read: ${error.message}` })
      }
    }
    if (event !== null && !lists[0]!.isOver) faults.push(...checkWithdrawal(event, at))
    return faults
  }

  return {
    id: 'records',
    title: 'Links and contradictions are those that the log tells of',
    resumes: {
      again: true,
      // What stands between the ledger's own entries tells of nothing.
      begin: ({ size }) => take(size - 1, null, true, {}),
    },
    async entry(walked) {
      const event = systemEvent(walked)
      const { source, stream, seq } = walked.header
      const isTold = event !== null || walked.isWhole || walked.dropped !== null
      return take(walked.logIndex, event, isTold, { source, stream, seq })
    },
    async finish() {
      const faults: Fault[] = [...withdrawn.keys()]
        .filter((at) => at <= last)
        .map((at) => ({
          place: { logIndex: at },
          reason: 'untold',
          message: 'A link is withdrawn, and the log does not say so',
        }))
      return { faults, detail: `${count.toLocaleString('en')} told of` }
    },
  }
}

const metadataOf = (fields: JsonObject): JsonObject => (isObject(fields.metadata) ? fields.metadata : {})
const headerOf = (signed: JsonValue | undefined) => (isObject(signed) ? (signed.header ?? null) : null)

function targetOf({ targets }: JsonObject, type: string): JsonValue | undefined {
  const found = Array.isArray(targets) ? targets.find((target) => isObject(target) && target.type === type) : undefined
  return isObject(found) ? found.id : undefined
}

const indexOf = ({ logIndex }: ToldRow) => logIndex

function unequal(row: JsonObject, told: { [name: string]: JsonValue | undefined }): string[] {
  return Object.keys(told).filter((name) => JSON.stringify(row[name]) !== JSON.stringify(told[name]))
}

const isNear = (text: JsonValue | undefined, time: number) =>
  Math.abs((parseTime(text) ?? Number.NaN) - time) <= TOLERANCE_MS
