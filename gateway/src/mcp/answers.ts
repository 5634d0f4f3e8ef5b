// What the recorder answers itself, in the place of the one that does not see the request.
import { MCP_CODES, type McpCode } from './errors.ts'
import type { Message, MessageId } from './message.ts'
import type { Denial } from './policy.ts'

/** The member of `_meta` by which a request of the stateless revision says which revision it is of. */
export const REVISION = 'io.modelcontextprotocol/protocolVersion'

/** A JSON-RPC error. @param reason a code that says more, such as `spool_full` */
export function errorAnswer(id: MessageId | null, code: McpCode, why: string, reason?: string): object {
  const [number, sentence] = MCP_CODES[code]
  const message = why === '' ? sentence : `${sentence} ${why}`
  return { jsonrpc: '2.0', id, error: { code: number, message, data: { code, ...(reason && { reason }) } } }
}

/**
 * A denied call of a tool. It is the result of a failed tool and not a protocol error: clients hand that to the model, which then reads
 * why, and that calling again does not help.
 */
export function deniedAnswer({ id, params }: Extract<Message, { kind: 'request' }>, { why, rule }: Denial): object {
  const text = `Denied by the recorder's policy (mcp_denied, ${rule}): ${why} The server has not seen the call. Do not try it again.`
  const meta = params._meta
  const isStateless = typeof meta === 'object' && meta !== null && Object.hasOwn(meta, REVISION)
  const result = { content: [{ type: 'text', text }], isError: true, ...(isStateless && { resultType: 'complete' }) }
  return { jsonrpc: '2.0', id, result }
}

/** The answers to a line, as one line: to a batch as a batch. Empty if there is nothing to answer. */
export function printAnswers(answers: readonly object[], isBatch: boolean): Buffer {
  if (answers.length === 0) return Buffer.alloc(0)
  return Buffer.from(`${JSON.stringify(isBatch ? answers : answers[0])}\n`)
}
