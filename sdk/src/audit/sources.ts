// What the service lists of sources and their keys. It is held against the log; nothing is taken from it.
import { KillickError } from '../core/errors.ts'
import { parseSourceRow, readPages, type SourceRow } from './answers.ts'
import type { Api } from './api.ts'
import { isNonsense } from './faulty.ts'

export type Listed = {
  readonly rows: ReadonlyMap<string, SourceRow>
  readonly faults: readonly string[]
  /** It could not be read, or not to its end: what is not in it may be listed all the same. */
  readonly isCut: boolean
}

/** @throws KillickError where the service cannot be reached or refuses; that it answers with nonsense is in the result */
export async function listSources(api: Api): Promise<Listed> {
  const rows = new Map<string, SourceRow>()
  const faults: string[] = []
  let isCut = false
  const parse = (row: Parameters<typeof parseSourceRow>[0]): SourceRow | null => {
    try {
      return parseSourceRow(row)
    } catch (error) {
      if (!(error instanceof KillickError)) throw error
      faults.push(error.message)
      isCut = true
      return null
    }
  }
  try {
    for await (const page of readPages(api, '/v1/sources', 'sources', () => 500, parse)) {
      for (const row of page.rows) {
        if (row === null) continue
        if (rows.has(row.source)) faults.push(`/v1/sources lists ${row.source} twice`)
        rows.set(row.source, row)
      }
    }
  } catch (error) {
    if (!isNonsense(error)) throw error
    faults.push(`/v1/sources cannot be read: ${error.message}`)
    isCut = true
  }
  return { rows, faults, isCut }
}
