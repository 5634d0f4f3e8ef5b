// The reverse proxy that records, as the command and programs use it.
export {
  checkHttpConfig,
  type HttpConfig,
  type HttpLimits,
  type HttpListen,
  type HttpTls,
  readHttpConfig,
} from './config.ts'
export { HTTP_CODES, type HttpCode } from './errors.ts'
export { type HttpProxy, startHttpProxy } from './proxy.ts'
export type { HttpRoute } from './routes.ts'
export type { HttpUpstream } from './upstream.ts'
export type { HttpTokens, HttpWho } from './who.ts'
