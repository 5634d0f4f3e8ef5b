// `killick run`: a command's intent is durable before it starts, its end before this program exits.
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isatty } from 'node:tty'
import type { AuditLog, AuditLogOptions } from '../../client/open.ts'
import { fromUtf8 } from '../../core/bytes.ts'
import { KillickError } from '../../core/errors.ts'
import { compileCommandRedaction } from '../../kit/command-line.ts'
import { type Args, type Command, integer, MAX_TIMER_S, readArgs, required, UsageError } from '../command.ts'
import { isSystemError, reasonOf } from '../input.ts'
import { readLogKey } from '../pins.ts'
import { RUN } from '../table/running.ts'
import { err, waitInSpool } from '../terminal.ts'
import { sshCommand } from './circumstances.ts'
import { type CommandIdentity, chunkEvent, endEvent, runEvent, SESSION_OUTPUT } from './events.ts'
import { type CommandStream, type Ended, execute, exitCodeOf, type Job, STREAMS } from './execute.ts'
import { checkScript } from './script.ts'
import { executeSession, type SessionWay, terminalSize } from './session.ts'
import { relaySignals } from './signals.ts'
import { openOwn, runFolder, sendOthers, settleOthers } from './spools.ts'
import { forgetCommand, noteChunk, noteCommand } from './under-way.ts'
import { countUnrecorded, unrecordedCommands } from './unrecorded.ts'

export const run: Command = {
  run: async (args) => {
    const end = args.indexOf('--')
    const given = readArgs(RUN, end < 0 ? args : args.slice(0, end))
    const { values } = given
    // Their pipes are not Node's: Deno does not open them, and Bun waits without an end.
    if (process.versions.deno !== undefined || process.versions.bun !== undefined)
      throw new UsageError('This command takes Node; Deno and Bun cannot run it')
    if (values.strict && values.observe) throw new UsageError('--strict and --observe exclude each other')
    const job: Job = {
      ...commandOf(end < 0 ? [] : args.slice(end + 1), values.ssh),
      pass: new Set(values.pass.map(streamOf)),
    }
    if (values['show-output'] && !values.session) throw new UsageError('--show-output belongs to --session')
    // Without a terminal there is none to record.
    const isSession = values.session && isatty(0) && isatty(1)
    if (isSession) checkScript()
    const settings = { ...settingsOf(given), isSession }
    const recording = await startRecording(job, settings).catch((error: Error) => {
      if (!values.observe) throw notRun(error)
      tellUnrecorded(settings.folder, error)
      return null
    })
    // Of what is not recorded, nothing needs to be known.
    const signals = relaySignals()
    try {
      const ended = await (recording?.session
        ? executeSession(job, signals, recording.session)
        : execute(recording ? job : { ...job, pass: new Set(STREAMS) }, signals))
      tellNotStarted(job, ended)
      await recording?.end(ended)
      const code = exitCodeOf(ended)
      // The command has not heard of it: without us it would have failed itself.
      return tellNotPassed(ended) && code === 0 ? 1 : code
    } finally {
      signals.end()
      await recording?.send()
    }
  },
}

type Settings = {
  readonly folder: string
  readonly log: Omit<AuditLogOptions, 'spool'>
  readonly waitMs: number
  readonly variables: readonly string[]
  readonly redact: readonly string[]
  readonly verbose: boolean
  readonly isSession: boolean
  readonly showsOutput: boolean
  readonly isObserving: boolean
}

const say = (message: string): void => err(`killick run: ${message}`)

function settingsOf(given: Args<typeof RUN.options>): Omit<Settings, 'isSession'> {
  const { values } = given
  const say = (message: string) => values.verbose && err(`killick run: ${message}`)
  const told = new Set<string>()
  return {
    folder: runFolder(values.spool),
    log: {
      url: required(RUN, given, 'url'),
      source: required(RUN, given, 'source'),
      key: required(RUN, given, 'key'),
      // The types of what opens spools know no fields of one's own.
      fields: [SESSION_OUTPUT] as never[],
      ...(values['log-key'] !== undefined && { logKey: readLogKey(values['log-key']) }),
      onError: ({ message }, during) => {
        if (during === 'send' && told.size < told.add(message).size) say(`events wait in the spool: ${message}`)
      },
      onPin: (key) => say(`from now on the log’s key is the one that the service names: ${key}`),
    },
    waitMs: integer(values.wait, 'wait', 0, MAX_TIMER_S) * 1000,
    variables: values.env,
    redact: values.redact,
    verbose: values.verbose,
    showsOutput: values['show-output'],
    isObserving: values.observe,
  }
}

function commandOf(command: readonly string[], isSsh: boolean): Pick<Job, 'command' | 'argv0'> {
  if (isSsh && command.length > 0) throw new UsageError('With --ssh the client says what to run: leave out the command')
  if (isSsh) return sshCommand(process.env)
  if (command.length === 0) throw new UsageError('There is no command: killick run [options] -- <command> [arguments]')
  if (command[0] === '') throw new UsageError('The name of the command is empty')
  // Arguments arrive here as text, and what was no UTF-8 cannot be passed on as it was.
  if (command.some((argument) => argument.includes('\ufffd')) && fromUtf8(ownCommandLine()) === null)
    throw new UsageError('An argument is not UTF-8, and cannot be passed on')
  return { command }
}

