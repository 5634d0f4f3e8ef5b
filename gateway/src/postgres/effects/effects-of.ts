// From a text to what each of its statements does, remembered by the text.
import { type StatementEffect, unknownEffect } from './effect.ts'
import { EffectDraft } from './effect-draft.ts'
import { parse } from './parser.ts'
import { statement } from './statements.ts'

/** Larger texts, in characters, are not looked into: parsing blocks whoever else waits (docs/decisions/0017). */
const MAX_TEXT = 1 << 20

/** How many texts are remembered, of how many characters each and together; in each of two generations. */
const MAX_REMEMBERED = 2_500
const MAX_REMEMBERED_TEXT = 16 << 10
const MAX_REMEMBERED_TEXTS = 4 << 20

/** A full one takes the place of the older one. What is asked for again is in the newer one. */
let [newer, older] = [new Map<string, readonly StatementEffect[]>(), new Map<string, readonly StatementEffect[]>()]
let newerTexts = 0

/**
 * What the statements of a text do, one for each, in order; of a text that holds none an empty list. Never throws. `loadParser()` must have
 * resolved before; else, and for what cannot be parsed, there is one effect, `unparsed`. The text is read as a server with
 * `standard_conforming_strings = on` reads it, in UTF-8: whoever knows of other settings must not believe in `isFullyKnown`.
 */
export function effectsOf(sql: string): readonly StatementEffect[] {
  const known = newer.get(sql)
  if (known !== undefined) return known
  const effects = older.get(sql) ?? find(sql)
  if (sql.length <= MAX_REMEMBERED_TEXT && !effects.some(({ kind }) => kind === 'unparsed')) remember(sql, effects)
  return effects
}

function remember(sql: string, effects: readonly StatementEffect[]): void {
  if (newer.size >= MAX_REMEMBERED || newerTexts >= MAX_REMEMBERED_TEXTS) {
    older = newer
    newer = new Map()
    newerTexts = 0
  }
  newer.set(sql, effects)
  newerTexts += sql.length
}

const UNPARSED = [unknownEffect('unparsed', 'unparsed')]

function find(sql: string): readonly StatementEffect[] {
  if (sql.length > MAX_TEXT) return UNPARSED
  const trees = parse(sql)
  if (trees === null) return UNPARSED
  try {
    let isChanged = false
    return trees.map((tree) => {
      const draft = new EffectDraft()
      statement(tree, null, draft)
      if (isChanged && draft.usesSearchPath) draft.unknown('search_path')
      const effect = draft.effect()
      isChanged ||= mayChangeSearchPath(effect)
      return effect
    })
  } catch (error) {
    // The tree is deeper than the stack. Anything else is a fault of ours, and a statement that nothing is known of all the same.
    if (!(error instanceof RangeError)) queueMicrotask(() => process.emitWarning(error as Error))
    return UNPARSED
  }
}

/** Whether names of later statements may stand for something else: search_path is set, or by a function, for all that is known. */
export function mayChangeSearchPath({ set, unknownWhy }: StatementEffect): boolean {
  return set?.name === 'search_path' || set?.name === 'all' || unknownWhy.some((why) => RUNS.has(why))
}

const RUNS: ReadonlySet<string> = new Set(['unparsed', 'do_block', 'call', 'execute', 'function', 'other'])
