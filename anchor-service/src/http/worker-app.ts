import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { LogController } from 'fastify'
import type { App, AppDeps } from './deps.ts'
import { loggerOptions } from './logger.ts'
import { installProblems } from './problems.ts'
import { healthRoutes, type OperationDeps } from './routes/health.ts'
import { compileWhenUsed } from './schema-compilers.ts'

/** The HTTP interface of a separate worker: its health, the state of its targets, and its metrics. */
export function buildWorkerApp(deps: OperationDeps & Pick<AppDeps, 'logLevel'>): App {
  const app: App = Fastify({
    logger: loggerOptions(deps.logLevel),
    logController: new LogController({ disableRequestLogging: true }),
  }).withTypeProvider<TypeBoxTypeProvider>()
  compileWhenUsed(app)
  app.decorateRequest('role', null)
  app.decorateRequest('person', null)
  installProblems(app)
  healthRoutes(app, deps)
  return app
}
