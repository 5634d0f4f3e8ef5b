import { scan } from './parser.ts'

/** Texts beyond that many characters are not looked through for a reason. */
const MAX_TEXT = 1 << 20

/**
 * The reason that a statement gives in a comment: `DELETE FROM users WHERE id = 7 /* reason: asked to, ticket 1234 *\/`. The first such
 * comment counts. PostgreSQL's own scanner tells comments from texts that look like one.
 */
export function reasonIn(sql: string): string | null {
  if (sql.length > MAX_TEXT || !/\/\*\s*reason\s*:/i.test(sql)) return null
  for (const { text, tokenName } of scan(sql) ?? []) {
    const reason = tokenName === 'C_COMMENT' ? /^\/\*\s*reason\s*:\s*(.*?)\s*\*\/$/is.exec(text)?.[1] : undefined
    if (reason) return reason
  }
  return null
}
