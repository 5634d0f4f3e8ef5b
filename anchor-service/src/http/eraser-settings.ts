import { readFileSync } from 'node:fs'
import { isPersonName } from '@killick/sdk/core'
import type { NamedToken } from './auth.ts'

type Env = Readonly<Record<string, string | undefined>>

/**
 * The people of KILLICK_ERASERS, each with a token for erasures. At least two, and no token may be another's, nor open anything else:
 * then one person alone erases nothing.
 */
export function loadErasers(env: Env, fault: (name: string, why: string) => void): NamedToken[] {
  const file = env.KILLICK_ERASERS?.trim()
  if (!file) return []
  const bad = (why: string): NamedToken[] => {
    fault('KILLICK_ERASERS', why)
    return []
  }
  let given: unknown
  try {
    given = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    return bad(`must be a file with a JSON object (${(error as NodeJS.ErrnoException).code ?? 'it is not JSON'})`)
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    return bad('must be a file with a JSON object')
  const people = Object.entries(given)
  const isWhole = ([name, token]: [string, unknown]) =>
    isPersonName(name) && typeof token === 'string' && /^\S{16,}$/.test(token)
  if (people.length < 2 || !people.every(isWhole))
    return bad(
      'must name two people or more, each 1 to 64 of a-z, 0-9, dots, dashes and underscores, with a token of at least 16 characters and no white space',
    )
  const tokens = [
    env.KILLICK_ADMIN_TOKEN?.trim(),
    env.KILLICK_READER_TOKEN?.trim(),
    ...people.map(([, token]) => token),
  ]
  const set = tokens.filter((token) => token)
  if (new Set(set).size < set.length) return bad('holds a token twice, or one that opens something else')
  if (env.KILLICK_ERASER_TOKEN?.trim()) fault('KILLICK_ERASER_TOKEN', 'cannot be set with KILLICK_ERASERS')
  return people.map(([name, token]) => ({ name, token: token as string }))
}
