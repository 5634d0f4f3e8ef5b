/**
 * JSON-RPC to an Ethereum node. One call is one request: no batches, no polling, no cache, no redirects. Runs wherever `fetch`
 * does.
 */
import { isCut, isRedirect, readBody } from '../core/body.ts'
import { fromUtf8, toBase64, utf8 } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { isObject } from '../core/json.ts'

/** An Ethereum node to ask by JSON-RPC. */
export type Rpc = {
  /** Label to show: the host and port of the URL; user, path and query often hold an API key. */
  readonly node: string
  /**
   * Asks once; with `RpcOptions.again`, once more if the connection was cut.
   * @throws KillickError `unreachable`, with the `NoAnswer` in `details.fault`. If the node refused, `details.reason` holds its
   * words unchanged, and `details.data` the revert data (0x and hex) or null
   */
  call(method: string, params: readonly unknown[]): Promise<unknown>
}

/**
 * Why a node gave no usable answer, as data. `behind`: it is at block `height` and has not seen `block`. `none`: no node was
 * asked that is on the chain `wanted`. `refused`: with the node's own words, quoted.
 */
export type NoAnswer =
  | { readonly what: 'redirect' | 'unreachable' }
  | { readonly what: 'status'; readonly status: number }
  | { readonly what: 'too_large'; readonly bytes: number }
  | { readonly what: 'timeout'; readonly seconds: number }
  | { readonly what: 'refused'; readonly method: string; readonly words: string }
  | { readonly what: 'nonsense'; readonly method: string }
  | { readonly what: 'behind'; readonly height: number; readonly block: number }
  | { readonly what: 'other_chain'; readonly chainId: number; readonly wanted: number }
  | { readonly what: 'none'; readonly wanted: number }

/** How nodes are asked. */
export type RpcOptions = {
  /** Default: the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch
  /** Per call, from connecting to the last byte of the answer, milliseconds. Default 10,000. */
  readonly timeoutMs?: number
  /**
   * Whether to ask once more if the connection was cut before the answer began. A node may close a connection just as it is used
   * again; but it may also have received the request. Default true.
   */
  readonly again?: boolean
}

/** Most bytes of an answer. The code of a contract has at most 48 KiB in hex. */
const MAX_BYTES = 64 << 10
/** The same for a block, which lists its transactions' hashes (60,000 fit), and for a receipt, which may hold others' events. */
const MAX_LARGE_BYTES = 4 << 20
const isLarge = (method: string) => method.startsWith('eth_getBlockBy') || method === 'eth_getTransactionReceipt'

/** A part of a URL as it was meant: a password may well have a `%` of its own. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

/**
 * Opens a node; nothing is sent before the first call.
 * @param url http or https; with `user:password@`, these are sent as HTTP Basic authentication
 * @throws KillickError `option_invalid` if it is anything else
 */
export function openRpc(url: string, options: RpcOptions = {}): Rpc {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new KillickError('option_invalid', 'An RPC endpoint must be an http or https URL')
  }
  const endpoint = new URL(url)
  const node = endpoint.host
  const headers: Record<string, string> = { 'content-type': 'application/json' }
  if (endpoint.username !== '') {
    // fetch refuses a URL with a user name or a password.
    headers.authorization = `Basic ${toBase64(utf8(`${decoded(endpoint.username)}:${decoded(endpoint.password)}`))}`
    endpoint.username = endpoint.password = ''
  }
  const timeoutMs = options.timeoutMs ?? 10_000
  let id = 0
  const unreachable = (why: string, fault: NoAnswer, more: object = {}) => noAnswer(node, why, fault, more)

  async function ask(body: string, maxBytes: number, signal: AbortSignal): Promise<string | null> {
    const send = () =>
      (options.fetch ?? fetch)(endpoint.href, {
        method: 'POST',
        headers,
        // A redirect would send the request, perhaps a signed transaction, to somebody else.
        redirect: 'manual',
        body,
        signal,
      })
    const response = await send().catch((error) => {
      if (options.again === false || signal.aborted || !isCut(error)) throw error
      return send()
    })
    if (isRedirect(response)) throw unreachable('answered with a redirect, which is not followed', { what: 'redirect' })
    const { ok, status } = response
    if (!ok) throw unreachable(`answered ${status}`, { what: 'status', status })
    const bytes = await readBody(response.body, maxBytes)
    if (bytes === null)
      throw unreachable(`answered with more than ${maxBytes} bytes`, { what: 'too_large', bytes: maxBytes })
    return fromUtf8(bytes)
  }

  return {
    node,
    async call(method, params) {
      const body = JSON.stringify({ jsonrpc: '2.0', id: ++id, method, params })
      const signal = AbortSignal.timeout(timeoutMs)
      let answer: unknown
      try {
        answer = JSON.parse((await ask(body, isLarge(method) ? MAX_LARGE_BYTES : MAX_BYTES, signal)) ?? '')
      } catch (error) {
        if (error instanceof KillickError) throw error
        const seconds = timeoutMs / 1000
        if (signal.aborted) throw unreachable(`did not answer within ${seconds} s`, { what: 'timeout', seconds })
        throw unreachable('could not be reached, or did not answer in JSON', { what: 'unreachable' })
      }
      if (isObject(answer) && isObject(answer.error)) {
        const { message, data } = answer.error
        const reason = typeof message === 'string' ? message : 'without a reason'
        // Quoted and cut short, since the node's words end up on somebody's screen.
        const words = JSON.stringify(reason).slice(0, 200)
        const fault: NoAnswer = { what: 'refused', method, words }
        throw unreachable(`refused ${method}: ${words}`, fault, { reason, data: revertData(data) })
      }
      if (!isObject(answer) || answer.error || answer.result === undefined)
        throw unreachable(`gave no result for ${method}`, { what: 'nonsense', method })
      return answer.result
    },
  }
}

