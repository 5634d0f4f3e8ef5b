// `npm run docs`: the API reference of @killick/sdk, one module per entry, as HTML in docs/api/. It fails on an exported name
// without a docstring, and on a type that an exported one needs and that is not exported itself.
//
// typedoc reads TypeScript up to version 6, so that it has a package of its own in scripts/docs, with its own lock file,
// installed at the first run.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('docs', import.meta.url))
const typedoc = join(folder, 'node_modules/typedoc/bin/typedoc')

try {
  if (!existsSync(typedoc)) {
    const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
    execFileSync(npm, ['ci', '--no-audit', '--no-fund'], { cwd: folder, stdio: 'inherit' })
  }
  execFileSync(process.execPath, [typedoc, '--options', join(folder, 'typedoc.json')], { stdio: 'inherit' })
} catch (error) {
  // The program that failed has printed why.
  process.exitCode = (error as { status?: number | null }).status || 1
}
