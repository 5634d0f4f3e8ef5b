// The tools that a server had when they were listed last, in a file of its own for each server.
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { isObject, type JsonObject, type JsonValue } from '@killick/sdk/core'
import { append } from '../sessions/append.ts'
import { hashOf } from '../sessions/disclosed.ts'
import { syncFolder } from '../sessions/open-intents.ts'

/** A server's tools by name, each as the server has described it. */
export type KnownTools = Map<string, JsonObject>

/** Keeps what is known of one server's tools. A write is all or nothing: the file is replaced. */
export class ToolMemory {
  readonly #folder: string
  readonly #file: string
  readonly #server: string

  constructor(folder: string, server: string) {
    this.#folder = folder
    this.#server = server
    this.#file = join(folder, `tools-${hashOf(server).sha256.slice(0, 32)}.json`)
  }

  /** Null if the server is met for the first time. @throws if the file cannot be read or holds something else */
  read(): KnownTools | null {
    let text: string
    try {
      text = readFileSync(this.#file, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw error
    }
    const value = JSON.parse(text) as JsonValue
    if (!isObject(value) || !Array.isArray(value.tools)) throw new Error(`${this.#file} is not a file of this recorder`)
    return new Map(value.tools as [string, JsonObject][])
  }

  write(tools: KnownTools): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    // Two sessions with one server may write at the same time.
    const fresh = `${this.#file}.${process.pid}`
    const handle = openSync(fresh, 'w', 0o600)
    try {
      append(handle, JSON.stringify({ server: this.#server, tools: [...tools] }), 0)
      fsyncSync(handle)
    } finally {
      closeSync(handle)
    }
    renameSync(fresh, this.#file)
    syncFolder(this.#folder)
  }
}
