import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type PostgresSubjectKeys, postgresSubjectKeys, type SubjectKeys } from '@killick/sdk/sealing'
import pg from 'pg'
import { onTestFinished } from 'vitest'
import { createDatabase, queryAsOwner } from '../../support/postgres.ts'

/** A folder of the test's own. */
export function folderOf(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `killick-${name}-`))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A store of keys in a database of its own, as a configuration names it, and opened for the test itself. */
export async function keysInDatabase(): Promise<{
  /** The member `keys`. */
  settings: { databaseFile: string; secretFile: string }
  keys: PostgresSubjectKeys
  /** Nobody can reach the store from now on, or everybody again. */
  reach(isReachable: boolean): Promise<void>
}> {
  const folder = folderOf('keys')
  const secret = randomBytes(32)
  const url = await createDatabase()
  const settings = { databaseFile: join(folder, 'url'), secretFile: join(folder, 'secret') }
  writeFileSync(settings.databaseFile, `${url}\n`)
  writeFileSync(settings.secretFile, `${secret.toString('base64')}\n`)
  const pool = new pg.Pool({ connectionString: url, max: 1 })
  pool.on('error', () => {})
  onTestFinished(() => pool.end())
  const { pathname } = new URL(url)
  const name = pathname.slice(1)
  const other = Object.assign(new URL(url), { pathname: '/postgres' }).href
  return {
    settings,
    keys: postgresSubjectKeys(pool, { secret }),
    async reach(isReachable) {
      await queryAsOwner(other, `alter database ${name} allow_connections ${isReachable}`)
      if (!isReachable)
        await queryAsOwner(other, 'select pg_terminate_backend(pid, 20000) from pg_stat_activity where datname = $1', [
          name,
        ])
    },
  }
}

export async function erase(keys: SubjectKeys, subject: { type: string; id: string }): Promise<void> {
  await keys.erase([{ id: await keys.idOf(subject), at: new Date().toISOString(), event: null }])
}

/** Which of these words are in the spool and the state of a recorder, as they are or in base64url. */
export function wordsIn(folder: string, words: readonly string[]): string[] {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.startsWith('spool'))
    .map((name) => join(folder, name))
    .filter((file) => statSync(file).isFile())
  const bytes = Buffer.concat(files.map((file) => readFileSync(file)))
  // What stands between other bytes has one of three spellings.
  const spellings = (word: string): string[] =>
    [0, 1, 2].map((at) => {
      const text = Buffer.from(`${' '.repeat(at)}${word}`).toString('base64url')
      return text.slice(Math.ceil((at * 8) / 6), Math.floor(((at + word.length) * 8) / 6))
    })
  return words.filter((word) => [word, ...spellings(word)].some((each) => bytes.includes(each)))
}
