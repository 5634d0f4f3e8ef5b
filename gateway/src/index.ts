/** `@killick/gateway`: records audit events on behalf of programs that hold no key. The command is `killick-gateway`. */

export {
  CHANGES_CODES,
  type ChangesCode,
  type ChangesConfig,
  ChangesError,
  type ChangesLimits,
  type ChangesOptions,
  ChangesRecorder,
  type ChangesStatus,
  checkChangesConfig,
  readChangesConfig,
  type SetupOptions,
  setupChanges,
  type VerifyOptions,
  type VerifyResult,
  verifyChanges,
} from './changes/index.ts'
export { type Collector, startCollector } from './collector.ts'
export {
  type CollectorConfig,
  type CollectorLimits,
  type CollectorListen,
  type CollectorTls,
  checkCollectorConfig,
  type EmitterConfig,
  type FollowedFile,
  type OtlpConfig,
  readCollectorConfig,
  type SyslogConfig,
} from './config.ts'
export { makeEmitterKey } from './emitters.ts'
export { GATEWAY_CODES, type GatewayCode, GatewayStartError } from './errors.ts'
export {
  checkMcpConfig,
  MCP_CODES,
  type McpApprovals,
  type McpApprover,
  type McpArgumentRule,
  type McpCode,
  type McpConfig,
  type McpHttp,
  type McpHttpRecorder,
  type McpLimits,
  type McpPolicy,
  readMcpConfig,
  recordHttp,
  recordStdio,
  type StdioEnds,
} from './mcp/index.ts'
export {
  checkPostgresConfig,
  POSTGRES_CODES,
  type PostgresCode,
  type PostgresConfig,
  type PostgresLimits,
  type PostgresRelay,
  readPostgresConfig,
  startPostgresRelay,
} from './postgres/index.ts'
export {
  checkHttpConfig,
  HTTP_CODES,
  type HttpCode,
  type HttpConfig,
  type HttpLimits,
  type HttpListen,
  type HttpProxy,
  type HttpRoute,
  type HttpTls,
  type HttpTokens,
  type HttpUpstream,
  type HttpWho,
  readHttpConfig,
  startHttpProxy,
} from './proxy/index.ts'
export type { MappingConfig } from './receivers/mapping.ts'
export type { SealedKeys, SealedSettings } from './sealed/settings.ts'
