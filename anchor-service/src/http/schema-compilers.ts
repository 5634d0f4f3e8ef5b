import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import compileSerializer, { type AnySchema } from 'fast-json-stringify'
import type { App } from './deps.ts'

/**
 * What checks requests and prints answers is compiled from a route's schemas when it is first used. Fastify would compile it for
 * all routes at the start, which takes most of the time of a start.
 */
export function compileWhenUsed(app: App): void {
  app.setValidatorCompiler((route) => whenUsed(() => TypeBoxValidatorCompiler(route)))
  app.setSerializerCompiler<AnySchema>(({ schema }) => whenUsed(() => compileSerializer(schema)))
}

function whenUsed<Value, Result>(compile: () => (value: Value) => Result): (value: Value) => Result {
  let compiled: ReturnType<typeof compile> | undefined
  return (value) => {
    compiled ??= compile()
    return compiled(value)
  }
}
