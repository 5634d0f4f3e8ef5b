// The size of an export in a web page: bundled, minified, gzipped; the budget is in sdk/size-budget.json. The bundle is for browsers,
// so an import of node: anywhere below the export fails here too.
//
//   node scripts/size.ts
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))

/** @returns Bytes of the minified ES module, plain and gzipped. */
export async function sizeOf(specifier: string): Promise<{ minified: number; gzipped: number }> {
  const { outputFiles } = await build({
    stdin: { contents: `export * from ${JSON.stringify(specifier)}`, resolveDir: root },
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    logLevel: 'error',
  })
  const bundle = outputFiles[0]!.contents
  return { minified: bundle.length, gzipped: gzipSync(bundle, { level: 9 }).length }
}

if (import.meta.main) {
  const budgets = JSON.parse(readFileSync(new URL('../sdk/size-budget.json', import.meta.url), 'utf8')) as Record<
    string,
    number
  >
  const lines: string[] = []
  for (const [specifier, budget] of Object.entries(budgets)) {
    const { minified, gzipped } = await sizeOf(specifier)
    lines.push(`${specifier}: ${gzipped} of ${budget} bytes gzipped (${minified} minified)`)
    if (gzipped > budget) process.exitCode = 1
  }
  console.log(lines.join('\n'))
}
