// Batch headers and bodies.
import {
  type BatchFields,
  type JsonObject,
  parseBatchHeader,
  printBatch,
  printHash,
  sha256,
  signBatchHeader,
  toBase64url,
  utf8,
} from '@killick/sdk/core'
import { signerFor } from './keys.ts'
import { INPUTS, makeEvents, makeHeader } from './world.ts'

const key = signerFor('source Ed25519')

const good = (description: string, body: string) => ({ description, valid: true, body })
/** `line` is the line of the body at fault; null if the body as a whole is. */
const bad = (description: string, code: string, line: number | null, body: string) => ({
  description,
  valid: false,
  body,
  code,
  line,
})

async function resigned(
  header: string,
  changes: Record<string, unknown> | ((text: string) => string),
): Promise<string> {
  const payload = Buffer.from(header.split('.')[1]!, 'base64url').toString()
  const text =
    typeof changes === 'function'
      ? changes(payload)
      : JSON.stringify({ ...(JSON.parse(payload) as JsonObject), ...changes })
  const input = `${header.split('.')[0]}.${toBase64url(utf8(text))}`
  return `${input}.${toBase64url(await key.sign(utf8(input)))}`
}

export async function batches() {
  const tokens = await makeEvents(key)
  const header = await makeHeader(key, tokens)
  const later = await makeEvents(key, 5)
  const text = header.text
  const body = printBatch(text, tokens)
  const announce = (changes: Partial<BatchFields>) => signBatchHeader({ ...header, ...changes }, key)
  const of = async (changes: Record<string, unknown>) => printBatch(await resigned(text, changes), tokens)
  const swapped = [tokens[1]!, tokens[0]!, ...tokens.slice(2)]
  const hash = printHash(sha256(utf8('another')))

  return [
    good('five events, the first of their stream', body),
    good('one event', printBatch((await makeHeader(key, tokens.slice(0, 1))).text, tokens.slice(0, 1))),
    good('later events of a stream', printBatch((await makeHeader(key, later, 5)).text, later)),
    good('unsigned events', await unsigned()),
    bad('empty', 'batch_malformed', null, ''),
    bad('one line feed', 'jws_malformed', 1, '\n'),
    bad('no final line feed', 'batch_malformed', null, body.slice(0, -1)),
    bad('cut off in the middle of an event', 'batch_malformed', null, body.slice(0, -200)),
    bad('cut off after an event', 'batch_count_mismatch', 1, printBatch(text, tokens.slice(0, -1))),
    bad('an event more', 'batch_count_mismatch', 1, printBatch(text, [...tokens, later[0]!])),
    bad('an empty line at the end', 'batch_count_mismatch', 1, `${body}\n`),
    bad('an empty line for an event', 'event_malformed', 3, printBatch(text, [tokens[0]!, '', ...tokens.slice(2)])),
    bad('CRLF line ends', 'jws_malformed', 1, body.replaceAll('\n', '\r\n')),
    bad('only a header', 'batch_count_mismatch', 1, `${text}\n`),
    bad('an event for a header', 'jws_header_invalid', 1, `${tokens.join('\n')}\n`),
    bad('an event JWS for a header', 'jws_header_invalid', 1, printBatch(tokens[0]!.split('~')[0]!, tokens)),
    bad('a header for an event', 'jws_header_invalid', 2, printBatch(text, [`${text}~`, ...tokens.slice(1)])),
    bad(
      'a broken event',
      'event_malformed',
      4,
      printBatch(
        text,
        tokens.map((token, i) => (i === 2 ? token.slice(0, -1) : token)),
      ),
    ),
    bad('two events swapped', 'batch_chain_broken', 2, printBatch(text, swapped)),
    bad('one event twice', 'batch_chain_broken', 3, printBatch(text, [tokens[0]!, tokens[0]!, ...tokens.slice(2)])),
    bad('an event of another source', 'batch_chain_broken', 2, printBatch(await announce({ source: 'other' }), tokens)),
    bad('an event of another stream', 'batch_chain_broken', 2, printBatch(await announce({ stream: 'other' }), tokens)),
    bad(
      'a first seq that is not the first event’s',
      'batch_chain_broken',
      2,
      printBatch(await announce({ seq: 1, prev: header.root }), tokens),
    ),
    bad('an event that follows another predecessor', 'batch_chain_broken', 3, await forked(tokens)),
    bad('another root', 'batch_root_mismatch', 1, await of({ root: hash })),
    bad(
      'the root of the events without the last',
      'batch_root_mismatch',
      1,
      await of({ root: printHash((await makeHeader(key, tokens.slice(0, -1))).root) }),
    ),
    bad('n one less', 'batch_count_mismatch', 1, await of({ n: 4 })),
    bad('n 0', 'batch_header_invalid', 1, await of({ n: 0 })),
    bad('n negative', 'batch_header_invalid', 1, await of({ n: -5 })),
    bad('n 10,001', 'batch_too_large', 1, await of({ n: 10_001 })),
    bad('n as a string', 'batch_header_invalid', 1, await of({ n: '5' })),
    bad(
      'n twice',
      'json_duplicate_member',
      1,
      printBatch(await resigned(text, (json) => json.replace('"n":5', '"n":5,"n":6')), tokens),
    ),
    bad('prev on the first batch', 'batch_header_invalid', 1, await of({ prev: hash })),
    bad('no prev on a later batch', 'batch_header_invalid', 1, await of({ seq: 5 })),
    bad('a root of 31 bytes', 'batch_header_invalid', 1, await of({ root: toBase64url(new Uint8Array(31)) })),
    bad('no time', 'batch_header_invalid', 1, await of({ iat: undefined })),
    bad('a member more', 'batch_header_invalid', 1, await of({ note: 'x' })),
    bad('seq + n beyond 2^53', 'batch_header_invalid', 1, await of({ seq: Number.MAX_SAFE_INTEGER, prev: hash })),
    bad(
      'a header padded to 2 KiB',
      'batch_header_invalid',
      1,
      printBatch(await resigned(text, (json) => json + ' '.repeat(2048)), tokens),
    ),
    bad('a byte order mark', 'jws_malformed', 1, `\ufeff${body}`),
  ]
}

async function unsigned(): Promise<string> {
  const tokens = await makeEvents(undefined)
  return printBatch((await makeHeader(key, tokens)).text, tokens)
}

/** The second event is the honest one of a stream whose first event was another. */
async function forked(tokens: readonly string[]): Promise<string> {
  const others = await makeEvents(key, 0, [INPUTS[3]!, INPUTS[1]!])
  const mixed = [tokens[0]!, others[1]!]
  const { n, seq, source, stream, time } = await makeHeader(key, mixed)
  const { root } = parseBatchHeader((await makeHeader(key, mixed)).text)
  return printBatch(await signBatchHeader({ source, stream, seq, n, root, time }, key), mixed)
}
