/** The one way in which the SDK asks a service over HTTP: within a time, without following redirects, failures in words. */
import { isCut, isRedirect, readBody } from '../core/body.ts'
import { KillickError } from '../core/errors.ts'
import { unreachable } from '../core/problem.ts'

/** A request to a service. */
export type ServiceRequest = Pick<RequestInit, 'body'> & {
  /** Default GET. */
  method?: string
  headers?: Record<string, string>
  /** Sent as a bearer's; undefined: none is. */
  token?: string | undefined
  /** From connecting to the last byte of the answer, ms. */
  timeoutMs: number
  /** Gives up earlier. */
  signal?: AbortSignal
  /** Default: the global one. */
  fetch?: typeof fetch | undefined
  /**
   * Whether to ask once more where the connection was cut before the answer began, as a service may close one just as it is used
   * again. Only for what may be asked twice. Default false.
   */
  again?: boolean
}

/**
 * Asks once, and gives the answer whatever its status, but for redirects: what is sent may be a token or a batch, which belong to
 * nobody else. Its body is read with `readAnswer`.
 * @throws KillickError `unreachable` where no answer comes; `refused` where it leads elsewhere
 */
export async function request(url: string, options: ServiceRequest): Promise<Response> {
  const { fetch: send = fetch, token, headers, timeoutMs, signal, again = false, ...init } = options
  const within = AbortSignal.timeout(timeoutMs)
  const ends = signal === undefined ? within : AbortSignal.any([signal, within])
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const ask = () => send(url, { ...init, headers: { ...authorization, ...headers }, redirect: 'manual', signal: ends })
  let response: Response
  try {
    response = await ask().catch((error) => {
      if (!again || ends.aborted || !isCut(error)) throw error
      return ask()
    })
  } catch (error) {
    throw unreachable(url, error as Error)
  }
  if (!isRedirect(response)) return response
  response.body?.cancel().catch(() => {})
  const to = response.headers.get('location') ?? 'nowhere'
  throw new KillickError('refused', `${url} leads on to ${to}, which is not followed: give that address itself`, {
    status: response.status,
  })
}

/** The body of an answer; null if it has more than `maxBytes`. @throws KillickError `unreachable` if it is cut off */
export async function readAnswer(url: string, { body }: Response, maxBytes: number): Promise<Uint8Array | null> {
  try {
    return await readBody(body, maxBytes)
  } catch (error) {
    throw unreachable(url, error as Error)
  }
}

/** The address of a path at a service. */
export const addressOf = (base: string, path: string): string => base.replace(/\/+$/, '') + path
