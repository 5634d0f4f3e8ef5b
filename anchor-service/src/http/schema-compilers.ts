import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import compileSerializer, { type AnySchema } from 'fast-json-stringify'
import { Compile } from 'typebox/compile'
import type { App } from './deps.ts'

/**
 * What checks requests and prints answers is compiled from a route's schemas when it is first used. Fastify would compile it for
 * all routes at the start, which takes most of the time of a start.
 */
export function compileWhenUsed(app: App): void {
  app.setValidatorCompiler((route) => whenUsed(() => compileValidator(route)))
  app.setSerializerCompiler<AnySchema>(({ schema }) => whenUsed(() => printerOf(schema)))
}

/** By the text of the schema: there are five routes for each, and services that begin later in this process have the same ones. */
const printers = new Map<string, ReturnType<typeof compileSerializer>>()

function printerOf(schema: AnySchema): ReturnType<typeof compileSerializer> {
  const text = JSON.stringify(schema)
  const known = printers.get(text)
  if (known !== undefined) return known
  const printer = compileSerializer(schema)
  printers.set(text, printer)
  return printer
}

/** Most of a check is the conversion of texts to what the schema wants, and most values need none. */
function compileValidator(route: Parameters<typeof TypeBoxValidatorCompiler>[0]) {
  const asIs = Compile(route.schema)
  const converted = whenUsed(() => TypeBoxValidatorCompiler(route))
  return (value: unknown) => (asIs.Check(value) ? { value } : converted(value))
}

function whenUsed<Value, Result>(compile: () => (value: Value) => Result): (value: Value) => Result {
  let compiled: ReturnType<typeof compile> | undefined
  return (value) => {
    compiled ??= compile()
    return compiled(value)
  }
}
