/**
 * Why the recorder answers a message itself, or ends a session: the number that stands as `code` in the JSON-RPC error, and one
 * sentence. The name stands in `error.data.code`. A closed set, stable across releases; docs/ERRORS.md lists it. The receiver has not
 * seen the message.
 */
export const MCP_CODES = {
  mcp_message_invalid: [-32700, 'The line is not one message of JSON-RPC that can be read in one way only.'],
  mcp_line_too_long: [-31000, 'The line, or the body, is longer than limits.lineBytes.'],
  mcp_not_recorded: [-31001, 'The request could not be recorded, so it was not passed on.'],
  mcp_too_many_open: [-31002, 'More requests are without an answer than limits.openRequests allows.'],
  mcp_header_mismatch: [-32020, 'A header of the request says something else than its body.'],
  mcp_upstream_unreachable: [-31004, 'The server cannot be reached.'],
  mcp_origin_refused: [-31005, 'The request comes from a site, or by a name, that the recorder does not answer.'],
  mcp_busy: [-31006, 'Bodies of requests take as much memory as limits.memoryBytes allows. Ask again.'],
  mcp_denied: [-31003, 'The policy of the recorder denies this call.'],
} as const satisfies Record<string, readonly [number: number, sentence: string]>

/** A code of `MCP_CODES`. */
export type McpCode = keyof typeof MCP_CODES
