import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Programs that suites of this repository need beside Node, and what installs each on Debian. */
export const TOOLS = {
  'redis-server': { names: ['redis-server'], install: 'apt-get install redis-server' },
  chromium: { names: ['chromium', 'chromium-browser', 'google-chrome'], install: 'apt-get install chromium' },
} as const

/** The path of the first program of these names on the PATH, or null. */
export function findTool(tool: keyof typeof TOOLS): string | null {
  for (const name of TOOLS[tool].names) {
    for (const folder of (process.env.PATH ?? '').split(delimiter)) {
      const path = join(folder, name)
      try {
        accessSync(path, constants.X_OK)
        return path
      } catch {}
    }
  }
  return null
}
