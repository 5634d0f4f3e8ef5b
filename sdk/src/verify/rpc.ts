/** JSON-RPC to an Ethereum node, as far as reading an anchor needs it. Runs wherever `fetch` does. */
import { KillickError } from '../core/errors.ts'

export type Rpc = {
  /** Label to show: the URL without credentials, query and path, which often holds an API key. */
  readonly node: string
  /** @throws KillickError unreachable; `details.answered` is true where the node did answer, but with a refusal */
  call(method: string, params: readonly unknown[]): Promise<unknown>
}

export type RpcOptions = {
  /** Default: the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch
  /** Per request, milliseconds. Default 10,000. */
  readonly timeoutMs?: number
}

export function openRpc(url: string, options: RpcOptions = {}): Rpc {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new KillickError('option_invalid', 'An RPC endpoint must be an http or https URL')
  }
  const node = new URL(url).host
  const unreachable = (why: string, answered = false) =>
    new KillickError('unreachable', `The node at ${node} ${why}`, { node, answered })
  return {
    node,
    async call(method, params) {
      let answer: { result?: unknown; error?: { message?: unknown } } | null
      try {
        const response = await (options.fetch ?? fetch)(url, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
          signal: AbortSignal.timeout(options.timeoutMs ?? 10_000),
        })
        if (!response.ok) throw unreachable(`answered ${response.status}`)
        answer = (await response.json()) as typeof answer
      } catch (error) {
        if (error instanceof KillickError) throw error
        throw unreachable('could not be reached, or did not answer in JSON')
      }
      if (typeof answer !== 'object' || answer === null || answer.error || answer.result === undefined) {
        // Quoted and cut: the node's words end up on somebody's screen.
        const words = JSON.stringify(answer?.error?.message ?? 'no result').slice(0, 200)
        throw unreachable(`refused ${method}: ${words}`, true)
      }
      return answer.result
    },
  }
}
