// `killick-gateway mcp -- <command>`: between a client on this process's stdin and stdout, and a server that this process starts.
import { randomUUID } from 'node:crypto'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { compileCommandRedaction } from '@killick/sdk/kit'
import { openRecorder } from '../sessions/recorder.ts'
import { SessionRecording } from '../sessions/recording.ts'
import { ApprovalDesk } from './approval-desk.ts'
import { MCP_FIELDS, type McpConfig } from './config.ts'
import { McpEvents, type McpFacts } from './events.ts'
import { LineTooLong } from './lines.ts'
import type { Direction } from './message.ts'
import { relay, write } from './relay.ts'
import { exitCodeOf, type ServerProcess, startServer } from './server-process.ts'
import { McpSession, type SessionEnd } from './session.ts'
import { ToolMemory } from './tool-memory.ts'

/** What a recorder on stdio is connected to. */
export type StdioEnds = {
  readonly stdin: Readable
  readonly stdout: Writable
  /** Tells people something: a line on stderr. */
  readonly say: (text: string) => void
  /** Aborted when the recorder is told to stop; its reason is the signal's name. */
  readonly stop: AbortSignal
}

/**
 * Records one session. @param command the server's program and arguments
 * @returns the exit code to end with: the server's
 * @throws GatewayStartError; KillickError, e.g. `spool_locked`, `key_unsafe`; in strict mode what kept the session's start from being recorded
 */
export async function recordStdio(config: McpConfig, command: readonly string[], ends: StdioEnds): Promise<number> {
  const { say } = ends
  const recorder = await openRecorder({ kind: 'mcp', settings: config, fields: MCP_FIELDS, say })
  let desk: ApprovalDesk | null = null
  try {
    desk = config.approvals && (await ApprovalDesk.open(config.approvals, say))
    const { command: shown } = compileCommandRedaction({ rules: config.redaction.rules }).command(command)
    const name = config.server ?? shown.join(' ')
    const id = randomUUID()
    const events = new McpEvents(name, config)
    const recording = new SessionRecording({
      kind: 'mcp',
      sink: recorder,
      make: (facts: McpFacts) => events.facts(facts),
      say,
      session: id,
    })
    const session = new McpSession({ config, events, recording, memory: new ToolMemory(config.state, name), desk, say })
    await session.begin({ command: shown, transport: 'stdio' })
    const end = await runSession(config, command, session, ends)
    const { unrecorded } = await session.end(end)
    if (unrecorded > 0)
      say(`${unrecorded} ${unrecorded === 1 ? 'event was' : 'events were'} not recorded in this session`)
    if (end.error !== undefined) throw end.error
    if (end.by === 'line') {
      say(
        `mcp_line_too_long: a line was longer than ${config.limits.lineBytes} bytes (limits.lineBytes), so the session was ended`,
      )
      return 1
    }
    return exitCodeOf({ code: end.code, signal: end.signal as NodeJS.Signals | null })
  } finally {
    desk?.close()
    await recorder.close()
  }
}

/** Starts the server, and relays until it has ended. */
async function runSession(
  { limits }: McpConfig,
  command: readonly string[],
  session: McpSession,
  { stdin, stdout, stop }: StdioEnds,
): Promise<SessionEnd & { error?: unknown }> {
  let server: ServerProcess
  try {
    server = await startServer(command)
  } catch (error) {
    return { by: 'server', code: null, signal: null, error }
  }
  let by: SessionEnd['by'] | null = null
  const end = (why: SessionEnd['by'], signal?: NodeJS.Signals): void => {
    by ??= why
    session.withdrawHeld(by)
    server.end(limits.graceMs, signal)
  }
  const lines = async (direction: Direction, from: Readable, to: Writable, back: Writable): Promise<void> => {
    try {
      await relay({ from, to, back, maxLineBytes: limits.lineBytes, take: (line) => session.take(line, direction) })
    } catch (error) {
      if (!(error instanceof LineTooLong)) throw error
      await write(stdout, session.tooLong(direction))
      from.destroy()
      end('line', 'SIGTERM')
    }
  }
  // Nobody reads what the server says any more.
  stdout.on('error', () => end('client'))
  stop.addEventListener('abort', () => end('signal', stop.reason as NodeJS.Signals))
  const asked = lines('client-to-server', stdin, server.input, stdout).then(() => end('client'))
  const told = lines('server-to-client', server.output, stdout, server.input)
  const exit = await server.exited
  by ??= 'server'
  stdin.destroy()
  const grace = () => sleep(limits.graceMs, undefined, { ref: false })
  // What the server has started may hold its output open.
  await Promise.race([told, grace()])
  server.output.destroy()
  // And the client may have stopped reading.
  await Promise.race([Promise.all([told, asked]), grace()])
  return { by, ...exit }
}
