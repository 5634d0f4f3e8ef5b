import {
  type LogDescription,
  MAX_LOG_BYTES,
  parseLog,
  parseSourceRow,
  readPages,
  type SourceRow,
} from '../audit/answers.ts'
import { openApi } from '../audit/api.ts'
import { KillickError } from '../core/errors.ts'
import { isSourceName } from '../core/event.ts'
import { type PublicJwk, thumbprint } from '../core/jwk.ts'
import { parseTime } from '../core/time.ts'
import { askJson } from '../http/ask-json.ts'
import { type Access, accessOf, isTokenRefusal, openAccess, withToken } from './access.ts'
import { type Command, EXIT, readArgs, required, UsageError } from './command.ts'
import { readPublicKey } from './keys.ts'
import { readLogKey } from './pins.ts'
import { REGISTER } from './table/recording.ts'
import { err, json, out } from './terminal.ts'

export const register: Command = {
  run: async (args) => {
    const given = readArgs(REGISTER, args)
    const { values } = given
    const source = required(REGISTER, given, 'source')
    if (!isSourceName(source))
      throw new UsageError(`--source ${source}: 1 to 64 of a-z, 0-9, dots, underscores, hyphens`)
    const jwk = await readPublicKey(required(REGISTER, given, 'key'))
    const period = { ...limit('not-before', values['not-before']), ...limit('not-after', values['not-after']) }
    const promise = heartbeatOf(values.heartbeat)
    const access = accessOf(REGISTER, given, 'KILLICK_ADMIN_TOKEN')
    const pinned = values['log-key'] === undefined ? null : readLogKey(values['log-key'])
    // The token is for the operator of one log; it goes to nobody who does not even claim to keep that.
    await readLog(access.url, pinned)
    const key = { jwk, ...period }
    const entry = await registerKey(withToken(access), source, key, promise)
    const kid = thumbprint(jwk)
    out(values.json ? json({ source, kid, registered: entry !== null, logIndex: entry }) : kid)
    err(
      entry === null
        ? `The key was registered before for ${source}; nothing was changed.`
        : `The key is registered for ${source}, by entry ${entry} of the log.${promise.heartbeat ? ` It promises an event every ${promise.heartbeat} s: set heartbeat where it records.` : ''}`,
    )
    return EXIT.ok
  },
}

/** @returns the member of the request, if the option is given */
function limit(name: 'not-before' | 'not-after', text: string | undefined): { notBefore?: string; notAfter?: string } {
  if (text === undefined) return {}
  if (parseTime(text) === null) throw new UsageError(`--${name} is not a time such as 2027-01-31T12:00:00Z: ${text}`)
  return name === 'not-before' ? { notBefore: text } : { notAfter: text }
}

/** What a source promises: seconds, null to promise nothing any more; without the member it stays as it is. */
type SourcePromise = { readonly heartbeat?: number | null }

function heartbeatOf(text: string | undefined): SourcePromise {
  if (text === undefined) return {}
  if (text === 'none') return { heartbeat: null }
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new UsageError(`--heartbeat is neither whole seconds nor none: ${text}`)
  return { heartbeat: Number(text) }
}

/**
 * What a service says of its log.
 * @param pinned verifier key of the log that it must be; null: any
 * @throws KillickError `unreachable`, `answer_malformed`, `refused`, `log_unexpected`
 */
export async function readLog(url: string, pinned: string | null): Promise<LogDescription> {
  const log = parseLog(await openApi(url, undefined, { timeoutMs: 30_000 }).json('/v1/log', MAX_LOG_BYTES))
  if (pinned !== null && log.vkey !== pinned)
    throw new KillickError('log_unexpected', `${url} keeps the log ${log.vkey}, not the pinned one, ${pinned}`, {
      ...{ url, found: log.vkey, pinned },
    })
  return log
}

/** Whether a key is registered for a source. @param access with the token of a reader or an administrator */
export async function isRegistered(access: Access, source: string, jwk: PublicJwk): Promise<boolean> {
  return (await readSourceRow(access, source))?.keys.has(thumbprint(jwk)) ?? false
}

async function readSourceRow(access: Access, source: string): Promise<SourceRow | undefined> {
  const path = `/v1/sources?source=${encodeURIComponent(source)}`
  for await (const { rows } of readPages(openAccess(access), path, 'sources', () => 1, parseSourceRow)) {
    const found = rows.find((row) => row.source === source)
    if (found) return found
  }
  return undefined
}

/**
 * Registers a key, unless it is registered, no time is given, and the source promises what it did before.
 * @returns the entry of the log that says so; null if nothing was to be done
 * @throws KillickError `unreachable`, `answer_malformed`, or the service's refusal
 */
export async function registerKey(
  access: Access & { readonly token: string },
  source: string,
  key: { readonly jwk: PublicJwk; readonly notBefore?: string; readonly notAfter?: string },
  promise: SourcePromise = {},
): Promise<number | null> {
  const hasPeriod = key.notBefore !== undefined || key.notAfter !== undefined
  const known = hasPeriod ? undefined : await readSourceRow(access, source)
  // A key that is named again loses the times that it had.
  const keys = known?.keys.has(thumbprint(key.jwk)) ? [] : [key]
  const isPromised = promise.heartbeat === undefined || promise.heartbeat === known?.heartbeat
  if (keys.length === 0 && isPromised) return null
  try {
    const { logIndex } = await askJson(access, 'POST', '/v1/sources', { source, keys, ...promise })
    if (typeof logIndex !== 'number') throw new KillickError('answer_malformed')
    return logIndex
  } catch (error) {
    if (!isTokenRefusal(error)) throw error
    const { message, details } = error as KillickError
    throw new KillickError('token_refused', `${message} Registering takes an admin token.`, details)
  }
}
