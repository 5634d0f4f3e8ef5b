// Real clients and servers, installed at the first use into cache/, by tools/package.json and its lock file.
import { join } from 'node:path'
import { installCached } from '../../../scripts/lib/install-beside.ts'

/** The folder with the packages in its node_modules; null where they are not here and cannot be had, unless this is CI. */
export function installMcpTools(): string | null {
  const modules = installCached('mcp', join(import.meta.dirname, 'tools'))
  return modules && join(modules, '@modelcontextprotocol')
}
