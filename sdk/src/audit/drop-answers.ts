/** Reads what a service says of drops, strictly: docs/PROTOCOL.md §17. */
import { KillickError } from '../core/errors.ts'
import { isCount } from '../core/event.ts'
import { isObject } from '../core/json.ts'
import { parseEntries, type RetentionDrop } from '../core/retention.ts'
import { MAX_ROWS, malformed, rowsOf } from './answers.ts'
import type { Api } from './api.ts'

/** A row of `GET /v1/retention/drops`: the entry that tells of it, and the log entries of its batches. */
export type DropRow = { readonly logIndex: number; readonly entries: RetentionDrop['entries'] }

const PATH = '/v1/retention/drops'
const MAX_BYTES = 1 << 24

/**
 * Drops from a log entry on, by rising log index; none where the service knows of no drops.
 * @param most how many there can be @throws KillickError answer_malformed, also for more, and as `Api`
 */
export async function* readDrops(api: Api, first = 0, most = MAX_ROWS): AsyncGenerator<DropRow> {
  let count = 0
  for (let from: number | null = first, least = first; from !== null; ) {
    const path: string = `${PATH}?from=${from}`
    const answer = await api.json(path, MAX_BYTES).catch((error) => {
      if (error instanceof KillickError && error.details.status === 404) return null
      throw error
    })
    if (answer === null) return
    for (const { logIndex, entries: text } of rowsOf(answer, path, 'drops')) {
      const entries = parseEntries(text)
      if (!isCount(logIndex) || logIndex < least || entries === null)
        return malformed(`${path}: a drop has no log entries, or comes before another`)
      count += 1
      if (count > most) return malformed(`${path} does not come to an end`)
      least = logIndex + 1
      yield { logIndex, entries }
    }
    const next: unknown = isObject(answer) ? answer.next : undefined
    if (next !== null && !(typeof next === 'number' && isCount(next) && next > from && next >= least))
      return malformed(`${path} does not come to an end`)
    from = next
  }
}
