import { openLogLines } from '@killick/sdk/core'
import type { FastifyServerOptions } from 'fastify'
import { Refusal } from '../errors.ts'

/** Log lines are JSON on standard output; they hold no event content, token or key. */
export function loggerOptions(level: string): NonNullable<FastifyServerOptions['logger']> {
  return level === 'silent' ? false : { level, serializers: { err: printError }, stream: openLogLines() }
}

/** Of a database error, only the members that cannot hold a row's content. What a refusal keeps from its peer, such as a full disk, is told here. */
function printError(error: Error & { code?: unknown }) {
  const { name, message, stack, code } = error
  const cause = error instanceof Refusal ? error.details.cause : undefined
  return { type: name, message, stack: stack ?? '', code, ...(cause !== undefined && { cause }) }
}
