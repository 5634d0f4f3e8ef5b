import { KillickError } from '../core/errors.ts'

/** Whether the service refuses or is at fault itself (500), which is a finding. While its database is away it answers 503. */
export const isFaulty = (error: unknown): error is KillickError =>
  error instanceof KillickError && (error.code !== 'unreachable' || error.details.status === 500)

/** Whether the answer cannot be read; a refusal or a failure of the service is something else. */
export const isUnreadable = (error: unknown): error is KillickError =>
  error instanceof KillickError && error.details.status === undefined && error.code !== 'unreachable'

/**
 * Whether the answer cannot be read or the service is at fault itself (500); a refusal, such as of a token, is something else.
 */
export const isNonsense = (error: unknown): error is KillickError =>
  isUnreadable(error) || (error instanceof KillickError && error.details.status === 500)
