import { fromUtf8, isRedirect, printable, readBody } from '@killick/sdk/core'
import { parseQuantity } from '@killick/sdk/verify'

/**
 * One JSON-RPC call is one HTTP request: no batches, no polling, no retries, no cache. What to make of a failure is the
 * caller's to decide, and it can only do so when it sees each one.
 */

/** A node that did not answer ("unreachable": the call may or may not have had its effect), or that said no ("refused"). */
export class RpcError extends Error {
  override readonly name = 'RpcError'
  readonly kind: 'unreachable' | 'refused'
  /** Revert data of a refused call, 0x and hex. */
  readonly data: string | null

  constructor(kind: 'unreachable' | 'refused', message: string, data: string | null = null) {
    super(message)
    this.kind = kind
    this.data = data
  }
}

export type RpcNode = {
  /** Host of the endpoint; user, path and query stay hidden, because they often hold an API key. */
  readonly label: string
  /** @throws RpcError */
  call(method: string, params: readonly unknown[]): Promise<unknown>
}

type Answer = { result?: unknown; error?: { message?: unknown; data?: unknown } }

/** Most bytes of an answer. Blocks list their transactions, a receipt may hold the events of others. */
const MAX_BYTES = 64 << 10
const MAX_LARGE_BYTES = 16 << 20
const isLarge = (method: string) => method.startsWith('eth_getBlockBy') || method === 'eth_getTransactionReceipt'

/** @param timeoutMs for one call, from connecting to the last byte */
export function openNode(endpoint: string, timeoutMs: number): RpcNode {
  const url = new URL(endpoint)
  const headers: Record<string, string> = { 'content-type': 'application/json' }
  if (url.username !== '') {
    headers.authorization = `Basic ${Buffer.from(decodeURIComponent(`${url.username}:${url.password}`)).toString('base64')}`
    url.username = url.password = ''
  }
  let id = 0
  return {
    label: url.host,
    async call(method, params) {
      const body = JSON.stringify({ jsonrpc: '2.0', id: ++id, method, params })
      let answer: Answer | null
      try {
        const signal = AbortSignal.timeout(timeoutMs)
        // Redirects are not followed: the request may be a signed transaction, and a node must not send it to others in our name.
        const response = await fetch(url, { method: 'POST', headers, body, redirect: 'manual', signal })
        if (isRedirect(response)) {
          throw new RpcError('unreachable', `${url.host} answered ${method} with a redirect, which is not followed`)
        }
        if (!response.ok) throw new RpcError('unreachable', `${url.host} answered ${response.status} to ${method}`)
        const bytes = await readBody(response.body, isLarge(method) ? MAX_LARGE_BYTES : MAX_BYTES)
        if (bytes === null) throw new RpcError('unreachable', `${url.host} answered ${method} with too many bytes`)
        answer = JSON.parse(fromUtf8(bytes) ?? '') as Answer | null
      } catch (error) {
        if (error instanceof RpcError) throw error
        const why =
          (error as Error).name === 'TimeoutError' ? `within ${timeoutMs} ms` : 'in JSON, or could not be reached'
        throw new RpcError('unreachable', `${url.host} did not answer ${method} ${why}`)
      }
      if (answer?.error) {
        throw new RpcError('refused', `${url.host}: ${wordsOf(answer.error)}`, revertData(answer.error.data))
      }
      if (answer?.result === undefined) throw new RpcError('unreachable', `${url.host} gave no result for ${method}`)
      return answer.result
    },
  }
}

/** A node's own words, which end up in logs and on screens. */
function wordsOf({ message }: NonNullable<Answer['error']>): string {
  return printable(typeof message === 'string' ? message : 'no reason given').slice(0, 1000)
}

/** Nodes put revert data in `error.data`, some of them one level deeper. */
function revertData(data: unknown): string | null {
  if (typeof data === 'object' && data !== null && 'data' in data) return revertData(data.data)
  return typeof data === 'string' && /^0x[0-9a-f]*$/i.test(data) ? data : null
}

/** A quantity as a number. @throws RpcError when the node did not send one */
export function quantity(value: unknown): number {
  return parseQuantity(value) ?? notANumber(value)
}

export function bigQuantity(value: unknown): bigint {
  // No number on a chain has more than 256 bits.
  return typeof value === 'string' && /^0x[0-9a-f]{1,64}$/i.test(value) ? BigInt(value) : notANumber(value)
}

function notANumber(value: unknown): never {
  throw new RpcError(
    'unreachable',
    `a node sent ${printable(String(JSON.stringify(value))).slice(0, 200)} for a number`,
  )
}

export const hex = (value: number | bigint): string => `0x${value.toString(16)}`