function ownCommandLine(): Uint8Array {
  try {
    return readFileSync('/proc/self/cmdline')
  } catch {
    return new Uint8Array()
  }
}

function streamOf(name: string): CommandStream {
  const stream = STREAMS.find((each) => each === name)
  if (stream === undefined) throw new UsageError(`--pass is one of ${STREAMS.join(', ')}`)
  return stream
}

/** Says what the system says, since nobody else will; as a shell does. */
function tellNotStarted({ command }: Job, { how }: Ended): void {
  if (how.result !== 'not_started') return
  const why = how.error === 'ENOENT' ? 'there is no such command' : reasonOf({ code: how.error })
  say(`${command[0]}: ${why}`)
}

/** What writing says where nobody reads any more. */
const UNREAD = new Set(['EPIPE', 'ECONNRESET'])

/**
 * Says which streams ended early, since the command saw a pipe that was well: its output did not arrive, or its input was not all.
 * @returns whether one did; that nobody reads any more is no fault of a stream
 */
function tellNotPassed({ streams }: Ended): boolean {
  const early = STREAMS.flatMap((name) => {
    const report = streams[name]
    return report && 'error' in report && !UNREAD.has(report.error!) ? [{ name, code: report.error }] : []
  })
  for (const { name, code } of early) say(`${name} ended early: ${reasonOf({ code })}`)
  return early.length > 0
}

const why = (error: Error): string =>
  isSystemError(error) ? `${error.path ?? error.syscall}: ${reasonOf(error)}` : error.message

function notRun(error: Error): Error {
  if (error instanceof KillickError)
    return new KillickError(error.code, `Nothing was run: ${error.message}`, error.details)
  return isSystemError(error) ? new UsageError(`Nothing was run: ${why(error)}`) : error
}

function tellUnrecorded(folder: string, error: Error): void {
  say(`this command is NOT recorded: ${why(error)}`)
  const code = (error as NodeJS.ErrnoException).code ?? 'internal'
  if (!countUnrecorded(folder, code)) say(`and it could not be counted in ${folder}`)
}

type Recording = {
  /** How a terminal is recorded; null: there is none. */
  readonly session: SessionWay | null
  /** Makes the end durable. Never rejects. */
  end(ended: Ended): Promise<void>
  /** Tries for the time of --wait to have everything accepted, and closes the spool. Never rejects. */
  send(): Promise<void>
}

/** Resolves when the command may start: what it will do is durable. */
async function startRecording(job: Job, settings: Settings): Promise<Recording> {
  const { folder, log: options, waitMs, verbose } = settings
  const onError = (error: Error) => say(`a spool of an earlier start is at fault: ${why(error)}`)
  const { log, dir } = await openOwn(folder, options)
  try {
    await settleOthers(folder, dir, options, onError)
    const execution = randomUUID()
    const size = terminalSize()
    const name = `${execution}.cast`
    const { event, identity } = runEvent({
      execution,
      command: job.command,
      redaction: compileCommandRedaction({ names: settings.redact }),
      env: process.env,
      variables: settings.variables,
      session: settings.isSession ? { ...size, cast: name, output: settings.showsOutput ? 'shown' : 'hashed' } : null,
      isTerminal: [0, 1, 2].some((fd) => isatty(fd)),
      unrecorded: unrecordedCommands(folder),
    })
    const seq = await noteCommand(dir, log, identity)
    await log.record(event)
    const over = new AbortController()
    const others = sendOthers(folder, dir, options, over.signal, (error) => verbose && onError(error))
    const send = async () => {
      const deadline = performance.now() + waitMs
      const left = await log.close({ timeoutMs: waitMs })
      const timer = setTimeout(() => over.abort(), Math.max(0, deadline - performance.now()))
      await others
      clearTimeout(timer)
      if (verbose) say(summary(log, left.pending))
    }
    const tell = (error: Error) => say(`the spool is at fault: ${why(error)}`)
    const session: SessionWay = {
      ...{ folder: join(folder, 'casts'), name, size },
      async record(chunk, lines) {
        await noteChunk(dir, log, identity, seq, log.status.recorded)
        await log.record(chunkEvent(identity, chunk, settings.showsOutput ? lines : null))
      },
      failed(error) {
        say(
          `what the terminal shows is NOT recorded any more${settings.isObserving ? '' : ', so the session is ended'}: ${why(error)}`,
        )
        return settings.isObserving
      },
    }
    return {
      session: settings.isSession ? session : null,
      end: (ended) => recordEnd(log, dir, identity, seq, ended).catch(tell),
      send: () => send().catch(tell),
    }
  } catch (error) {
    await log.close({ timeoutMs: 0 }).catch(() => {})
    throw error
  }
}

/** What cannot be recorded now is recorded as unknown by the next start, as after a crash. */
async function recordEnd(
  log: AuditLog,
  dir: string,
  identity: CommandIdentity,
  seq: number,
  ended: Ended,
): Promise<void> {
  try {
    if (ended.session?.unrecordedChunks) await noteChunk(dir, log, identity, seq, log.status.recorded - 1)
    await log.record(endEvent(identity, ended))
  } catch (error) {
    say(`how this command ended is NOT recorded: ${why(error as Error)}`)
    return
  }
  await forgetCommand(dir)
}

const summary = ({ status }: AuditLog, pending: number): string =>
  `recorded in stream ${status.stream}; ${pending === 0 ? 'the log has accepted everything in it' : waitInSpool(pending)}`
