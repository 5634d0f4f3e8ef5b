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

export type Node = {
  /** Host of the endpoint; user, path and query stay hidden, because they often hold an API key. */
  readonly label: string
  /** @throws RpcError */
  call(method: string, params: readonly unknown[]): Promise<unknown>
}

type Answer = { result?: unknown; error?: { message?: unknown; data?: unknown } }

/** @param timeoutMs for one call, from connecting to the last byte */
export function openNode(endpoint: string, timeoutMs: number): Node {
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
        const response = await fetch(url, { method: 'POST', headers, body, signal: AbortSignal.timeout(timeoutMs) })
        if (!response.ok) throw new RpcError('unreachable', `${url.host} answered ${response.status} to ${method}`)
        answer = (await response.json()) as Answer | null
      } catch (error) {
        if (error instanceof RpcError) throw error
        const why =
          (error as Error).name === 'TimeoutError' ? `within ${timeoutMs} ms` : 'in JSON, or could not be reached'
        throw new RpcError('unreachable', `${url.host} did not answer ${method} ${why}`)
      }
      if (answer?.error) {
        throw new RpcError('refused', `${url.host}: ${String(answer.error.message)}`, revertData(answer.error.data))
      }
      if (answer?.result === undefined) throw new RpcError('unreachable', `${url.host} gave no result for ${method}`)
      return answer.result
    },
  }
}

/** Nodes put revert data in `error.data`, some of them one level deeper. */
function revertData(data: unknown): string | null {
  if (typeof data === 'object' && data !== null && 'data' in data) return revertData(data.data)
  return typeof data === 'string' && /^0x[0-9a-f]*$/i.test(data) ? data : null
}

/** A quantity as a number. @throws RpcError when the node did not send one */
export function quantity(value: unknown): number {
  const number = typeof value === 'string' && /^0x[0-9a-f]+$/i.test(value) ? Number(value) : Number.NaN
  if (!Number.isSafeInteger(number))
    throw new RpcError('unreachable', `a node sent ${JSON.stringify(value)} for a number`)
  return number
}

export function bigQuantity(value: unknown): bigint {
  if (typeof value !== 'string' || !/^0x[0-9a-f]+$/i.test(value)) {
    throw new RpcError('unreachable', `a node sent ${JSON.stringify(value)} for a number`)
  }
  return BigInt(value)
}

export const hex = (value: number | bigint): string => `0x${value.toString(16)}`
