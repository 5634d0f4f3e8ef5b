// In observe mode: what only reads, and has ended well, as one event for several statements of a session. To sign each would take more
// time than to pass it on.
import type { JsonObject, JsonValue } from '@killick/sdk/core'
import { type SessionRecording, untilNext } from '../sessions/recording.ts'
import type { PostgresFacts } from './events.ts'
import { shownEffects } from './sql-text.ts'
import type { Work } from './work.ts'

/** Statements of one event, characters of their texts and parameters, and how long the first of them waits for others, ms. */
const MAX_STATEMENTS = 128
const MAX_CHARACTERS = 12_000
const SHARED_MS = 100

export class ObservedReads {
  readonly #recording: SessionRecording<PostgresFacts>
  /** Each text once, with its number. */
  readonly #texts = new Map<string, number>()
  #does: JsonValue[] = []
  #targets = new Map<string, NonNullable<PostgresFacts['targets']>[number]>()
  #entries: JsonObject[] = []
  #parameters: JsonValue[] = []
  #hasParameters = false
  #characters = 0
  #first = 0
  /** Who asked for them. */
  #who: Work['who'] | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(recording: SessionRecording<PostgresFacts>) {
    this.#recording = recording
  }

  /** @param shown how it ended */
  take({ observed, sent, who }: Work, shown: JsonObject): void {
    if (this.#who !== who) this.flush()
    this.#who = who
    const { text, parameters = null, effects } = observed!
    let number = this.#texts.get(text)
    let characters = parameters === null ? 0 : JSON.stringify(parameters).length
    if (number === undefined) characters += text.length
    if (this.#characters + characters > MAX_CHARACTERS) {
      this.flush()
      if (number !== undefined) characters += text.length
      number = undefined
    }
    if (this.#entries.length === 0) this.#first = sent
    if (number === undefined) {
      number = this.#texts.size
      this.#texts.set(text, number)
      const shown = shownEffects(effects)
      this.#does.push(shown.effects.effects!)
      for (const target of shown.tables) this.#targets.set(target.id, target)
    }
    this.#characters += characters
    this.#hasParameters ||= parameters !== null
    this.#parameters.push(parameters)
    this.#entries.push(Object.assign(shown, { text: number, at: Math.round((sent - this.#first) * 1_000) / 1_000 }))
    if (this.#entries.length >= MAX_STATEMENTS) this.flush()
    else this.#timer ??= setTimeout(() => this.flush(), untilNext(SHARED_MS))
  }

  /** Records at once what waits. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#entries.length === 0) return
    this.#recording
      .record({
        action: 'statements',
        who: this.#who,
        outcome: 'success',
        targets: [...this.#targets.values()].slice(0, 100),
        statement: [...this.#texts.keys()],
        ...(this.#hasParameters && { parameters: this.#parameters }),
        known: {
          kind: 'outcome',
          state: 'answered',
          isFullyKnown: true,
          effects: this.#does,
          statements: this.#entries,
        },
      })
      .catch(() => {})
    this.#texts.clear()
    this.#targets.clear()
    this.#does = []
    this.#entries = []
    this.#parameters = []
    this.#hasParameters = false
    this.#characters = 0
  }
}
