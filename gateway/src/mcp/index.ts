// The recorder for the Model Context Protocol, as the command and programs use it.
export type { McpApprovals, McpApprover } from './approval-desk.ts'
export {
  checkMcpConfig,
  DEFAULT_CONFIG,
  type McpConfig,
  type McpHttp,
  type McpLimits,
  readMcpConfig,
} from './config.ts'
export { MCP_CODES, type McpCode } from './errors.ts'
export { type McpHttpRecorder, recordHttp } from './http/server.ts'
export type { McpArgumentRule, McpPolicy } from './policy.ts'
export { recordStdio, type StdioEnds } from './stdio.ts'
