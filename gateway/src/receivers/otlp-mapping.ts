// Log records of OTLP that have no `audit.*` attributes, and the mapping that makes events of them.
import type { IncomingHttpHeaders } from 'node:http'
import { KillickError } from '@killick/sdk'
import { checkEventInput, type JsonObject } from '@killick/sdk/core'
import { GatewayRefusal } from '../errors.ts'
import type { Received } from '../received.ts'
import { type MappingConfig, mapInput } from './mapping.ts'

/** What makes events of log records. */
export type RecordMapping = {
  readonly mapping: MappingConfig
  /** Names of event fields beyond those of the protocol. */
  readonly declared: ReadonlySet<string>
}

/** Log records of which no event was made: how many, how many for each code, and a sentence that says so. */
export type Unmapped = {
  readonly count: number
  readonly counts: ReadonlyMap<string, number>
  readonly sentence: string
}

/** A mapping at work on one request. */
export type RecordMapper = {
  /** @returns the events of a record; none where the mapping does not cover it. @throws GatewayRefusal `collect_body_too_large` */
  map(record: JsonObject, at: string): Received[]
  /** What was not covered so far; null: nothing. */
  unmapped(): Unmapped | null
}

/** @param most records of one request */
export function makeRecordMapper(
  { mapping, declared }: RecordMapping,
  headers: IncomingHttpHeaders,
  most: number,
): RecordMapper {
  const counts = new Map<string, number>()
  let tried = 0
  let count = 0
  let first = ''
  return {
    map(record, at) {
      // Errors take time to make, so their number has a bound as well.
      if (++tried > most)
        throw new GatewayRefusal('collect_body_too_large', `At most ${most} log records are mapped in one body.`, {
          maxEvents: most,
        })
      try {
        const received = mapInput(mapping, record, headers, at)
        for (const { fields } of received) checkEventInput(fields, declared)
        return received
      } catch (error) {
        if (!(error instanceof GatewayRefusal || error instanceof KillickError)) throw error
        if (count++ === 0) first = `${at}: ${error.message}`
        counts.set(error.code, (counts.get(error.code) ?? 0) + 1)
        return []
      }
    },
    unmapped() {
      if (count === 0) return null
      const codes = [...counts].map(([code, each]) => `${each} ${code}`).join(', ')
      const [were, them] = count === 1 ? ['record was', 'it'] : ['records were', 'them']
      const why = `since the mapping makes no event of ${them} (${codes})`
      return { count, counts, sentence: `${count} log ${were} not recorded, ${why}. The first, ${first}` }
    },
  }
}
