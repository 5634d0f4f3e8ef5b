import { randomBytes } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from './config.ts'
import { StartError } from './errors.ts'
import type { Tokens } from './http/auth.ts'
import { makeOnce } from './whole-file.ts'

/** The bearer tokens: configured, or made once and kept in `keys/*.token` of the data folder (0600). @throws StartError */
export async function loadTokens(config: Config): Promise<Tokens> {
  const folder = join(config.dataFolder, 'keys')
  const tokens = {
    admin: config.adminToken ?? (await keptToken(folder, 'admin')),
    reader: config.readerToken ?? (await keptToken(folder, 'reader')),
    eraser: config.erasers.length > 0 ? null : (config.eraserToken ?? (await keptToken(folder, 'eraser'))),
    erasers: config.erasers,
  }
  refuseSame(tokens)
  return tokens
}

/** Who was given the reader's token would be the administrator, and nobody could erase. @throws StartError */
function refuseSame({ admin, reader, eraser, erasers }: Tokens): void {
  const named = new Map<string, string>()
  const whose = [
    ['KILLICK_ADMIN_TOKEN', admin],
    ['KILLICK_READER_TOKEN', reader],
    ...(eraser === null ? [] : [['KILLICK_ERASER_TOKEN', eraser] as const]),
    ...erasers.map(({ name, token }) => [`that of ${name} in KILLICK_ERASERS`, token] as const),
  ] as const
  for (const [name, token] of whose) {
    const other = named.get(token)
    if (other !== undefined)
      throw new StartError(
        `${other} and ${name} are the same, and each must open what it is for alone. Give each a token of its own.`,
      )
    named.set(token, name)
  }
}

async function keptToken(folder: string, name: string): Promise<string> {
  const path = join(folder, `${name}.token`)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const token = (await readOrMake(path)).trim()
  // With an empty one, whoever gives none would be let in.
  if (token !== '') return token
  throw new StartError(`The file ${path} holds no token. Remove it, and a new one is made.`)
}

function readOrMake(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    return makeOnce(path, `${randomBytes(24).toString('base64url')}\n`)
  })
}
