// What the methods of the protocol are to the recorder: what they are about, and how their result says that they failed.
import { isObject, type JsonObject, type JsonValue } from '@killick/sdk/core'
import { shortened } from '../sessions/disclosed.ts'

/**
 * Requests that change nothing and show nothing but names: their messages are counted, and their errors recorded. Every other request
 * has an intent, those of no known method too. The results of `initialize`, `server/discover` and `tools/list` have events of their own.
 */
const WITHOUT_INTENT: ReadonlySet<string> = new Set([
  ...['initialize', 'server/discover', 'ping', 'tools/list', 'resources/list', 'resources/templates/list'],
  ...['prompts/list', 'logging/setLevel'],
])

/** Notifications that tell of something and ask for nothing. */
const TELLING: ReadonlySet<string> = new Set(
  [
    ...['initialized', 'cancelled', 'progress', 'message', 'roots/list_changed', 'tools/list_changed'],
    ...['prompts/list_changed', 'resources/list_changed', 'resources/updated', 'elicitation/complete', 'tasks/status'],
    ...['subscriptions/acknowledged'],
  ].map((name) => `notifications/${name}`),
)

/** Whether an event must say that this is asked before it is passed on. */
export const hasIntent = (kind: 'request' | 'notification', method: string): boolean =>
  kind === 'request' ? !WITHOUT_INTENT.has(method) : !TELLING.has(method)

/** Which member of params names what a request is about, and what that is. */
const SUBJECTS: ReadonlyMap<string, readonly [member: string, type: string]> = new Map([
  ['tools/call', ['name', 'mcp-tool']],
  ['prompts/get', ['name', 'mcp-prompt']],
  ['resources/read', ['uri', 'mcp-resource']],
  ['resources/subscribe', ['uri', 'mcp-resource']],
  ['resources/unsubscribe', ['uri', 'mcp-resource']],
])

/** What a request is about, as a target of its event; undefined for those that are about the whole server. */
export function subjectOf(method: string, params: JsonObject): { type: string; id: string } | undefined {
  const [member, type] = SUBJECTS.get(method) ?? []
  if (member === undefined) return undefined
  const id = params[member]
  return { type: type!, id: typeof id === 'string' ? id : '(none)' }
}

/** What a request asks with: a tool's arguments, or all params. `_meta` is about the message, not part of what is asked. */
export function askedWith(method: string, params: JsonObject): JsonObject {
  const { _meta, ...rest } = params
  if (method !== 'tools/call' || !isObject(rest.arguments)) return rest
  const { name: _, arguments: args, ...more } = rest
  return Object.keys(more).length === 0 ? (args as JsonObject) : { ...more, arguments: args! }
}

/** How far an answer has brought a request. */
export type AnswerState = 'answered' | 'accepted' | 'input_required'

/** What a result says of how the request ended. */
export function endOf(
  method: string,
  result: JsonValue,
): { state: AnswerState; outcome?: 'success' | 'failure' | 'denied' } {
  if (!isObject(result)) return { state: 'answered', outcome: 'success' }
  if (result.resultType === 'input_required') return { state: 'input_required' }
  // It goes on as a task: what comes of that is the answer to another request.
  if (isObject(result.task) || result.resultType === 'task') return { state: 'accepted' }
  // `tasks/result` is answered as the request that has become the task would be.
  const isOfTask = method === 'tasks/result'
  if ((method === 'tools/call' || isOfTask) && result.isError === true) return { state: 'answered', outcome: 'failure' }
  const isElicited = method === 'elicitation/create' || (isOfTask && typeof result.action === 'string')
  // A person has said no, or has not answered.
  if (isElicited && result.action !== 'accept') return { state: 'answered', outcome: 'denied' }
  return { state: 'answered', outcome: 'success' }
}

/** A result as an event shows it. */
export function resultShown(result: JsonValue): JsonValue {
  if (!isObject(result)) return result
  const { _meta, ...rest } = result
  return rest
}

/** The action of an event about a method: `tools/call` is `tools.call`. Leaves room for `mcp.` and `.result` in an action. */
export const actionOf = (method: string): string => shortened(method.replaceAll('/', '.'), 240)
