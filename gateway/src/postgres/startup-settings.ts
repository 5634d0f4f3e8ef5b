// What a client's first packet sets, and whether the policy lets it.
import { decide, decideSession, type PolicyDenial, type PostgresPolicy, type StatementEffect } from './effects/index.ts'

type Parameters = Readonly<Record<string, string>>

/** Letters of the server's command line that stand alone; others have a value, in the same word or in the next one. */
const ALONE = new Set('bEeFijlnOPsT')

/**
 * What the first packet sets, by names in lower case, since the server does not tell them apart: by the setting's own name, or in `options` as
 * the server reads them: `-c name=value`, `--name=value`.
 */
export function settingsOf({ options = '', ...parameters }: Parameters): [string, string][] {
  const found: [string, string][] = []
  const words = (options.match(/(?:\\.|[^ \t\n\v\f\r\\])+/gs) ?? []).map((word) => word.replace(/\\(.)/gs, '$1'))
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!
    let at = word.startsWith('-') ? 1 : word.length
    while (ALONE.has(word[at] ?? '')) at += 1
    const letter = word[at]
    if (letter === undefined) continue
    const value = word.slice(at + 1) || (words[++i] ?? '')
    const equals = value.indexOf('=')
    if ((letter === 'c' || letter === '-') && equals > 0)
      found.push([value.slice(0, equals).replaceAll('-', '_'), value.slice(equals + 1)])
  }
  // What is set twice is as the last one says, and the server takes those with a name of their own behind the options.
  return [...found, ...Object.entries(parameters)].map(([name, value]) => [name.toLowerCase(), value])
}

const IDENTITY = new Set(['role', 'session_authorization'])

/** Whether a session may begin, as who its first packet makes of its user. */
export function decideStartup(
  policy: PostgresPolicy,
  who: { readonly user: string; readonly database: string },
  parameters: Parameters,
): PolicyDenial | null {
  const denial = decideSession(policy, who)
  if (denial !== null) return denial
  const set = settingsOf(parameters).map(([name, value]) => ({ name, value }))
  const effects = set
    .filter(({ name }) => IDENTITY.has(name))
    .map((each): StatementEffect => {
      return { kind: 'identity', reads: [], writes: [], isFullyKnown: true, unknownWhy: [], set: each }
    })
  if (effects.length === 0) return null
  const reason = set.findLast(({ name }) => name === 'killick.reason')?.value ?? null
  return decide(policy, effects, { ...who, actor: who.user, reason, now: new Date() })
}
