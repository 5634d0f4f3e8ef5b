import { createHash } from 'node:crypto'
import type pg from 'pg'

const names = new Map<string, string>()

/**
 * A statement that each connection parses once. From its sixth use on PostgreSQL keeps one plan for all values where it takes that to be as good
 * as one for the values at hand; to make those plans takes longer than what readers ask most often. Not for statements that are best
 * read in one way for some values and in another for others.
 * @param text one of a few, for a connection keeps each
 */
export function prepared(text: string, values: unknown[]): pg.QueryConfig {
  let name = names.get(text)
  if (name === undefined) {
    name = createHash('sha256').update(text).digest('base64url')
    names.set(text, name)
  }
  return { name, text, values }
}

/**
 * SQL for a value that no plan is made for: PostgreSQL knows nothing of it before it runs, so a plan for all values looks as good to it as any.
 * @param expression with its type, such as `$1::bigint[]`, of whose length plans would be made
 */
export const hidden = (expression: string): string => `(select ${expression} offset 0)`
