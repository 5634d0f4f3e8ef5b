// `killick replay`: plays a recorded session, step by step, and says the hash of what it played.
import { readFileSync } from 'node:fs'
import type { Api } from '../../audit/api.ts'
import { KillickError } from '../../core/errors.ts'
import { accessOf, openAccess } from '../access.ts'
import { type Command, EXIT, readArgs, UsageError } from '../command.ts'
import { inputError } from '../input.ts'
import { readPins } from '../pins.ts'
import { REPLAY } from '../table/replay.ts'
import { count, err, outDrained, paint } from '../terminal.ts'
import { lookBetween } from './between.ts'
import { listSession, oldestFirst, type Pages } from './list.ts'
import { Pace, speedOf } from './pace.ts'
import { Played } from './played.ts'
import { gapJson, gapLine, head, stepJson, stepLine } from './print.ts'
import { type ProveStep, provenByProof, provenByWord, withProofs } from './proofs.ts'
import type { SessionRow } from './rows.ts'
import { Scan, type StreamPart } from './scan.ts'
import { Screen } from './screen.ts'

export const replay: Command = {
  run: async (args) => {
    const given = readArgs(REPLAY, args)
    const { values, positionals } = given
    const session = positionals[0]!.trim()
    if (session === '') throw new UsageError('The name of the session is empty')
    const speed = speedOf(values.speed, process.stdout.isTTY === true && !values.json)
    const { terminal, cast, json } = values
    if (cast !== undefined && !terminal) throw new UsageError('--cast is for --terminal')
    if (terminal && json) throw new UsageError('--terminal and --json exclude each other')
    const screen = terminal ? new Screen(cast === undefined ? null : readCast(cast)) : null
    const pins = values.verify ? readPins(given) : null
    const api = openAccess(accessOf(REPLAY, given))
    const scan = new Scan()
    const pages = await listSession(api, { session, source: values.source, stream: values.stream }, (row) =>
      scan.take(row),
    )
    const parts = chosen(scan, session)
    const whole = values.stream === undefined ? scan : await scanWhole(api, session, parts[0]!.source)
    const prove = pins === null ? await provenByWord(api) : await provenByProof(api, pins)
    const pace = new Pace(speed)
    const played = new Played(session, parts, whole, pins !== null)
    try {
      for (const part of parts) {
        // A part that is one of several has pages of its own: so it is played whole, and no other is kept in memory.
        const own = parts.length === 1 ? pages : await listSession(api, { session, ...part }, () => {})
        await playPart({ api, session, part, pages: own, prove, pace, played, screen, asJson: json })
        if (pace.isStopped) break
      }
    } finally {
      pace.close()
      screen?.leave()
    }
    if (screen !== null) return reported(screen, played, pace.isStopped)
    await outDrained(json ? played.json(pace.isStopped) : played.report(pace.isStopped))
    return pace.isStopped ? EXIT.interrupted : played.exit
  },
}

function readCast(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw inputError(error, path)
  }
}

/** Ends what was played of a terminal. @throws UsageError where nothing but hashes was there */
function reported(screen: Screen, played: Played, isStopped: boolean): number {
  if (!isStopped) screen.check()
  err(played.report(isStopped))
  for (const fault of screen.faults) err(paint('red', fault, process.stderr))
  if (screen.absent > 0)
    err(
      `${count(screen.absent, 'chunk')} ${screen.absent === 1 ? 'was' : 'were'} not played: the events hold their hashes alone.`,
    )
  err(`${count(screen.chunks, 'chunk')} of what the terminal showed played, each as its hash says.`)
  if (isStopped) return EXIT.interrupted
  return screen.faults.length + screen.absent > 0 ? EXIT.failed : played.exit
}

/** All streams of a session: what began in one, another process of the same source may have ended in its own. */
async function scanWhole(api: Api, session: string, source: string): Promise<Scan> {
  const scan = new Scan()
  await listSession(api, { session, source }, (row) => scan.take(row))
  return scan
}

/** The streams to play. @throws KillickError `session_unknown`, `session_ambiguous` */
function chosen(scan: Scan, session: string): StreamPart[] {
  const parts = scan.parts()
  if (!scan.isNamed)
    throw new KillickError(
      'session_unknown',
      `No event is found that names a session ${session}; those that were dropped, or whose targets are sealed, were erased or have expired, never are. killick search --action mcp.session.start lists the sessions of a recorder`,
      { session },
    )
  const sources = new Set(parts.map(({ source }) => source))
  if (sources.size > 1) {
    const found = parts.map(({ source, stream, steps }) => ({ source, stream, steps }))
    const list = [...sources].join(', ')
    throw new KillickError(
      'session_ambiguous',
      `Several sources have events of a session ${session}: choose one with --source, of ${list}`,
      { session, found },
    )
  }
  return parts
}

type Part = {
  readonly api: Api
  readonly session: string
  readonly part: StreamPart
  readonly pages: Pages
  readonly prove: ProveStep
  readonly pace: Pace
  readonly played: Played
  /** Shows what the terminal showed, in place of the steps; null: the steps are told. */
  readonly screen: Screen | null
  readonly asJson: boolean
}

async function playPart({ api, session, part, pages, prove, pace, played, screen, asJson }: Part): Promise<void> {
  if (!asJson && screen === null) await outDrained(head(session, part))
  const width = String(played.steps + part.steps).length
  let before: SessionRow | null = null
  const steps = withProofs(oldestFirst(api, pages, session), prove)
  for (;;) {
    const next = await pace.orStop(steps.next())
    if (next === null || next.done) return
    const { row, proof } = next.value
    const between = await pace.orStop(lookBetween(before, row, session, played.isVerifying ? api : null))
    if (between === null) return
    if (screen !== null) {
      played.between(between)
      played.take(row, proof, part)
      before = row
      for (const frame of row.event === null ? [] : screen.take(row.event)) {
        await pace.until(frame.time * 1000)
        if (pace.isStopped) return
        await screen.show(frame)
      }
      continue
    }
    await pace.until(row.event?.time ?? null)
    if (pace.isStopped) return
    played.between(between)
    for (const gap of between.gaps) await outDrained(asJson ? gapJson(gap, part) : gapLine(gap, width))
    const numbered = played.take(row, proof, part)
    await outDrained(asJson ? stepJson(numbered) : stepLine(numbered, width))
    before = row
  }
}
