// Headers that repeat what the body says (MCP 2026-07-28, Request Metadata). Somebody on the way may go by the one, the server by the other.
import type { IncomingHttpHeaders } from 'node:http'
import { isObject } from '@killick/sdk/core'
import { REVISION } from '../answers.ts'
import type { Message } from '../message.ts'

/** Why headers contradict the body; null: they do not. What is missing the server judges: older revisions have none of them. */
export function contradictionOf(headers: IncomingHttpHeaders, messages: readonly Message[]): string | null {
  const read = readOtherwise(headers)
  if (read !== null) return read
  for (const message of messages) {
    if (message.kind === 'answer') continue
    const { method, params } = message
    const { name, uri, _meta: meta } = params
    const about = method === 'resources/read' || method.startsWith('resources/') ? uri : name
    const why =
      differs(headers, 'mcp-method', method) ??
      differs(headers, 'mcp-name', about) ??
      (isObject(meta) && typeof meta[REVISION] === 'string'
        ? differs(headers, 'mcp-protocol-version', meta[REVISION])
        : null)
    if (why !== null) return why
  }
  return null
}

/** Servers read a body as its headers say, and it is looked into here as JSON is: in UTF-8, and not packed. */
function readOtherwise(headers: IncomingHttpHeaders): string | null {
  if (!/^(?:identity)?$/i.test((headers['content-encoding'] ?? '').trim()))
    return 'The header content-encoding says that the body is packed.'
  const charsets = [...(headers['content-type'] ?? '').matchAll(/charset[^;=]*=\s*"?([^";]*)/gi)]
  const isOther = charsets.some(([, charset]) => !/^utf-?8$/i.test(charset!.trim()))
  return isOther ? 'The header content-type says that the body is not in UTF-8.' : null
}

function differs(headers: IncomingHttpHeaders, header: string, said: unknown): string | null {
  const sent = headers[header]
  if (sent === undefined) return null
  const value = typeof sent === 'string' ? decoded(sent) : null
  if (value === null) return `The header ${header} cannot be read.`
  return value === said ? null : `The header ${header} is not what the body says.`
}

/** What a header says that is not plain ASCII: `=?base64?…?=`. Null where it is no canonical base64 of UTF-8. */
function decoded(value: string): string | null {
  const [, base64] = /^=\?base64\?(.*)\?=$/.exec(value) ?? []
  if (base64 === undefined) return /^[\t\x20-\x7e]*$/.test(value) ? value : null
  const bytes = Buffer.from(base64, 'base64')
  if (bytes.toString('base64') !== base64) return null
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return null
  }
}
