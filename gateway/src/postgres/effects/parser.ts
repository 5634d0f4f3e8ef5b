// PostgreSQL's own parser, as WebAssembly.
import { readFile } from 'node:fs/promises'
import type { ScanResult } from 'libpg-query'
// @ts-expect-error: the package has types for its wrapper only
import load from 'libpg-query/wasm/libpg-query.js'

/** A tree as the parser prints it. */
export type SqlTree = { readonly [member: string]: unknown }

/** What libpg-query's module has; its own wrapper is not used because it cannot replace a module that has failed. */
type Module = {
  readonly HEAPU8: Uint8Array
  _malloc(bytes: number): number
  _free(pointer: number): void
  stringToUTF8(text: string, pointer: number, bytes: number): void
  lengthBytesUTF8(text: string): number
  getValue(pointer: number, type: 'i32'): number
  UTF8ToString(pointer: number): string
  _wasm_parse_query_raw(text: number): number
  _wasm_free_parse_result(result: number): void
  _wasm_scan(text: number): number
  _wasm_free_string(text: number): void
}

/** Above that much memory, in bytes, a module is replaced: it never gives memory back. It begins with 128 MiB, of which it touches little. */
const MAX_HEAP = 256 << 20

/** One in use, and one to take its place at once. */
const SPARES = 2
const modules: Module[] = []
let loading: Promise<void> | null = null

/** Resolves when statements can be parsed. */
export function loadParser(): Promise<void> {
  loading ??= fill().finally(() => {
    loading = null
  })
  return loading
}

/** As far as it is used here; Node's types do not have it. */
const { compile, Instance } = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly
type WebAssemblyApi = {
  compile(bytes: Uint8Array): Promise<object>
  Instance: new (program: object, imports: object) => object
}
type Load = (options: { instantiateWasm(imports: object, done: (instance: object) => void): void }) => Promise<Module>

/** Compiled once, so that a module is replaced within the tick in which it has failed. */
let compiled: object | null = null

async function fill(): Promise<void> {
  compiled ??= await compile(await readFile(new URL(import.meta.resolve('libpg-query/wasm/libpg-query.wasm'))))
  const program = compiled
  while (modules.length < SPARES) {
    const module = await (load as Load)({
      instantiateWasm: (imports, done) => done(new Instance(program, imports)),
    })
    modules.push(module)
  }
}

/** @returns the statements of a text; null if the parser does not take it, or has failed at it */
export function parse(sql: string): SqlTree[] | null {
  return used(sql, (module, text) => {
    const result = module._wasm_parse_query_raw(text)
    if (result === 0) return null
    try {
      const [tree, , error] = [0, 4, 8].map((offset) => module.getValue(result + offset, 'i32'))
      if (error !== 0 || tree === 0) return null
      const { stmts = [] } = JSON.parse(module.UTF8ToString(tree!)) as { stmts?: { stmt?: SqlTree }[] }
      return stmts.map(({ stmt = {} }) => stmt)
    } finally {
      module._wasm_free_parse_result(result)
    }
  })
}

/** @returns the words of a text, comments included; null if it has none */
export function scan(sql: string): ScanResult['tokens'] | null {
  return used(sql, (module, text) => {
    const result = module._wasm_scan(text)
    if (result === 0) return null
    try {
      const found = module.UTF8ToString(result)
      return found.startsWith('{') ? (JSON.parse(found) as ScanResult).tokens : null
    } finally {
      module._wasm_free_string(result)
    }
  })
}

function used<T>(sql: string, use: (module: Module, text: number) => T): T | null {
  const module = modules[0]
  // A zero byte would end the text for the parser.
  if (module === undefined || sql.includes('\0')) return null
  try {
    const bytes = module.lengthBytesUTF8(sql) + 1
    const text = module._malloc(bytes)
    if (text === 0) return null
    module.stringToUTF8(sql, text, bytes)
    const result = use(module, text)
    module._free(text)
    if (module.HEAPU8.length > MAX_HEAP) replace()
    return result
  } catch {
    // Too deep for the stack, or out of memory: what the module holds now, nobody knows.
    replace()
    return null
  }
}

function replace(): void {
  modules.shift()
  loadParser().catch(() => {})
}
