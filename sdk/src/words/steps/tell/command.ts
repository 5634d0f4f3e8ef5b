/** Commands of `killick run`. */
import { isObject, type JsonValue } from '../../../core/json.ts'
import { field, lost, member, said, type Teller, type ToldStep, targetOf } from '../parts.ts'

const STREAMS = ['stdin', 'stdout', 'stderr']

export const COMMAND: Readonly<Record<string, Teller>> = {
  'command.run': (event, { known: { command, unrecordedCommands } }) => [
    'runs ',
    Array.isArray(command) ? said(command.map(String).join(' ')) : targetOf(event, 'command'),
    ...folder(event.fields.context),
    ...lost(unrecordedCommands, 'command before it', 'commands before it'),
  ],
  'command.session.chunk': (event, step) => [
    'the terminal shows',
    ...(typeof step.known.bytes === 'number' ? [` ${step.known.bytes.toLocaleString('en')} bytes`] : []),
    ...field('output', ': ', event, step),
  ],
  'command.end': (event, { known }) => [
    targetOf(event, 'command'),
    ...how(known),
    ...STREAMS.flatMap((name) => passed(name, known[name])),
    ...lost(member(known.session, 'unrecordedChunks'), 'chunk of its terminal', 'chunks of its terminal'),
  ],
}

function folder(context: JsonValue | undefined): ToldStep {
  const { host, cwd } = isObject(context) ? context : {}
  return typeof host === 'string' && typeof cwd === 'string' ? [' on ', said(host), ' in ', said(cwd)] : []
}

function how({ result, exitCode, signal, error }: { [name: string]: JsonValue }): ToldStep {
  if (result === 'exited') return [' ended with exit code ', said(String(exitCode))]
  if (result === 'signalled') return [' was ended by ', said(String(signal))]
  if (result === 'not_started') return [' could not be started: ', said(String(error))]
  return result === 'unknown' ? [': nobody saw its end'] : [' ended']
}

function passed(name: string, stream: JsonValue | undefined): ToldStep {
  if (!isObject(stream)) return []
  if (stream.terminal === true) return [`; ${name} a terminal`]
  if (typeof stream.bytes !== 'number') return []
  const cut: ToldStep = typeof stream.error === 'string' ? [', cut off by ', said(stream.error)] : []
  return [`; ${name} ${stream.bytes.toLocaleString('en')} bytes`, ...cut]
}
