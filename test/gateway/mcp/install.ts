// Real clients and servers, installed at the first use into cache/, by tools/package.json and its lock file.
import { createHash } from 'node:crypto'
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { installBeside } from '../../../scripts/lib/install-beside.ts'

const FILES = ['package.json', 'package-lock.json']

/** The folder with the packages in its node_modules; null where they are not here and cannot be had, unless this is CI. */
export function installMcpTools(): string | null {
  const wanted = createHash('sha256')
  for (const name of FILES) wanted.update(readFileSync(join(import.meta.dirname, 'tools', name)))
  const folder = join(import.meta.dirname, '../../../cache', `mcp-${wanted.digest('hex').slice(0, 12)}`)
  mkdirSync(folder, { recursive: true })
  for (const name of FILES) copyFileSync(join(import.meta.dirname, 'tools', name), join(folder, name))
  try {
    installBeside(folder)
    return join(folder, 'node_modules/@modelcontextprotocol')
  } catch (error) {
    if (process.env.CI) throw error
    return null
  }
}
