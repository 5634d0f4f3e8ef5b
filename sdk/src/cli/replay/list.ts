// A session of any length in bounded memory: a search gives the newest event first, a session is played from its oldest.
import type { Api } from '../../audit/api.ts'
import { KillickError } from '../../core/errors.ts'
import { isTooLarge, readPage, type SessionRow } from './rows.ts'

/** Which session, and of which recorder. */
export type Wanted = {
  readonly session: string
  readonly source?: string | undefined
  readonly stream?: string | undefined
}

/** A page that was read. `kept`: its rows, newest first; null: they are to be read again. */
type Page = { readonly path: string; readonly rows: number; kept: readonly SessionRow[] | null }

/** Pages, the newest first. */
export type Pages = readonly Page[]

const PAGE = 100
/** Events' bytes that are kept from the first reading; pages beyond that are read twice. */
const KEPT_BYTES = 16 << 20

/**
 * Reads the pages of a session, newest first, each row once.
 * @param take is given each row
 */
export async function listSession(api: Api, wanted: Wanted, take: (row: SessionRow) => void): Promise<Pages> {
  const { session, source, stream } = wanted
  const query = new URLSearchParams({ target: session, ...(source && { source }), ...(stream && { stream }) })
  const pages: Page[] = []
  let [keptFrom, kept, limit, cursor] = [0, 0, PAGE, '']
  for (;;) {
    // The newest event alone comes first: from its place on, later events change nothing any more.
    const path = `/v1/events?${query}&limit=${cursor === '' ? 1 : limit}${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`
    const page = await readPage(api, path, session).catch((error) => {
      if (!isTooLarge(error) || limit === 1) throw error
      limit = Math.ceil(limit / 4)
      return null
    })
    if (page === null) continue
    const { rows, next } = page
    rows.forEach(take)
    pages.push({ path, rows: rows.length, kept: rows })
    // What is played first, the oldest, is kept.
    kept += sizeOf(rows)
    while (kept > KEPT_BYTES && keptFrom < pages.length - 1) {
      if (keptFrom > 0) {
        kept -= sizeOf(pages[keptFrom]!.kept!)
        pages[keptFrom]!.kept = null
      }
      keptFrom += 1
    }
    if (next === null) return pages
    if (next === cursor) throw new KillickError('answer_malformed', 'The service’s search does not come to an end')
    cursor = next
  }
}

const sizeOf = (rows: readonly SessionRow[]): number =>
  rows.reduce((sum, { event }) => sum + (event?.token.length ?? 0), 0)

/** The rows of pages that were listed, oldest first. @throws KillickError `answer_malformed` if the service shows other rows now */
export async function* oldestFirst(api: Api, pages: Pages, session: string): AsyncGenerator<SessionRow> {
  for (const page of pages.toReversed()) {
    const rows = page.kept ?? (await readPage(api, page.path, session)).rows
    if (rows.length !== page.rows)
      throw new KillickError(
        'answer_malformed',
        'The service found other events of this session when it was asked again',
      )
    page.kept = null
    yield* rows.toReversed()
  }
}
