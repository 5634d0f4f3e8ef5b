import { readFileSync } from 'node:fs'
import { type PublicJwk, parseJson, parsePublicJwk } from '@killick/sdk/core'

/** How the service audits itself. */
export type AuditSettings = {
  /** KILLICK_AUDIT_INTERVAL_MS: from the end of one audit to the beginning of the next; 0: none. Default 3,600,000. */
  intervalMs: number
  /** KILLICK_AUDIT_PACE: most events to check per second; 0: no limit. Default 5,000. */
  pace: number
  /** KILLICK_AUDIT_WEBHOOK: URL that gets a POST when an audit fails, and when one passes again. Default: none. */
  webhook: string | null
  /**
   * KILLICK_AUDIT_SYSTEM_KEYS: files, separated by spaces, with the JWKs (the public part will do) of keys that signed for
   * the source `killick` before KILLICK_SYSTEM_KEY was changed. Default: none.
   */
  earlierKeys: PublicJwk[]
}

type Parsers = {
  integer: (name: string, fallback: number, min: number, max: number) => number
  url: (name: string, ...schemes: string[]) => string | null
}

/** What setTimeout takes. ms */
const MAX_DELAY_MS = 2 ** 31 - 1

/** @param fault - Takes a setting that is wrong, and why. */
export function loadAudit(
  env: Readonly<Record<string, string | undefined>>,
  { integer, url }: Parsers,
  fault: (name: string, why: string) => void,
): AuditSettings {
  const files = (env.KILLICK_AUDIT_SYSTEM_KEYS ?? '').split(/\s+/).filter((path) => path !== '')
  const earlierKeys = files.flatMap((path) => {
    try {
      const { d: _, ...jwk } = parseJson(readFileSync(path, 'utf8')) as Record<string, never>
      return [parsePublicJwk(jwk)]
    } catch {
      fault('KILLICK_AUDIT_SYSTEM_KEYS', `names ${path}, which does not hold a key as a JWK`)
      return []
    }
  })
  return {
    intervalMs: integer('KILLICK_AUDIT_INTERVAL_MS', 3_600_000, 0, MAX_DELAY_MS),
    pace: integer('KILLICK_AUDIT_PACE', 5_000, 0, 1e9),
    webhook: url('KILLICK_AUDIT_WEBHOOK', 'http:', 'https:'),
    earlierKeys,
  }
}
