import { KillickError } from '../core/errors.ts'

/** The service refuses, or is at fault itself (500): that is found out about it. While its database is away it says 503. */
export const isFaulty = (error: unknown): error is KillickError =>
  error instanceof KillickError && (error.code !== 'unreachable' || error.details.status === 500)

/** It answers with what cannot be read: no refusal, and no failure of its own. */
export const isUnreadable = (error: unknown): error is KillickError =>
  error instanceof KillickError && error.details.status === undefined && error.code !== 'unreachable'

/** It answers with what cannot be read, or is at fault itself (500): no refusal, such as of a token. */
export const isNonsense = (error: unknown): error is KillickError =>
  isUnreadable(error) || (error instanceof KillickError && error.details.status === 500)
