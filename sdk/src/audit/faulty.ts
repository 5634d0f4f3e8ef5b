import { KillickError } from '../core/errors.ts'

/** The service refuses, or is at fault itself (500): that is found out about it. While its database is away it says 503. */
export const isFaulty = (error: unknown): error is KillickError =>
  error instanceof KillickError && (error.code !== 'unreachable' || error.details.status === 500)
