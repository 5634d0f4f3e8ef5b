import { writeFileSync } from 'node:fs'
import { equalBytes } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { extendsBy, type Fork, type LogView, openShown, pathIn, printFork, type Shown } from '../core/fork.ts'
import type { Hash } from '../core/hash.ts'
import { isObject, parseJson } from '../core/json.ts'
import { parseNote, parseVkey } from '../core/note.ts'
import { type Command, EXIT, type Origin, readArgs, UsageError } from './command.ts'
import { readLogKey } from './pins.ts'
import { ask, type Found, findShown } from './shown.ts'
import { COMPARE } from './table/checking.ts'
import { json, lines, out, paint } from './terminal.ts'

export const compare: Command = {
  run: async (args) => {
    const { values, positionals, from } = readArgs(COMPARE, args)
    const given = values['log-key'] === undefined ? null : readLogKey(values['log-key'])
    const a = await findShown(positionals[0]!)
    const b = await findShown(positionals[1]!)
    const services = [...new Set([b.service, a.service, values.url ?? null])].filter((url) => url !== null)
    const key = await keyFor(given, from['log-key'], [a, b], services)
    const result = await hold(a, b, key.vkey, services)
    if (result.fork && values.out !== undefined) writeEvidence(values.out, result.fork)
    const { fork, ...told } = result
    if (values.json) out(json({ ...told, logKey: key.vkey, keyFrom: key.from, fork }))
    else {
      const [colour, word] = WORDS[result.outcome]
      const kept = values.out === undefined ? 'Keep the evidence: --out <file>' : `Evidence: ${values.out}`
      out(
        lines([
          paint(['bold', colour], `${word}: ${result.detail}`),
          ...result.sides,
          `The log's key: ${key.vkey}, ${key.from}`,
          ...(fork ? [kept] : []),
        ]),
      )
    }
    return {
      equal: EXIT.ok,
      consistent: EXIT.ok,
      forked: EXIT.failed,
      foreign: EXIT.failed,
      malformed: EXIT.failed,
      undecided: EXIT.undecided,
    }[result.outcome]
  },
}

const WORDS = {
  equal: ['green', 'EQUAL'],
  consistent: ['green', 'CONSISTENT'],
  forked: ['red', 'FORKED'],
  foreign: ['red', 'NOT SIGNED BY THE LOG'],
  malformed: ['red', 'NOT A NOTE'],
  undecided: ['yellow', 'UNDECIDED'],
} as const

type Result = {
  outcome: keyof typeof WORDS
  detail: string
  /** What each side is, in words. */
  sides: string[]
  fork: Fork | null
}

/** The key for opening both, and on whose word. */
async function keyFor(
  given: string | null,
  origin: Origin | undefined,
  found: readonly Found[],
  services: readonly string[],
): Promise<{ vkey: string; from: string }> {
  if (given) return { vkey: given, from: origin === 'config' ? 'pinned in killick.json' : 'pinned by you' }
  const spool = found.find(({ logKey }) => logKey !== null)
  if (spool) return { vkey: spool.logKey!, from: `as the recorder of ${spool.place} has it` }
  if (services[0] === undefined)
    throw new UsageError('--log-key is missing, and there is neither a spool nor a service to name the log’s key')
  const answer = parseJson(await ask(services[0], '/v1/log'))
  const vkey = isObject(answer) ? String(answer.vkey) : ''
  parseVkey(vkey)
  return { vkey, from: `on the word of ${services[0]}` }
}

/** Why a text is no note, so that whether the log has signed it is no question; null if it is one. */
function formFault(note: string): string | null {
  if (note.trim() === '') return 'it is empty'
  if (note.startsWith('\ufeff')) return 'it begins with a byte order mark: an editor has put that there'
  // The signature is over LF alone.
  if (note.includes('\r\n')) return 'its lines end in CR LF, and those of a note in LF: it was changed on its way here'
  try {
    parseNote(note)
    return null
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    return error.message
  }
}

async function hold(a: Found, b: Found, vkey: string, services: readonly string[]): Promise<Result> {
  const views: { place: string; shown: Shown; view: LogView }[][] = [[], []]
  for (const [i, { place, shown }] of [a, b].entries())
    for (const one of shown) {
      const fault = formFault(one.note)
      if (fault !== null) return { outcome: 'malformed', detail: `${place}: ${fault}`, sides: [], fork: null }
      try {
        views[i]!.push({ place, shown: one, view: openShown(one, vkey) })
      } catch (error) {
        if (!(error instanceof KillickError)) throw error
        return { outcome: 'foreign', detail: `${place}: ${error.message}`, sides: [], fork: null }
      }
    }
  // The largest, which is not the last where a service answered with an older note than before.
  const [left, right] = views.map((side) =>
    side.reduce((most, one) => (one.view.checkpoint.size >= most.view.checkpoint.size ? one : most)),
  ) as [(typeof views)[0][0], (typeof views)[0][0]]
  const sides = [left, right].map(
    ({ place, view }) => `${place}: ${view.checkpoint.origin}, ${view.checkpoint.size.toLocaleString('en')} entries`,
  )
  const evidence = (
    reason: Fork['reason'],
    one: Shown,
    two: Shown,
    asked: string | null,
    answer: string | null,
  ): Fork => ({
    ...{ reason, found: new Date().toISOString(), url: services[0] ?? '', logKey: vkey },
    ...{ known: one, other: two, asked, answer },
  })
  // Older receipts show roots of smaller sizes, so two spools can contradict each other even if their newest notes do not; and a recorder
  // that has found a fork has kept both histories.
  const roots = new Map<number, { root: Hash; shown: Shown }>()
  for (const { shown, view } of views.flat())
    for (const [size, root] of view.roots) {
      const before = roots.get(size)
      if (before === undefined) roots.set(size, { root, shown })
      else if (!equalBytes(before.root, root)) {
        const detail = `the log of ${size} entries has two roots, both signed`
        return { outcome: 'forked', detail, sides, fork: evidence('roots', before.shown, shown, null, null) }
      }
    }
  const [from, to] = [left, right].map(({ view }) => view.checkpoint.size).sort((x, y) => x - y) as [number, number]
  if (from === to) return { outcome: 'equal', detail: 'same size, same root', sides, fork: null }
  const asked = `/v1/consistency?from=${from}&to=${to}`
  let wrong: { service: string; answer: string } | null = null
  const silent: string[] = []
  for (const service of services) {
    try {
      const answer = await ask(service, asked)
      const holds = extendsBy(left.view, right.view, pathIn(answer))
      if (holds)
        return {
          outcome: 'consistent',
          detail: `${service} proves that the log of ${to} extends that of ${from}`,
          sides,
          fork: null,
        }
      if (holds === null) silent.push(`${service} answers ${asked} with something else`)
      else wrong ??= { service, answer }
    } catch (error) {
      if (!(error instanceof KillickError)) throw error
      silent.push(error.message)
    }
  }
  if (wrong) {
    const detail = `the proof of ${wrong.service} does not lead from the log of ${from} entries to that of ${to}`
    const fork = { ...evidence('consistency', left.shown, right.shown, asked, wrong.answer), url: wrong.service }
    return { outcome: 'forked', detail, sides, fork }
  }
  const why = silent[0] ?? 'two sizes alone contradict nothing; --url names the service to ask'
  return { outcome: 'undecided', detail: why, sides, fork: null }
}

function writeEvidence(file: string, fork: Fork): void {
  try {
    writeFileSync(file, printFork(fork), { flag: 'wx' })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new UsageError(code === 'EEXIST' ? `${file} exists already and was not overwritten` : message)
  }
}
