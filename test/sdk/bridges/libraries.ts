// The libraries that the bridges lead to: installed at the first use, by test/bridges/package.json and its lock file.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { installBeside } from '../../../scripts/lib/install-beside.ts'

/** Where the libraries are installed. */
export const folder = fileURLToPath(new URL('../../bridges', import.meta.url))

/** One of the libraries, as an application requires it. They are not there when types are checked. */
export function library<T>(name: string): T {
  installBeside(folder)
  return createRequire(join(folder, 'package.json'))(name) as T
}
