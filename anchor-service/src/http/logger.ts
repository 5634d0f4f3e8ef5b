import { openLogLines } from '@killick/sdk/core'
import type { FastifyServerOptions } from 'fastify'

/** Log lines are JSON on standard output; they hold no event content, token or key. */
export function loggerOptions(level: string): NonNullable<FastifyServerOptions['logger']> {
  return level === 'silent' ? false : { level, serializers: { err: printError }, stream: openLogLines() }
}

/** Of a database error, only the members that cannot hold a row's content. */
function printError({ name, message, stack, code }: Error & { code?: unknown }) {
  return { type: name, message, stack: stack ?? '', code }
}
