// Opens the store of subjects' keys that a configuration names.
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import type { SubjectKeys } from '@killick/sdk/sealing'
import { GatewayStartError } from '../errors.ts'
import type { SealedSettings } from './settings.ts'

/** A store that is open. */
export type OpenedKeys = { readonly keys: SubjectKeys; close(): Promise<void> }

const SECRET_BYTES = 32
/** Connections to the database of keys: each event reads one row. */
const CONNECTIONS = 4

/** @throws GatewayStartError where what the configuration names cannot be opened; a database need not be reachable */
export async function openSubjectKeys({ keys, timeoutMs }: SealedSettings): Promise<OpenedKeys> {
  if ('module' in keys) return { keys: await keysIn(keys.module), close: async () => {} }
  if ('database' in keys) {
    const url = keys.isFile ? textOf(keys.database).trim() : keys.database
    return openDatabase(url, secretOf(keys.secretFile), timeoutMs)
  }
  const { folderSubjectKeys } = await import('@killick/sdk/sealing')
  const secret = keys.secretFile === null ? {} : { secret: secretOf(keys.secretFile) }
  const opened = await folderSubjectKeys(keys.folder, secret).catch((error: Error) => fail(keys.folder, error.message))
  return { keys: opened, close: async () => {} }
}

async function openDatabase(url: string, secret: Uint8Array, timeoutMs: number): Promise<OpenedKeys> {
  const { default: pg } = await import('pg')
  const { postgresSubjectKeys } = await import('@killick/sdk/sealing')
  const pool = new pg.Pool({
    ...{ connectionString: url, max: CONNECTIONS },
    ...{ connectionTimeoutMillis: timeoutMs, query_timeout: timeoutMs },
  })
  // The next event that needs the store says it.
  pool.on('error', () => {})
  const store = postgresSubjectKeys(pool, { secret })
  let table: Promise<void> | null = null
  const withTable = async (): Promise<void> => {
    const { rows } = await pool.query("select to_regclass('killick_subject_keys') is not null as found")
    if (!rows[0].found) await store.createTable()
  }
  const ready = (): Promise<void> => {
    table ??= withTable().catch((error) => {
      table = null
      throw error
    })
    return table
  }
  return {
    keys: {
      ...store,
      async toSeal(subject) {
        await ready()
        return store.toSeal(subject)
      },
    },
    close: () => pool.end(),
  }
}

async function keysIn(module: string): Promise<SubjectKeys> {
  const { default: keys } = (await import(pathToFileURL(module).href).catch((error: Error) =>
    fail(module, error.message),
  )) as { default?: Partial<SubjectKeys> }
  if (typeof keys?.toSeal !== 'function') return fail(module, 'it has no store of keys as its default export')
  return keys as SubjectKeys
}

function secretOf(file: string): Uint8Array {
  const bytes = new Uint8Array(readBytes(file))
  if (bytes.length === SECRET_BYTES) return bytes
  const text = Buffer.from(bytes).toString('latin1').trim()
  const decoded = /^[0-9a-f]{64}$/i.test(text) ? Buffer.from(text, 'hex') : Buffer.from(text, 'base64')
  if (!/^[\w+/-]+=*$/.test(text) || decoded.length !== SECRET_BYTES)
    fail(file, `it must hold ${SECRET_BYTES} bytes, as they are, in hex or in base64`)
  return new Uint8Array(decoded)
}

const textOf = (file: string): string => readBytes(file).toString('utf8')

function readBytes(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    return fail(file, (error as Error).message)
  }
}

function fail(file: string, why: string): never {
  throw new GatewayStartError('gateway_start_failed', `sealed.keys: ${file}: ${why}`)
}
