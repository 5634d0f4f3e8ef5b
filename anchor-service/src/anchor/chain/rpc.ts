import { KillickError, printable } from '@killick/sdk/core'
import { openRpc, parseQuantity } from '@killick/sdk/verify'

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
  /** Host of the endpoint. */
  readonly label: string
  /** One request: what to make of a failure is the caller's to decide, who must see each one. @throws RpcError */
  call(method: string, params: readonly unknown[]): Promise<unknown>
}

/** @param timeoutMs for one call, from connecting to the last byte */
export function openNode(endpoint: string, timeoutMs: number): RpcNode {
  const rpc = openRpc(endpoint, { timeoutMs, again: false })
  return {
    label: rpc.node,
    call: (method, params) => rpc.call(method, params).catch((error) => fail(error, rpc.node, method)),
  }
}

function fail(error: unknown, node: string, method: string): never {
  if (!(error instanceof KillickError)) throw error
  const { reason, data } = error.details as { reason?: string; data?: string | null }
  if (reason === undefined) throw new RpcError('unreachable', `${error.message} (${method})`)
  // A node's own words, which end up in logs and on screens.
  throw new RpcError('refused', `${node}: ${printable(reason.slice(0, 1000)).slice(0, 1000)}`, data)
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
    `a node sent ${printable(String(JSON.stringify(value)).slice(0, 200)).slice(0, 200)} for a number`,
  )
}

export const hex = (value: number | bigint): string => `0x${value.toString(16)}`
