// Where `killick verify` finds what it checks: a file, stdin, a URL, a proof link, or a link that holds the proof itself.
import { createReadStream } from 'node:fs'
import { resolve } from 'node:path'
import { type InflateRaw, inflateRawSync } from 'node:zlib'
import { fromBase64url, fromUtf8 } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { isObject, type JsonObject, type JsonValue, parseJson } from '../core/json.ts'
import { MAX_PROOF_BYTES } from '../core/proof.ts'
import { accessTo, openAccess } from './access.ts'
import { inputError, readLines } from './input.ts'

/** An exported line has an event of at most 256 KiB twice, and a proof of at most 1 MiB. */
const MAX_LINE_BYTES = 4 << 20

/** A line of an export, or why it is none. */
export type ExportedLine = { readonly number: number } & (
  | { readonly value: JsonObject; readonly fault: null }
  | { readonly value: null; readonly fault: string }
)

/** `document`: a proof, or evidence of a fork. `lines`: exported events, or proofs, one a line. */
export type OpenedInput =
  | { readonly kind: 'document'; readonly bytes: Uint8Array }
  | { readonly kind: 'lines'; readonly lines: AsyncIterable<ExportedLine> }

const isUrl = (place: string): boolean => /^https?:\/\//i.test(place)

/** The proof in the fragment of a link; null if the place is no such link. What follows # is never sent anywhere. */
function fragmentOf(place: string): string | null {
  const hash = isUrl(place) || place.startsWith('#') ? place.indexOf('#') : -1
  return hash < 0 || hash === place.length - 1 ? null : place.slice(hash + 1)
}

/** Whether asking again may bring another answer. */
export const mayChange = (place: string): boolean => isUrl(place) && fragmentOf(place) === null

/** What people call the place, without the proof that may be in it. */
export const nameOf = (place: string): string =>
  place === '-' ? 'stdin' : fragmentOf(place) === null ? place : 'the link'

/** Where the proof behind a URL is: beside the page, if it is a proof link. */
function proofUrl(place: string): string {
  const url = new URL(place)
  url.hash = ''
  // A mail program may have taken a mark behind the link into it; a token has 43 characters.
  const [, link] = /^(.*\/p\/(?:[\w-]{43}(?=(?:%[\da-fA-F]{2}|[^\w-])+$)|[\w-]+(?=\/?$)))/.exec(url.pathname) ?? []
  if (link !== undefined) url.pathname = `${link}/proof`
  return url.href
}

/**
 * Opens what is to be checked; of an export only as much as is asked for is held in memory.
 * @param place path, `-`, URL, proof link (…/p/<token>) or fragment link (…#…, or the fragment alone with its #)
 * @throws UsageError. @throws KillickError `unreachable`, `proof_malformed`, `proof_too_large`, or the service's refusal
 */
export async function openProofInput(place: string, access: Parameters<typeof accessTo>[1]): Promise<OpenedInput> {
  const fragment = fragmentOf(place)
  if (fragment !== null) return { kind: 'document', bytes: unpack(fragment) }
  if (isUrl(place)) {
    // A stranger may be behind a link, so the command does not wait for it without limit.
    const api = openAccess(accessTo(proofUrl(place), access), { patience: 0 })
    return { kind: 'document', bytes: await api.bytes('', MAX_PROOF_BYTES) }
  }
  const stream = place === '-' ? process.stdin : createReadStream(resolve(process.cwd(), place))
  const lines = readLines(stream as AsyncIterable<Buffer>, MAX_LINE_BYTES)[Symbol.asyncIterator]()
  const next = () =>
    lines.next().catch((error) => {
      throw inputError(error, place)
    })
  const head: Buffer[] = []
  const first = await next()
  if (!first.done) head.push(first.value)
  const second = await next()
  if (!second.done) head.push(second.value)
  // By the second line too: a damaged first one is told of as any other, and takes nothing from those behind it.
  const isExport = head.some(isExported) || (head.length === 2 && !isBlank(head[0]!) && isProof(head[1]!))
  if (!isExport) {
    let length = head.reduce((sum, line) => sum + line.length + 1, 0)
    for (let line = await nextOf(second); !line.done && length <= MAX_PROOF_BYTES + 1; line = await next()) {
      head.push(line.value)
      length += line.value.length + 1
    }
    await lines.return(undefined)
    return { kind: 'document', bytes: Buffer.concat(head.flatMap((line, i) => (i === 0 ? [line] : [LF, line]))) }
  }
  async function* all() {
    let number = 0
    for (const line of head) yield* lineOf(line, ++number)
    for (let line = await nextOf(second); !line.done; line = await next()) yield* lineOf(line.value, ++number)
  }
  async function nextOf(last: IteratorResult<Buffer>) {
    return last.done ? last : next()
  }
  return { kind: 'lines', lines: all() }
}

const LF = Buffer.from('\n')

function* lineOf(bytes: Buffer, number: number): Generator<ExportedLine> {
  if (isBlank(bytes)) return
  const value = bytes.length > MAX_LINE_BYTES ? null : parseLine(bytes)
  if (isObject(value)) yield { number, value, fault: null }
  else
    yield {
      number,
      value: null,
      // Whoever reads the counts must not take them for those of the whole file.
      fault:
        bytes.length > MAX_LINE_BYTES
          ? 'it is longer than 4 MiB, and lines behind it may not have been read'
          : 'it is no JSON object',
    }
}

const isBlank = (line: Buffer): boolean => line.every((byte) => byte === 0x20 || byte === 0x09)

function parseLine(bytes: Uint8Array): JsonValue {
  const text = fromUtf8(bytes)
  if (text === null) return null
  try {
    return parseJson(text)
  } catch (error) {
    if (error instanceof KillickError) return null
    throw error
  }
}

function isExported(line: Buffer): boolean {
  const value = parseLine(line)
  return isObject(value) && 'proof' in value && 'id' in value
}

function isProof(line: Buffer): boolean {
  const value = parseLine(line)
  return isObject(value) && value.format === 'killick-proof/1'
}

/** A proof in a link: the base64url of its JSON, compressed as raw deflate (RFC 1951). */
function unpack(fragment: string): Uint8Array {
  if (fragment.length > 2 * MAX_PROOF_BYTES) throw new KillickError('proof_too_large')
  const packed = fromBase64url(fragment)
  if (packed === null)
    throw new KillickError('proof_malformed', 'What follows # in the link is no proof: the link may have been cut off')
  try {
    // Node's types do not know what `info` brings.
    const unpacked = inflateRawSync(packed, { maxOutputLength: MAX_PROOF_BYTES, info: true }) as unknown
    const { buffer, engine } = unpacked as { buffer: Buffer; engine: InflateRaw }
    // Browsers refuse a link with bytes behind what is packed; zlib alone leaves them unread.
    if (engine.bytesWritten === packed.length) return buffer
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw new KillickError('proof_too_large')
  }
  throw new KillickError('proof_malformed', 'What follows # in the link cannot be unpacked: somebody changed or cut it')
}
