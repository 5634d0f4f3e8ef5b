import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Access, accessOf, isOutage } from '../access.ts'
import { type Command, EXIT, integer, readArgs, UsageError } from '../command.ts'
import { queryOf } from '../conditions.ts'
import { EXPORT } from '../table/reading.ts'
import { count, err, progress, text } from '../terminal.ts'
import { askPart, type ExportPart, type PartQuery, retryAfterOf } from './part.ts'
import { type ExportSink, toFile, toStdout } from './sink.ts'

/** Most events of one part, if nobody says otherwise: what is asked for again where a connection breaks. */
const PART_EVENTS = { ndjson: 10_000, csv: 50_000 }
/** What the service gives at most. */
const MAX_PART = 100_000
/** How long is waited before each attempt to get a part of which the attempt before broke off, seconds. */
const WAITS_S = [1, 2, 5, 10, 20, 30, 30, 30]

export const exportEvents: Command = {
  run: async (args) => {
    const given = readArgs(EXPORT, args)
    const { values } = given
    const { format, out: file } = values
    if (format !== 'ndjson' && format !== 'csv') throw new UsageError('--format must be ndjson or csv')
    const part = values.part === undefined ? PART_EVENTS[format] : integer(values.part, 'part', 1, MAX_PART)
    const access = accessOf(EXPORT, given)
    const query = queryOf(values, { format })
    if (file !== undefined && existsSync(file)) throw new UsageError(`${file} exists already and was not overwritten`)
    if (file === undefined && process.stdout.isTTY)
      throw new UsageError(
        'An export is for a file: give --out <file>, or redirect the output (killick search is for reading)',
      )
    const sink = file === undefined ? await toStdout() : await toFile(file, { url: access.url, query })
    const { events: before } = sink.kept
    if (before > 0) err(text`Going on after the ${count(before, 'event')} of an earlier run, in ${sink.name}`)
    try {
      await writeParts(sink, access, { path: `/v1/events/export${query}`, limit: part, format })
    } catch (error) {
      const { events } = sink.kept
      if (await sink.leave()) err(text`${sink.name} has ${count(events, 'event')}: the same command goes on after them`)
      throw error
    }
    const { events } = sink.kept
    await sink.done()
    err(text`${count(events, 'event')} exported${file === undefined ? '' : text` to ${file}`}`)
    return EXIT.ok
  },
}

/** Asks for one part after another until nothing follows. @throws KillickError */
async function writeParts(sink: ExportSink, access: Access, asked: Omit<PartQuery, 'cursor' | 'id'>): Promise<void> {
  let written = 0
  const shown = progress(() => `${count(sink.kept.events + written, 'event')} written`)
  const onEvents = (events: number) => {
    written = events
    shown.step()
  }
  /** Whether the service has answered this run: a wrong address is told at once. */
  let hasAnswered = false
  try {
    for (let attempt = 0; sink.kept.next !== 'end'; ) {
      let part: ExportPart
      try {
        await sink.rewind()
        const { next: cursor, export: id } = sink.kept
        part = await askPart(access, { ...asked, cursor, id }, sink.write, onEvents, () => {
          hasAnswered = true
        })
      } catch (error) {
        const wait = retryAfterOf(error) ?? (hasAnswered && isOutage(error) ? WAITS_S[attempt] : undefined)
        if (wait === undefined || attempt === WAITS_S.length) throw error
        attempt += 1
        shown.done()
        err(text`${(error as Error).message}. Asking again in ${count(wait, 'second')}`)
        await sleep(1000 * wait)
        continue
      }
      const events = sink.kept.events + part.events
      written = 0
      await sink.keep({ next: part.next, export: part.export, events })
      attempt = 0
    }
  } finally {
    shown.done()
  }
}
