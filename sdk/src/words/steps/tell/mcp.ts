/** What an agent asks servers of the Model Context Protocol: docs/guides/mcp.md. */
import type { JsonValue } from '../../../core/json.ts'
import { field, lost, member, said, shown, type Teller, type ToldStep, targetOf } from '../parts.ts'

const server: (event: Parameters<Teller>[0]) => ToldStep[number] = (event) => targetOf(event, 'mcp-server')

/** Asks for something; a denial did not reach the one who is asked. */
const asks =
  (verb: string, about: string | null): Teller =>
  (event, step) => [
    ...(step.role === 'denial' ? ['asked, and was not let: '] : []),
    verb,
    ...(about === null ? [] : [' ', targetOf(event, about)]),
    ...field('arguments', ' with ', event, step),
    ...reason(event.fields.metadata),
  ]

/** What came back. */
const answers =
  (what: string, about: string | null): Teller =>
  (event, step) => [
    what,
    ...(about === null ? [] : [' ', targetOf(event, about)]),
    ...(step.known.isLate === true ? [', after it was cancelled'] : []),
    ...(step.known.isDuplicateId === true ? [', or another request with the same id'] : []),
    ...error(event.fields.metadata),
    ...field('result', ': ', event, step),
  ]

const reason = (metadata: JsonValue | undefined): ToldStep => {
  const why = member(metadata, 'why')
  return typeof why === 'string' ? [': ', said(why)] : []
}

const error = (metadata: JsonValue | undefined): ToldStep => {
  const message = member(member(metadata, 'error'), 'message')
  return typeof message === 'string' ? [', error ', said(message)] : []
}

const named = (value: JsonValue | undefined): ToldStep => {
  const [name, version] = [member(value, 'name'), member(value, 'version')]
  if (typeof name !== 'string') return ['without a name']
  return [said(typeof version === 'string' ? `${name} ${version}` : name)]
}

const introduced: Teller = ({ fields: { metadata } }) => [
  'client ',
  ...named(member(metadata, 'client')),
  ', server ',
  ...named(member(metadata, 'server')),
]

const CHANGES: Readonly<Record<string, string>> = {
  added: 'is new',
  removed: 'is gone',
  changed: 'is described otherwise',
}

/** What `mcp.approval` says of a call that a person is asked about. */
const VERDICTS: Readonly<Record<string, string>> = {
  waits: 'waits for a person',
  approved: 'is approved',
  denied: 'is denied',
  timed_out: 'is denied: nobody has decided in time',
  too_many: 'is denied: too many wait',
  withdrawn: 'is taken back',
}

export const MCP: Readonly<Record<string, Teller>> = {
  'mcp.session.start': (event) => {
    const { metadata } = event.fields
    const [command, url] = [member(metadata, 'command'), member(metadata, 'url')]
    if (Array.isArray(command)) return ['the session begins: ', said(command.map(String).join(' '))]
    return ['the session begins with ', typeof url === 'string' ? said(url) : server(event)]
  },
  'mcp.session.end': (_, { known: { by, exitCode, signal, unrecorded } }) => [
    'the session ends',
    ...(typeof by === 'string' ? [', by ', said(by)] : []),
    ...(typeof exitCode === 'number' ? [`, exit code ${exitCode}`] : []),
    ...(typeof signal === 'string' ? [', ', said(signal)] : []),
    ...lost(unrecorded, 'event of it', 'events of it'),
  ],
  'mcp.initialize': introduced,
  'mcp.server.discover': introduced,
  'mcp.tools.list': (event, { known: { tools } }) => [
    server(event),
    ' lists ',
    typeof tools === 'number' ? `${tools} tool${tools === 1 ? '' : 's'}` : 'tools',
  ],
  'mcp.tools.change': (event, { known: { change, members } }) => [
    'the tool ',
    targetOf(event, 'mcp-tool'),
    ' ',
    CHANGES[String(change)] ?? 'was changed',
    ...(Array.isArray(members) && members.length > 0 ? [': ', shown(members.map(String).join(', '))] : []),
  ],
  'mcp.tools.call': asks('calls the tool', 'mcp-tool'),
  'mcp.tools.call.result': answers('tool', 'mcp-tool'),
  'mcp.approval': (event, { known: { verdict, until } }) => [
    'the call of the tool ',
    targetOf(event, 'mcp-tool'),
    ' ',
    VERDICTS[String(verdict)] ?? 'is decided',
    ...(verdict === 'waits' && typeof until === 'string' ? [', until ', said(until)] : []),
  ],
  'mcp.resources.read': asks('reads the resource', 'mcp-resource'),
  'mcp.resources.read.result': answers('resource', 'mcp-resource'),
  'mcp.prompts.get': asks('gets the prompt', 'mcp-prompt'),
  'mcp.prompts.get.result': answers('prompt', 'mcp-prompt'),
  'mcp.sampling.createMessage': asks('the server asks for a model’s words', null),
  'mcp.sampling.createMessage.result': answers('a model’s words', null),
  'mcp.elicitation.create': asks('the server asks the person', null),
  'mcp.elicitation.create.result': answers('the person', null),
  'mcp.roots.list': asks('the server asks for the client’s folders', null),
  'mcp.roots.list.result': answers('the client’s folders', null),
  'mcp.message.invalid': (_, { known: { why } }) => [
    'a message that cannot be read',
    ...(typeof why === 'string' ? [': ', said(why)] : []),
  ],
  'mcp.answer.unmatched': () => ['an answer that nobody asked for'],
}
