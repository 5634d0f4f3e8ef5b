import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from './config.ts'
import type { Tokens } from './http/auth.ts'

/** The bearer tokens: configured, or made once and kept in `keys/*.token` of the data folder (0600). */
export async function loadTokens(config: Config): Promise<Tokens> {
  const folder = join(config.dataFolder, 'keys')
  return {
    admin: config.adminToken ?? (await keptToken(folder, 'admin')),
    reader: config.readerToken ?? (await keptToken(folder, 'reader')),
    eraser: config.erasers.length > 0 ? null : (config.eraserToken ?? (await keptToken(folder, 'eraser'))),
    erasers: config.erasers,
  }
}

async function keptToken(folder: string, name: string): Promise<string> {
  const path = join(folder, `${name}.token`)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  try {
    await writeFile(path, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  return (await readFile(path, 'utf8')).trim()
}
