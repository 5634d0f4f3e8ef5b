// What the tool lists of a session become: an event for each page, and one for each tool that is described otherwise than before.
import type { JsonObject, JsonValue } from '@killick/sdk/core'
import { type Disclosed, disclosed, hashOf } from '../sessions/disclosed.ts'
import type { SessionRecording } from '../sessions/recording.ts'
import type { McpConfig } from './config.ts'
import type { McpFacts } from './events.ts'
import type { Direction } from './message.ts'
import type { ToolMemory } from './tool-memory.ts'
import { type ToolChange, ToolWatch } from './tools.ts'

/** Records the tool lists of one session, and remembers them for the next. */
export class ToolLists {
  readonly #config: McpConfig
  readonly #recording: SessionRecording<McpFacts>
  readonly #memory: ToolMemory
  readonly #say: (text: string) => void
  #watch: ToolWatch | null = null
  /** Whether the watch knows what the memory does not. */
  #isForgotten = false

  constructor(parts: {
    config: McpConfig
    recording: SessionRecording<McpFacts>
    memory: ToolMemory
    say: (text: string) => void
  }) {
    this.#config = parts.config
    this.#recording = parts.recording
    this.#memory = parts.memory
    this.#say = parts.say
  }

  /** Takes a page of the list, as the server has answered. */
  listed(params: JsonObject, result: JsonObject, line: Buffer, direction: Direction): void {
    try {
      this.#watch ??= new ToolWatch(this.#remembered())
      const page = this.#watch.page(params.cursor, result)
      if (page === null) return
      const { tools, isFirst, isLast, changes } = page
      const known: JsonObject = {
        tools,
        isFirst,
        isLast,
        changes: changes.length,
        ...hashOf(JSON.stringify(result.tools)),
      }
      this.#recording.record({ action: 'tools.list', direction, known, message: line }).catch(() => {})
      for (const change of changes) this.#changed(change, direction)
      this.#isForgotten ||= isFirst || changes.length > 0
      if (isLast && this.#isForgotten) {
        this.#memory.write(this.#watch.known)
        this.#isForgotten = false
      }
    } catch (error) {
      this.#say(`the list of tools could not be compared or remembered: ${(error as Error).message}`)
    }
  }

  #remembered() {
    try {
      return this.#memory.read()
    } catch (error) {
      this.#say(
        `what is remembered of the server's tools cannot be read, so changes since then are not seen: ${(error as Error).message}`,
      )
      return null
    }
  }

  #changed({ tool, kind, names, before, after }: ToolChange, direction: Direction): void {
    // Twice two large members must fit into one event.
    const most = Math.min(this.#config.limits.discloseBytes, 16 << 10)
    const side = (value: JsonValue | undefined): JsonValue | undefined => {
      if (value === undefined) return undefined
      const shown: Disclosed = disclosed(value, most)
      return 'value' in shown ? shown.value : { omitted: shown.omitted }
    }
    const changes =
      kind === 'changed'
        ? names
            .slice(0, 4)
            .map((name) => ({ path: `/${name}`, before: side(before![name]), after: side(after![name]) }))
        : [
            {
              path: '',
              before: before === null ? undefined : side(before),
              after: after === null ? undefined : side(after),
            },
          ]
    const known: JsonObject = {
      ...{ change: kind, members: [...names] },
      ...(before !== null && { before: hashOf(JSON.stringify(before)) }),
      ...(after !== null && { after: hashOf(JSON.stringify(after)) }),
    }
    const target = { type: 'mcp-tool', id: tool }
    this.#recording.record({ action: 'tools.change', direction, target, changes, known }).catch(() => {})
  }
}
