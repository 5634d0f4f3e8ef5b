// One message of syslog, RFC 5424 §6.
import { isUtf8 } from 'node:buffer'
import type { JsonObject } from '@killick/sdk/core'
import { GatewayRefusal } from '../errors.ts'

const FACILITIES = [
  'kern',
  'user',
  'mail',
  'daemon',
  'auth',
  'syslog',
  'lpr',
  'news',
  'uucp',
  'cron',
  'authpriv',
  'ftp',
]
const SEVERITIES = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug']
/** `<pri>1 time host app proc id `, and what follows. */
const HEADER = /^<(\d{1,3})>1 (\S+) (\S{1,255}) (\S{1,48}) (\S{1,128}) (\S{1,32}) /
const ELEMENT = /\[([^\s="\]]{1,32})((?: [^\s="\]]{1,32}="(?:[^"\\\]]|\\.)*")*)\]/y
const PARAMETER = / ([^\s="\]]{1,32})="((?:[^"\\\]]|\\.)*)"/g

/**
 * A message as JSON: `facility`, `severity`, `timestamp`, `host`, `app`, `process`, `messageId`, `data` (its structured data) and
 * `message`, each only where it is there. A text that is not UTF-8 is read as Latin-1, and `encoding` says so.
 * @throws GatewayRefusal `collect_input_invalid`, with the character at which it is no message
 */
export function readMessage(bytes: Buffer): JsonObject {
  const isText = isUtf8(bytes)
  const text = bytes.toString(isText ? 'utf8' : 'latin1')
  const head = HEADER.exec(text)
  if (head === null || Number(head[1]) > 191) throw invalid(0)
  const [, priority, timestamp, host, app, process, messageId] = head
  const { data, end } = readData(text, head[0].length)
  const message = text
    .slice(end)
    .replace(/^ \ufeff?/, '')
    .replace(/\n$/, '')
  const code = Number(priority)
  const given = { timestamp, host, app, process, messageId }
  return {
    facility: FACILITIES[code >> 3] ?? (code >> 3 >= 16 ? `local${(code >> 3) - 16}` : String(code >> 3)),
    severity: SEVERITIES[code & 7]!,
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== '-') as [string, string][]),
    ...(Object.keys(data).length > 0 && { data }),
    ...(message !== '' && { message }),
    ...(!isText && { encoding: 'latin1' }),
  }
}

function readData(text: string, start: number): { data: JsonObject; end: number } {
  if (text[start] === '-' && (text.length === start + 1 || text[start + 1] === ' ')) return { data: {}, end: start + 1 }
  const data = new Map<string, JsonObject>()
  let end = start
  while (text[end] === '[') {
    ELEMENT.lastIndex = end
    const element = ELEMENT.exec(text)
    if (element === null || data.has(element[1]!)) throw invalid(end)
    // Whoever sends them chooses the names: an object has some of its own.
    const values = new Map<string, string[]>()
    for (const [, name, escaped] of element[2]!.matchAll(PARAMETER)) {
      const value = escaped!.replace(/\\(["\\\]])/g, '$1')
      const before = values.get(name!)
      if (before === undefined) values.set(name!, [value])
      else before.push(value)
    }
    const one = (texts: readonly string[]) => (texts.length === 1 ? texts[0]! : [...texts])
    data.set(element[1]!, Object.fromEntries([...values].map(([name, texts]) => [name, one(texts)])))
    end = ELEMENT.lastIndex
  }
  if (end === start || (end < text.length && text[end] !== ' ')) throw invalid(end)
  return { data: Object.fromEntries(data), end }
}

const invalid = (at: number): GatewayRefusal =>
  new GatewayRefusal('collect_input_invalid', 'This is no message of RFC 5424.', { at: `character ${at}` })
