import type { OwnCheck } from '@killick/sdk/audit'
import type pg from 'pg'
import { checkAnchorRows } from './anchor-rows.ts'
import { checkColumns } from './columns.ts'
import { checkIdentity } from './identity.ts'
import { checkLogRows } from './log-rows.ts'
import { checkSchema } from './schema.ts'
import { checkTold } from './told.ts'
import type { Walk } from './walk.ts'

/**
 * What the service checks of its own database beyond what anybody can over HTTP.
 * @param vkey verifier key of the log, which begins with the log's origin
 */
export function ownChecks(db: pg.Pool, vkey: string, hasRole: boolean): OwnCheck[] {
  const origin = vkey.slice(0, vkey.indexOf('+'))
  const walk: Walk = { acceptedAt: null, latest: Number.NEGATIVE_INFINITY }
  return [
    checkColumns(db),
    // First of those that go by when an entry was accepted: it says so.
    checkLogRows(db, walk),
    checkTold(db, walk),
    checkAnchorRows(db, origin, walk),
    checkIdentity(db, { origin, vkey }),
    checkSchema(db, hasRole),
  ]
}
