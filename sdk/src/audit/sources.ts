// The service's list of sources and their keys. It is compared with the log; nothing is believed because it is listed.
import { KillickError } from '../core/errors.ts'
import { parseSourceRow, readPages, type SourceRow } from './answers.ts'
import type { Api } from './api.ts'
import { isNonsense } from './faulty.ts'

export type Listed = {
  readonly rows: ReadonlyMap<string, SourceRow>
  readonly faults: readonly string[]
  /** Whether it could not be read to its end. Then something that is missing here may still be listed. */
  readonly isCut: boolean
}

/** @throws KillickError if the service cannot be reached or refuses; if it answers with nonsense, the result says so */
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
