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

type Side = { readonly place: string; readonly shown: Shown; readonly view: LogView; readonly isRefused: boolean }

async function hold(a: Found, b: Found, vkey: string, services: readonly string[]): Promise<Result> {
  const views: Side[][] = [[], []]
  for (const [i, { place, shown, refused }] of [a, b].entries())
    for (const one of shown) {
      const fault = formFault(one.note)
      if (fault !== null) return { outcome: 'malformed', detail: `${place}: ${fault}`, sides: [], fork: null }
      try {
        views[i]!.push({ place, shown: one, view: openShown(one, vkey), isRefused: one === refused })
      } catch (error) {
        if (!(error instanceof KillickError)) throw error
        return { outcome: 'foreign', detail: `${place}: ${error.message}`, sides: [], fork: null }
      }
    }
  // The largest, which is not the last where a service answered with an older note than before.
  const largest = (side: readonly Side[]): Side =>
    side.reduce((most, one) => (one.view.checkpoint.size >= most.view.checkpoint.size ? one : most))
  const [left, right] = views.map(largest) as [Side, Side]
  const sides = [left, right].map(inWords)
  // Older receipts show roots of smaller sizes, so two spools can contradict each other even if their newest notes do not; and a recorder
  // that has found a fork has kept both histories.
  const roots = new Map<number, { root: Hash; shown: Shown }>()
  for (const { shown, view } of views.flat())
    for (const [size, root] of view.roots) {
      const before = roots.get(size)
      if (before === undefined) roots.set(size, { root, shown })
      else if (!equalBytes(before.root, root)) {
        const detail = `the log of ${size} entries has two roots, both signed`
        const reason = { reason: 'roots', asked: null, answer: null } as const
        return { outcome: 'forked', detail, sides, fork: evidence(reason, before.shown, shown, vkey, services) }
      }
    }
  const newest = largest([left, right])
  // What a recorder took extends what it had taken before; what it took and what it refused nobody has held against each other, so both count.
  const others = views
    .flatMap((side) => [largest(side.filter((one) => !one.isRefused)), ...side.filter((one) => one.isRefused)])
    .filter((one) => one !== left && one !== right)
  const found: Result[] = [{ ...(await lead(left, right, vkey, services)), sides }]
  for (const one of others) {
    const told = await lead(one, newest, vkey, services)
    const detail = `what the recorder of ${one.place} ${one.isRefused ? 'refused' : 'took'}: ${told.detail}`
    found.push({ ...told, detail, sides: told.outcome === 'forked' ? [one, newest].map(inWords) : sides })
  }
  const worst = (['forked', 'undecided'] as const).map((word) => found.find(({ outcome }) => outcome === word))
  return worst.find((each) => each !== undefined) ?? found[0]!
}

const inWords = ({ place, view, isRefused }: Side): string =>
  `${place}${isRefused ? ', refused' : ''}: ${view.checkpoint.origin}, ${view.checkpoint.size.toLocaleString('en')} entries`

const evidence = (
  why: Pick<Fork, 'reason' | 'asked' | 'answer'>,
  known: Shown,
  other: Shown,
  logKey: string,
  services: readonly string[],
): Fork => ({ ...why, found: new Date().toISOString(), url: services[0] ?? '', logKey, known, other })

/** Whether the larger of two logs, of which no root is known to differ, extends the smaller. */
async function lead(a: Side, b: Side, vkey: string, services: readonly string[]): Promise<Omit<Result, 'sides'>> {
  const [from, to] = [a, b].map(({ view }) => view.checkpoint.size).sort((x, y) => x - y) as [number, number]
  if (from === to) return { outcome: 'equal', detail: 'same size, same root', fork: null }
  const asked = `/v1/consistency?from=${from}&to=${to}`
  let wrong: { service: string; answer: string } | null = null
  const silent: string[] = []
  for (const service of services) {
    try {
      const answer = await ask(service, asked)
      const holds = extendsBy(a.view, b.view, pathIn(answer))
      if (holds)
        return {
          outcome: 'consistent',
          detail: `${service} proves that the log of ${to} extends that of ${from}`,
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
    const { service, answer } = wrong
    const detail = `the proof of ${service} does not lead from the log of ${from} entries to that of ${to}`
    return {
      outcome: 'forked',
      detail,
      fork: evidence({ reason: 'consistency', asked, answer }, a.shown, b.shown, vkey, [service]),
    }
  }
  const why = silent[0] ?? 'two sizes alone contradict nothing; --url names the service to ask'
  return { outcome: 'undecided', detail: why, fork: null }
}

function writeEvidence(file: string, fork: Fork): void {
  try {
    writeFileSync(file, printFork(fork), { flag: 'wx' })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new UsageError(code === 'EEXIST' ? `${file} exists already and was not overwritten` : message)
  }
}
