import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { fromUtf8 } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { problemError, unreachable } from '../core/problem.ts'
import { addressOf, readAnswer, request } from '../http/request.ts'
import { type Access, accessOf } from './access.ts'
import { type Command, EXIT, readArgs, UsageError } from './command.ts'
import { queryOf } from './conditions.ts'
import { inputError } from './input.ts'
import { EXPORT } from './table/reading.ts'
import { count, err, progress } from './terminal.ts'

/** Most events that the service gives in one export. */
const MOST = { ndjson: 10_000, csv: 100_000 }
/** The whole export; a service that says nothing for as long as SILENCE_MS is given up earlier. */
const TIMEOUT_MS = 4 * 3_600_000
const SILENCE_MS = 60_000
const MAX_PROBLEM_BYTES = 64 << 10
/** An event is in its line twice, with a proof of at most 1 MiB. */
const MAX_LINE_BYTES = 4 << 20

export const exportEvents: Command = {
  run: async (args) => {
    const given = readArgs(EXPORT, args)
    const { values } = given
    const { format, out: file } = values
    if (format !== 'ndjson' && format !== 'csv') throw new UsageError('--format must be ndjson or csv')
    const access = accessOf(EXPORT, given)
    const path = `/v1/events/export${queryOf(values, { format })}`
    if (file !== undefined && existsSync(file)) throw new UsageError(`${file} exists already and was not overwritten`)
    if (file === undefined && process.stdout.isTTY)
      throw new UsageError(
        'An export is for a file: give --out <file>, or redirect the output (killick search is for reading)',
      )
    const events = counter(format)
    const shown = progress(() => `${count(events.seen(), 'event')} written`)
    const sink = file === undefined ? stdout() : await newFile(file)
    try {
      for await (const chunk of download(access, path)) {
        events.take(chunk)
        await sink.write(chunk)
        shown.step()
      }
      await sink.done()
    } catch (error) {
      await sink.drop()
      throw error
    } finally {
      shown.done()
    }
    const isFull = events.seen() >= MOST[format]
    err(`${count(events.seen(), 'event')} exported${file === undefined ? '' : ` to ${file}`}`)
    if (isFull)
      err(
        `That is the most that the service gives at once, so older events may be left out: export the rest with --to, or ask for less`,
      )
    return isFull ? EXIT.undecided : EXIT.ok
  },
}

/** The bytes of an answer as they arrive. @throws KillickError `unreachable`, also if it breaks off; or the service's refusal */
async function* download({ url: base, token, hint }: Access, path: string): AsyncGenerator<Uint8Array> {
  const url = addressOf(base, path)
  const silence = new AbortController()
  const timer = setTimeout(() => silence.abort(new Error(`nothing came for ${SILENCE_MS / 1000} s`)), SILENCE_MS)
  try {
    const response = await request(url, { token, timeoutMs: TIMEOUT_MS, signal: silence.signal })
    if (!response.ok) {
      const problem = await readAnswer(url, response, MAX_PROBLEM_BYTES)
      const error = problemError(response.status, (problem && fromUtf8(problem)) ?? '')
      if (response.status >= 500) throw new KillickError('unreachable', error.message, { ...error.details, url })
      const more = response.status === 401 && hint !== undefined ? `. ${hint}` : ''
      throw new KillickError(error.code, `${error.message}${more}`, error.details)
    }
    try {
      for await (const chunk of response.body ?? []) {
        timer.refresh()
        yield chunk
      }
    } catch (error) {
      throw unreachable(url, error as Error)
    }
  } finally {
    clearTimeout(timer)
  }
}

/** Counts events: lines of NDJSON; lines of CSV that are not within quotes, without the first. */
function counter(format: 'ndjson' | 'csv'): { take: (chunk: Uint8Array) => void; seen: () => number } {
  let lines = 0
  let length = 0
  let isQuoted = false
  return {
    take: (chunk) => {
      for (const byte of chunk) {
        length += 1
        if (byte === 0x22 && format === 'csv') isQuoted = !isQuoted
        else if (byte === 0x0a && !isQuoted) {
          lines += 1
          length = 0
        }
      }
      if (length > MAX_LINE_BYTES || lines > MOST[format] + 1)
        throw new KillickError('answer_malformed', 'The service exports more than it can have, or a line without end')
    },
    seen: () => (format === 'csv' ? Math.max(0, lines - 1) : lines),
  }
}

type Sink = { write: (chunk: Uint8Array) => Promise<void>; done: () => Promise<void>; drop: () => Promise<void> }

function stdout(): Sink {
  const { stdout: stream } = process
  const write = async (chunk: Uint8Array) => {
    if (!stream.write(chunk)) await once(stream, 'drain')
  }
  return { write, done: async () => {}, drop: async () => {} }
}

/** A file that has its name only once it is whole. @throws UsageError */
async function newFile(file: string): Promise<Sink> {
  const part = `${file}.part`
  const handle = await open(part, 'w').catch((error) => {
    throw inputError(error, part)
  })
  return {
    write: async (chunk) => {
      await handle.writeFile(chunk)
    },
    done: async () => {
      await handle.sync()
      await handle.close()
      await rename(part, file)
    },
    drop: async () => {
      await handle.close().catch(() => {})
      await rm(part, { force: true })
    },
  }
}
