// What a server's list of tools says now, beside what it said before.
import { isObject, type JsonObject, type JsonValue } from '@killick/sdk/core'
import type { KnownTools } from './tool-memory.ts'

/** A tool that is new, gone, or described otherwise than before. `names` are the members of its description that differ. */
export type ToolChange = {
  readonly tool: string
  readonly kind: 'added' | 'removed' | 'changed'
  readonly names: readonly string[]
  readonly before: JsonObject | null
  readonly after: JsonObject | null
}

/** What a page of the list comes to. */
export type ToolPage = {
  readonly tools: number
  /** Whether nothing was known of this server. */
  readonly isFirst: boolean
  /** Whether it was the list's last page. */
  readonly isLast: boolean
  readonly changes: readonly ToolChange[]
}

/** Follows the lists of one session, page by page. */
export class ToolWatch {
  #known: KnownTools | null
  /** Names on the pages of the list that is under way; null: none is, or it did not begin with its first page. */
  #listed: Set<string> | null = null
  #next: JsonValue | undefined

  /** @param known what the last session has left; null for a server that is met for the first time */
  constructor(known: KnownTools | null) {
    this.#known = known
  }

  get known(): KnownTools {
    return this.#known ?? new Map()
  }

  /** @param cursor of the request; undefined for the first page */
  page(cursor: JsonValue | undefined, result: JsonObject): ToolPage | null {
    if (!Array.isArray(result.tools)) return null
    const isFirst = this.#known === null || this.#isBeginning
    if (cursor === undefined) this.#listed = new Set()
    else if (cursor !== this.#next) this.#listed = null
    this.#known ??= new Map()
    this.#isBeginning = isFirst && result.nextCursor !== undefined
    const changes: ToolChange[] = []
    for (const tool of result.tools) {
      if (!isObject(tool) || typeof tool.name !== 'string') continue
      this.#listed?.add(tool.name)
      const change = changeOf(tool.name, this.#known.get(tool.name) ?? null, tool)
      if (change !== null && !isFirst) changes.push(change)
      this.#known.set(tool.name, tool)
    }
    this.#next = result.nextCursor
    const isLast = result.nextCursor === undefined
    if (isLast && this.#listed !== null) {
      for (const [name, before] of this.#known) {
        if (this.#listed.has(name)) continue
        changes.push({ tool: name, kind: 'removed', names: [], before, after: null })
        this.#known.delete(name)
      }
    }
    return { tools: result.tools.length, isFirst, isLast, changes }
  }

  /** Whether the pages of a first list are still coming: what is on them is not new. */
  #isBeginning = false
}

function changeOf(tool: string, before: JsonObject | null, after: JsonObject): ToolChange | null {
  if (before === null) return { tool, kind: 'added', names: [], before, after }
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
    (name) => name !== '_meta' && JSON.stringify(before[name]) !== JSON.stringify(after[name]),
  )
  return names.length === 0 ? null : { tool, kind: 'changed', names, before, after }
}
