// The two events of a command: command.run before it starts, command.end when it has ended or was lost sight of.
import { basename } from 'node:path'
import type { EventInput, RecordableObject } from '../../core/fields.ts'
import type { CommandRedaction } from '../../kit/command-line.ts'
import type { Removal } from '../../kit/redaction.ts'
import type { SessionChunk } from './cast.ts'
import { actorOf, circumstancesOf, sshOf } from './circumstances.ts'
import type { Ended } from './execute.ts'
import { shortened, shortenedCommand } from './shorten.ts'

/**
 * What both events have, in the form in which it is recorded. `targets`: the command, and this execution of it, whose id is a UUID of
 * ours; as a session too, by which `killick replay` finds both.
 */
export type CommandIdentity = Pick<EventInput, 'actor' | 'targets'>

const MAX_TARGET = 256

type Described = {
  readonly execution: string
  readonly command: readonly string[]
  readonly redaction: CommandRedaction
  readonly env: NodeJS.ProcessEnv
  /** Names of variables to record. */
  readonly variables: readonly string[]
  readonly isTerminal: boolean
  /** Of a terminal that is recorded: its size, the name of its file, and whether events show what it shows. */
  readonly session: RecordableObject | null
  /** Commands that were run unrecorded before, ever. */
  readonly unrecorded: number
}

/** The event before the command starts. Nothing in it holds what the redaction finds. */
export function runEvent(described: Described): { event: EventInput; identity: CommandIdentity } {
  const { redaction, env, variables, isTerminal, session, unrecorded } = described
  const redacted = redaction.command(described.command)
  const { command, cut } = shortenedCommand(redacted.command)
  const removals: Removal[] = redacted.removals.map(({ path, rule }) => ({ path: `/metadata${path}`, rule }))
  const clean = ({ text, removals: more }: { text: string; removals: Removal[] }): string => {
    removals.push(...more)
    return shortened(text)
  }
  const ssh = sshOf(env)
  const environment = variables.map((name) => {
    const value = env[name]
    return [name, value === undefined ? null : clean(redaction.variable(name, value, `/metadata/environment/${name}`))]
  })
  const identity: CommandIdentity = {
    actor: actorOf(),
    targets: [
      { type: 'command', id: shortened(basename(redacted.command[0]!) || redacted.command[0]!, MAX_TARGET) },
      { type: 'execution', id: described.execution },
      { type: 'session', id: described.execution },
    ],
  }
  const context: RecordableObject = {
    session: described.execution,
    ...circumstancesOf(env),
    terminal: isTerminal,
    ...(ssh && {
      ssh: {
        connection: ssh.connection.slice(0, MAX_TARGET),
        ...(ssh.command !== null && { command: clean(redaction.text(ssh.command, '/context/ssh/command')) }),
      },
    }),
  }
  const metadata: RecordableObject = {
    command,
    ...(cut && { commandCut: cut }),
    ...(environment.length > 0 && { environment: Object.fromEntries(environment) }),
    ...(session && { session }),
    ...(unrecorded > 0 && { unrecordedCommands: unrecorded }),
    ...(removals.length > 0 && { redactions: distinct(removals) }),
  }
  return { event: { action: 'command.run', ...identity, context, metadata }, identity }
}

/** The field in which events of chunks show what the terminal showed: lines of an asciicast. */
export const SESSION_OUTPUT = 'output'

/** The event of a chunk of what the terminal showed. @param lines null: not shown, only hashed */
export function chunkEvent(identity: CommandIdentity, chunk: SessionChunk, lines: string | null): EventInput {
  return {
    action: 'command.session.chunk',
    ...identity,
    ...sessionOf(identity),
    metadata: { ...chunk },
    ...(lines !== null && { [SESSION_OUTPUT]: lines }),
  }
}

/** The event when the command has ended. */
export function endEvent(identity: CommandIdentity, { how, durationMs, streams, session }: Ended): EventInput {
  const isSuccess = how.result === 'exited' && how.exitCode === 0
  return {
    action: 'command.end',
    ...identity,
    ...sessionOf(identity),
    outcome: isSuccess ? 'success' : 'failure',
    metadata: { ...how, durationMs, ...streams, ...(session && { session }) },
  }
}

/** The event for a command whose end nobody saw: it has no outcome. */
export const unknownEnd = (identity: CommandIdentity): EventInput => ({
  action: 'command.end',
  ...identity,
  ...sessionOf(identity),
  metadata: { result: 'unknown' },
})

/** The context of an end. A note that an earlier version left in a spool names no session. */
function sessionOf({ targets }: CommandIdentity): Pick<EventInput, 'context'> {
  const session = targets?.find(({ type }) => type === 'session')
  return session === undefined ? {} : { context: { session: session.id } }
}

/** A place is in the list once for each rule, and the list is short: a script may hold a thousand secrets. */
function distinct(removals: readonly Removal[]): Removal[] {
  const seen = new Map(removals.map((removal) => [`${removal.path} ${removal.rule}`, removal]))
  return [...seen.values()].slice(0, 100)
}
