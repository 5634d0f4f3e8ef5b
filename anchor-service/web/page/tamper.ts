/** "Change one character": a proof with exactly one character other than it was, to see that it is noticed. Pure. */
import { fromBase64url, type Proof, parseEvent, parseProof, printProof, toBase64url } from '@killick/sdk/verify'
import { words } from '../shared/language.ts'

export type TamperedPlace = { readonly id: string; readonly label: string }
export type Tampered = {
  readonly proof: Proof
  readonly place: TamperedPlace
  /** The text around the change; `at` is the character's offset in both. */
  readonly before: string
  readonly after: string
  readonly at: number
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz'
const DIGITS = '0123456789'

/** The next letter or digit of its kind. */
function next(char: string): string {
  for (const row of [LETTERS, LETTERS.toUpperCase(), DIGITS]) {
    const at = row.indexOf(char)
    if (at >= 0) return row[(at + 1) % row.length]!
  }
  return 'A'
}

/** Where in a text to change something: the last letter or digit in `[from, to)`. */
function lastWordChar(text: string, from: number, to: number): number {
  for (let at = to - 1; at >= from; at--) if (/[A-Za-z0-9]/.test(text[at]!)) return at
  return from
}

type Change = { text: string; before: string; after: string; at: number }

function changeAt(text: string, at: number): Change {
  const changed = text.slice(0, at) + next(text[at]!) + text.slice(at + 1)
  const start = Math.max(0, at - 24)
  return { text: changed, before: text.slice(start, at + 12), after: changed.slice(start, at + 12), at: at - start }
}

const decode = (base64url: string) => new TextDecoder().decode(fromBase64url(base64url)!)
const encode = (text: string) => toBase64url(new TextEncoder().encode(text))

/** Changes a part of the token's JWS payload that `pattern` captures as its first group. */
function changePayload(token: string, pattern: RegExp): Change | null {
  const [jws = '', ...disclosures] = token.split('~')
  const parts = jws.split('.')
  const which = parts.length === 3 ? 1 : 0
  const json = decode(parts[which]!)
  const match = pattern.exec(json)
  if (match === null) return null
  const end = match.index + match[0].length
  const change = changeAt(json, lastWordChar(json, end - match[1]!.length, end))
  parts[which] = encode(change.text)
  return { ...change, text: [parts.join('.'), ...disclosures].join('~') }
}

function changeDisclosure(token: string, name: string): Change | null {
  const [jws, ...disclosures] = token.split('~')
  for (const [i, disclosure] of disclosures.entries()) {
    if (disclosure === '') continue
    const json = decode(disclosure)
    if ((JSON.parse(json) as unknown[])[1] !== name) continue
    const value = json.indexOf(JSON.stringify(name)) + JSON.stringify(name).length + 1
    const change = changeAt(json, lastWordChar(json, value, json.length - 1))
    disclosures[i] = encode(change.text)
    return { ...change, text: [jws, ...disclosures].join('~') }
  }
  return null
}

const middle = (text: string): Change => changeAt(text, lastWordChar(text, 0, Math.ceil(text.length / 2)))

/** Which parts of this proof can be changed; none where the event in it cannot be read as it is. */
export function places(proof: Proof): TamperedPlace[] {
  let event: ReturnType<typeof parseEvent>
  try {
    event = parseEvent(proof.event)
  } catch {
    return []
  }
  const { disclosures, signature } = event
  const { places, field } = words.tamper
  const ids: (keyof typeof places)[] = [
    ...(['time', 'source'] as const),
    ...(signature ? (['signature'] as const) : []),
    ...(proof.batch.path.length > 0 ? (['batchPath'] as const) : []),
    'header',
    ...(proof.log.path.length > 0 ? (['logPath'] as const) : []),
    'checkpoint',
    ...(proof.anchors.length > 0 ? (['anchorRoot', 'anchorTime'] as const) : []),
  ]
  return [
    ...disclosures.map(({ name }) => ({ id: `field ${name}`, label: field(name) })),
    ...ids.map((id) => ({ id, label: places[id] })),
  ]
}

type Json = {
  event: string
  batch: { header: string; path: string[] }
  log: { path: string[] }
  checkpoint: string
  anchors: { root: string; time: number }[]
}

/** The proof with one character changed at a place from `places`. */
export function tamper(proof: Proof, place: TamperedPlace): Tampered {
  const json = JSON.parse(printProof(proof)) as Json
  const change = changeIn(json, place.id)
  const { before, after, at } = change
  return { proof: parseProof(JSON.stringify(json)), place, before, after, at }
}

/** Changes `json` itself. */
function changeIn(json: Json, id: string): Change {
  const apply = (change: Change | null, put: (text: string) => void): Change => {
    if (change === null) throw new RangeError(`Nothing to change at ${id}`)
    put(change.text)
    return change
  }
  const putEvent = (text: string) => (json.event = text)
  if (id.startsWith('field ')) return apply(changeDisclosure(json.event, id.slice(6)), putEvent)
  switch (id) {
    case 'time':
      return apply(changePayload(json.event, /"iat":(\d+)/), putEvent)
    case 'source':
      return apply(changePayload(json.event, /"iss":"([^"]+)/), putEvent)
    case 'signature': {
      const [jws = '', ...rest] = json.event.split('~')
      const start = jws.lastIndexOf('.') + 1
      return apply(changeAt(jws, start + 20), (text) => putEvent([text, ...rest].join('~')))
    }
    case 'header':
      return apply(changePayload(json.batch.header, /"root":"([\w-]{20})/), (text) => (json.batch.header = text))
    case 'batchPath':
      return apply(middle(json.batch.path[0]!), (text) => (json.batch.path[0] = text))
    case 'logPath':
      return apply(middle(json.log.path[0]!), (text) => (json.log.path[0] = text))
    case 'checkpoint': {
      const root = json.checkpoint.indexOf('\n', json.checkpoint.indexOf('\n') + 1) + 1
      return apply(
        changeAt(json.checkpoint, lastWordChar(json.checkpoint, root, root + 20)),
        (text) => (json.checkpoint = text),
      )
    }
    case 'anchorRoot':
      return apply(middle(json.anchors[0]!.root), (text) => (json.anchors[0]!.root = text))
    default:
      return apply(
        changeAt(String(json.anchors[0]!.time), String(json.anchors[0]!.time).length - 1),
        (text) => (json.anchors[0]!.time = Number(text)),
      )
  }
}