/** The error for a node that gave no usable answer. */
export const noAnswer = (node: string, why: string, fault: NoAnswer, more: object = {}): KillickError =>
  new KillickError('unreachable', `The node at ${node} ${why}`, { node, fault, ...more })

/** Nodes put revert data in `error.data`, some of them one level deeper. */
function revertData(data: unknown): string | null {
  const found = isObject(data) ? data.data : data
  return typeof found === 'string' && /^0x[0-9a-f]*$/i.test(found) ? found : null
}

/** A number as JSON-RPC writes it, 0x and hex digits, up to 2^53 − 1; null if it is anything else. */
export function parseQuantity(value: unknown): number | null {
  const number = typeof value === 'string' && /^0x[0-9a-f]+$/i.test(value) ? Number(value) : Number.NaN
  return Number.isSafeInteger(number) ? number : null
}

/** @throws KillickError unreachable, if the node does not answer, or not with a number */
export async function readQuantity(rpc: Rpc, method: string): Promise<number> {
  const number = parseQuantity(await rpc.call(method, []))
  if (number === null) throw noAnswer(rpc.node, `gave no number for ${method}`, { what: 'nonsense', method })
  return number
}

/** A node, and the chain that it says it is on (EIP-155 chain id); or, in `silent` and `fault`, why it does not say. */
export type ChainNode = { readonly rpc: Rpc } & (
  | { readonly chainId: number; readonly silent: null; readonly fault: null }
  | { readonly chainId: null; readonly silent: string; readonly fault: NoAnswer | null }
)

/**
 * Asks all nodes at once which chain they are on, so that silent ones cost one timeout in all. It never rejects because of a
 * silent node.
 * @param urls of JSON-RPC endpoints, http or https
 * @throws KillickError `option_invalid` if a URL is malformed, or there is no list
 */
export async function openNodes(urls: readonly string[], options: RpcOptions = {}): Promise<ChainNode[]> {
  if (!Array.isArray(urls)) throw new KillickError('option_invalid', 'Nodes must be a list')
  return Promise.all(
    urls
      .map((url) => openRpc(url, options))
      .map(async (rpc): Promise<ChainNode> => {
        try {
          const chainId = await readQuantity(rpc, 'eth_chainId')
          if (chainId > 0) return { rpc, chainId, silent: null, fault: null }
          throw noAnswer(rpc.node, 'says that it is on chain 0', { what: 'nonsense', method: 'eth_chainId' })
        } catch (error) {
          return { rpc, chainId: null, silent: reasonOf(error), fault: faultOf(error) }
        }
      }),
  )
}

/** Those that have said which chain they are on, and behind them the others, which are asked. @throws as `openNodes` */
export async function nodesOf(nodes: readonly (string | ChainNode)[], options: RpcOptions): Promise<ChainNode[]> {
  const urls = Array.isArray(nodes) ? nodes.filter((node) => typeof node === 'string') : nodes
  const opened = await openNodes(urls as readonly string[], options)
  return [...nodes.filter((node) => typeof node !== 'string'), ...opened]
}

/** Why a node gave no answer, in words. Any other error is thrown again. */
export function reasonOf(error: unknown): string {
  if (error instanceof KillickError && error.code === 'unreachable') return error.message
  throw error
}

/** The same as data; null if the error carries none. */
export const faultOf = (error: unknown): NoAnswer | null =>
  error instanceof KillickError ? ((error.details.fault as NoAnswer | undefined) ?? null) : null
