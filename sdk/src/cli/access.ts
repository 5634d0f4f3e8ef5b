// Which service a command asks, and who gets a token: only the service that it is meant for.
import { type Api, openApi } from '../audit/api.ts'
import { KillickError } from '../core/errors.ts'
import { required, UsageError } from './command.ts'
import { readOption } from './input.ts'
import type { CommandEntry } from './table/entry.ts'

type Values = {
  readonly token: string | undefined
  readonly 'token-file'?: string | undefined
  readonly 'plain-http': boolean
}

/** Variables of the environment that hold a token. */
export type TokenVariable = 'KILLICK_TOKEN' | 'KILLICK_ADMIN_TOKEN' | 'KILLICK_ERASER_TOKEN'

/** `token`: undefined if there is none that may be sent; `hint` then says why. `variables`: where one was looked for. */
export type Access = {
  readonly url: string
  readonly token: string | undefined
  readonly hint: string | undefined
  readonly variables: readonly TokenVariable[]
}

/** The service of --url, KILLICK_URL or killick.json. @throws UsageError */
export const accessOf = (
  entry: CommandEntry,
  given: Parameters<typeof required>[1] & { readonly values: Values },
  ...variables: readonly TokenVariable[]
): Access => {
  const access = accessTo(
    required(entry, given, 'url'),
    given.values,
    variables.length > 0 ? variables : ['KILLICK_TOKEN'],
  )
  // Some services answer without one. Not so of a link: a stranger's server must not have anybody asked for a token.
  return access.token === undefined ? { ...access, hint: access.hint ?? missing(access) } : access
}

const missing = ({ variables }: Access): string =>
  `A token is missing: --token-file, --token or ${variables.join(' or ')}`

/**
 * A token given as an option goes to the service given. The token of the environment goes only to the service of the
 * environment: a link or a killick.json that somebody sent must not get it.
 * @throws UsageError if the token would cross a network in the clear
 */
export function accessTo(url: string, values: Values, variables: readonly TokenVariable[] = ['KILLICK_TOKEN']): Access {
  checkUrl(url)
  const { token, hint } = choose(url, values, variables)
  if (token !== undefined) checkToken(token, url, values['plain-http'])
  return { url, token, hint, variables }
}

/** @throws UsageError if no service can be asked at this URL */
export function checkUrl(url: string): void {
  const parsed = URL.parse(url)
  if (parsed === null || !/^https?:$/.test(parsed.protocol)) throw new UsageError(`${url} is not an http or https URL`)
  // fetch takes none, and its error would tell them.
  if (parsed.username !== '' || parsed.password !== '')
    throw new UsageError(`The URL of ${parsed.host} holds a user name or password; leave them out`)
}

/** @throws UsageError if it can be no token, or would cross a network in the clear */
export function checkToken(token: string, url: string, plainHttp: boolean): void {
  if (token === '') throw new UsageError('The token is empty')
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new UsageError('The token holds a character that no token has, such as a space or a line break')
  if (!plainHttp && !isPrivate(new URL(url)))
    throw new UsageError(
      `The token would go to ${new URL(url).host} over http, where whoever is on the way can read it: use https, or ask for it with --plain-http`,
    )
}

/** The access, which has a token. @throws UsageError */
export function withToken(access: Access): Access & { readonly token: string } {
  const { token, hint } = access
  if (token === undefined) throw new UsageError(hint ?? missing(access))
  return { ...access, token }
}

/** Whether a service refused what was asked because of the token. */
export const isTokenRefusal = (error: unknown): boolean =>
  error instanceof KillickError && /^(unauthorized|forbidden)$/.test(String(error.details.code))

/** Whether a service was away, which may be for a moment. */
export const isOutage = (error: unknown): boolean => error instanceof KillickError && error.code === 'unreachable'

export const openAccess = ({ url, token, hint }: Access, options: { patience?: number } = {}): Api =>
  openApi(url, token, { ...options, ...(hint !== undefined && { hint }) })

function choose(url: string, values: Values, variables: readonly TokenVariable[]): Pick<Access, 'token' | 'hint'> {
  const file = values['token-file']
  if (values.token !== undefined) return { token: values.token, hint: undefined }
  if (file !== undefined) return { token: readOption(file, 'token-file', 'not a file').trim(), hint: undefined }
  const { KILLICK_URL: home } = process.env
  const variable = variables.find((name) => process.env[name])
  if (variable === undefined) return { token: undefined, hint: undefined }
  if (home && URL.canParse(home) && new URL(home).origin === new URL(url).origin)
    return { token: process.env[variable], hint: undefined }
  const why = home ? 'that of KILLICK_URL, which is another one' : 'that of KILLICK_URL, which is not set'
  return {
    token: undefined,
    hint: `${variable} was not sent: it goes to one origin only, ${why}. Give it with --token, or set KILLICK_URL=${new URL(url).origin} too`,
  }
}

/** Whether nobody on the way can read it: https, or this machine itself. */
function isPrivate({ protocol, hostname }: URL): boolean {
  return protocol === 'https:' || /^(localhost|.+\.localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)
}
