// Signed notes and checkpoints.
import {
  concat,
  fromBase64,
  leafHash,
  printHash,
  printVkey,
  publicKeyBytes,
  sha256,
  toBase64,
  treeRoot,
  utf8,
} from '@killick/sdk/core'
import { seed, signerFor } from './keys.ts'

const NAME = 'log.example.com'
const key = signerFor('note')
const publicKey = publicKeyBytes(key.jwk)
const VKEY = printVkey(NAME, publicKey)
const OTHER = printVkey('witness.example.com', publicKeyBytes(signerFor('witness').jwk))

/** The example of c2sp.org/signed-note. */
const SPEC_VKEY = 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k'
const SPEC_LINE =
  '— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n'
const SPEC_NOTE = `This is an example message.\n\n${SPEC_LINE}`

const idOf = (name: string, type = 1) => sha256(concat(utf8(`${name}\n`), Uint8Array.of(type), publicKey)).slice(0, 4)
const bytesOf = (text: string, name = NAME) => concat(idOf(name), key.sign(utf8(text)) as Uint8Array)
const line = (name: string, bytes: Uint8Array) => `— ${name} ${toBase64(bytes)}\n`
const signed = (text: string) => `${text}\n${line(NAME, bytesOf(text))}`
const stranger = (i: number) =>
  line(`stranger-${i}.example.com`, new Uint8Array([...seed(`stranger ${i}`), ...seed('s'), 1, 2, 3, 4]))
const strangers = (count: number) => Array.from({ length: count }, (_, i) => stranger(i)).join('')

const TEXT = 'First line\nSecond line\n'
const good = (description: string, note: string, text: string, vkeys = [VKEY]) => ({
  description,
  valid: true,
  note,
  vkeys,
  text,
})
const bad = (description: string, code: string, note: string, vkeys = [VKEY]) => ({
  description,
  valid: false,
  note,
  vkeys,
  code,
})

const own = line(NAME, bytesOf(TEXT))
const flip = (bytes: Uint8Array, at: number) => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte))
const spliced = (bytes: Uint8Array) => `${TEXT}\n${line(NAME, bytes)}`

export function notes() {
  return [
    good('the example of the specification', SPEC_NOTE, 'This is an example message.\n', [SPEC_VKEY]),
    good('two lines', signed(TEXT), TEXT),
    good('a blank line in the text: the last one separates', signed('One\n\nTwo\n'), 'One\n\nTwo\n'),
    good('a text that looks like a note', signed(`Quoted:\n\n${SPEC_LINE}`), `Quoted:\n\n${SPEC_LINE}`),
    good('a text of one empty line', signed('\n'), '\n'),
    good('Unicode', signed('Zoë 🎉 \u0085 \u007f\n'), 'Zoë 🎉 \u0085 \u007f\n'),
    good('a signature by an unknown key before ours', `${TEXT}\n${stranger(1)}${own}`, TEXT),
    good(
      'our name with the id of another key, beside ours',
      `${TEXT}\n${line(NAME, flip(bytesOf(TEXT), 0))}${own}`,
      TEXT,
    ),
    good(
      'our key id under another name, beside ours',
      `${TEXT}\n${line('log.example.org', bytesOf(TEXT))}${own}`,
      TEXT,
    ),
    good('our signature twice', `${TEXT}\n${own}${own}`, TEXT),
    good('16 signatures, the least that every verifier must take', `${TEXT}\n${strangers(15)}${own}`, TEXT),
    good('64 signatures', `${TEXT}\n${strangers(63)}${own}`, TEXT),
    good('one of two trusted keys', signed(TEXT), TEXT, [OTHER, VKEY]),
    bad('65 signatures', 'note_too_many_signatures', `${TEXT}\n${strangers(64)}${own}`),
    bad('100 signatures', 'note_too_many_signatures', `${TEXT}\n${strangers(99)}${own}`),
    bad('the example with one letter changed', 'signature_invalid', SPEC_NOTE.replace('example m', 'exemple m'), [
      SPEC_VKEY,
    ]),
    bad('a text longer by a newline', 'signature_invalid', `${TEXT}\n\n${own}`),
    bad('a bit of R changed', 'signature_invalid', spliced(flip(bytesOf(TEXT), 10))),
    bad('a bit of S changed', 'signature_invalid', spliced(flip(bytesOf(TEXT), 40))),
    bad('a signature of 63 bytes', 'signature_invalid', spliced(bytesOf(TEXT).slice(0, 67))),
    bad('a signature of 65 bytes', 'signature_invalid', spliced(concat(bytesOf(TEXT), Uint8Array.of(0)))),
    bad(
      'one good and one bad signature by the same key',
      'signature_invalid',
      `${TEXT}\n${own}${line(NAME, flip(bytesOf(TEXT), 10))}`,
    ),
    bad('signed by nobody known', 'note_unverified', `${TEXT}\n${stranger(1)}`),
    bad('no key is trusted', 'note_unverified', signed(TEXT), []),
    bad('only another key is trusted', 'note_unverified', signed(TEXT), [OTHER]),
    bad('our name with another key id', 'note_unverified', spliced(flip(bytesOf(TEXT), 3))),
    bad(
      'our name is the beginning of the signer’s',
      'note_unverified',
      `${TEXT}\n${line(`${NAME}.evil.example`, bytesOf(TEXT))}`,
    ),
    bad('our name is the end of the signer’s', 'note_unverified', `${TEXT}\n${line(`evil-${NAME}`, bytesOf(TEXT))}`),
    bad(
      'the signer’s name is the beginning of ours',
      'note_unverified',
      `${TEXT}\n${line('log.example', bytesOf(TEXT))}`,
    ),
    bad('another case of our name', 'note_unverified', `${TEXT}\n${line('LOG.example.com', bytesOf(TEXT))}`),
    bad('empty', 'note_malformed', ''),
    bad('only a text', 'note_malformed', TEXT),
    bad('no signatures after the blank line', 'note_malformed', `${TEXT}\n`),
    bad('no blank line', 'note_malformed', `${TEXT}${own}`),
    bad('no final newline', 'note_malformed', signed(TEXT).slice(0, -1)),
    bad('two final newlines', 'note_malformed', `${signed(TEXT)}\n`),
    bad('a hyphen for the em dash', 'note_malformed', signed(TEXT).replace('— ', '- ')),
    bad('no space after the em dash', 'note_malformed', signed(TEXT).replace('— ', '—')),
    bad('two spaces after the em dash', 'note_malformed', signed(TEXT).replace('— ', '—  ')),
    bad('a space at the end of the line', 'note_malformed', signed(TEXT).replace(/\n$/, ' \n')),
    bad('a signature line without a name', 'note_malformed', `${TEXT}\n— ${toBase64(bytesOf(TEXT))}\n`),
    bad('a plus in the name', 'note_malformed', `${TEXT}\n${line('log+example', bytesOf(TEXT))}`),
    bad('a no-break space in the name', 'note_malformed', `${TEXT}\n${line('log\u00a0example', bytesOf(TEXT))}`),
    bad('base64 without its padding', 'note_malformed', signed(TEXT).replace(/=+\n$/, '\n')),
    bad(
      'base64url for base64',
      'note_malformed',
      `${TEXT}\n— ${NAME} ${toBase64(bytesOf(TEXT)).replace(/[+/]/g, '_').replace(/^./, '_')}\n`,
    ),
    bad('base64 with a stray bit in its last letter', 'note_malformed', strayBit(signed(TEXT))),
    bad('a signature of 0 bytes', 'note_malformed', spliced(bytesOf(TEXT).slice(0, 4))),
    bad('a key id cut short', 'note_malformed', spliced(bytesOf(TEXT).slice(0, 3))),
    bad('CRLF line ends', 'note_malformed', signed(TEXT).replaceAll('\n', '\r\n')),
    bad('a tab in the text', 'note_malformed', signed('First\tline\n')),
    bad('a NUL in the text', 'note_malformed', signed('First\0line\n')),
    bad('half a surrogate pair in the text', 'note_malformed', `First \ud800 line\n\n${own}`),
    bad('a key with an id that is not its own', 'vkey_invalid', signed(TEXT), [
      VKEY.replace(/\+[0-9a-f]/, (m) => (m === '+0' ? '+1' : '+0')),
    ]),
    bad('a key without an id', 'vkey_invalid', signed(TEXT), [VKEY.replace(/\+[0-9a-f]{8}/, '')]),
    bad('a key id in capitals', 'vkey_invalid', signed(TEXT), [
      VKEY.replace(/\+[0-9a-f]{8}/, (id) => id.toUpperCase()),
    ]),
    bad('a key of another signature type alone', 'note_unverified', signed(TEXT), [witnessKey()]),
    bad('a key without a type', 'vkey_invalid', signed(TEXT), [VKEY.replace(/[^+]+$/, '')]),
    good('a key of another signature type beside the log’s: skipped', signed(TEXT), TEXT, [witnessKey(), VKEY]),
    bad('a key of 31 bytes', 'vkey_invalid', signed(TEXT), [
      VKEY.replace(/[^+]+$/, toBase64(concat(Uint8Array.of(1), publicKey.slice(1)))),
    ]),
    bad('a key with a space in its name', 'vkey_invalid', signed(TEXT), [VKEY.replace('log.', 'log ')]),
  ]
}

/** Type 0x04, a timestamped cosignature: another message is signed than the text. */
function witnessKey(): string {
  const id = Buffer.from(idOf(NAME, 4)).toString('hex')
  return `${NAME}+${id}+${toBase64(concat(Uint8Array.of(4), publicKey))}`
}

function strayBit(note: string): string {
  const changed = note.replace(
    /(.)(=+)\n$/,
    (_, letter: string, pad: string) => `${String.fromCharCode(letter.charCodeAt(0) + 1)}${pad}\n`,
  )
  if (changed === note || fromBase64(changed.trimEnd().split(' ').at(-1)!) !== null)
    throw new Error('the bit is not stray')
  return changed
}

export function checkpoints() {
  const root = treeRoot([leafHash(utf8('entry'))])
  const hash = toBase64(root)
  const read = (description: string, text: string, size: string, extensions: string[] = []) => ({
    ...{ description, valid: true, text, origin: 'log.example.com', size, root: printHash(root), extensions },
  })
  const refused = (description: string, text: string, code = 'checkpoint_malformed') => ({
    description,
    valid: false,
    text,
    code,
  })
  const body = `log.example.com\n1\n${hash}\n`
  return [
    read('size 1', body, '1'),
    read('size 0', body.replace('\n1\n', '\n0\n'), '0'),
    read(
      'size 2^53 + 1, which a double cannot hold',
      body.replace('\n1\n', '\n9007199254740993\n'),
      '9007199254740993',
    ),
    read('the largest size', body.replace('\n1\n', '\n18446744073709551615\n'), '18446744073709551615'),
    read('extension lines', `${body}one\ntwo\n`, '1', ['one', 'two']),
    read('a whole note', signed(body), '1'),
    refused('size 2^64', body.replace('\n1\n', '\n18446744073709551616\n')),
    refused('size -1', body.replace('\n1\n', '\n-1\n')),
    refused('size +1', body.replace('\n1\n', '\n+1\n')),
    refused('size 01', body.replace('\n1\n', '\n01\n')),
    refused('size 1.0', body.replace('\n1\n', '\n1.0\n')),
    refused('size 1e3', body.replace('\n1\n', '\n1e3\n')),
    refused('size in hex', body.replace('\n1\n', '\n0x1\n')),
    refused('size empty', body.replace('\n1\n', '\n\n'), 'note_malformed'),
    refused('size followed by a space', body.replace('\n1\n', '\n1 \n')),
    refused('no origin', body.replace('log.example.com', '')),
    refused('no root', 'log.example.com\n1\n'),
    refused('no final newline', body.slice(0, -1)),
    refused('a root of 31 bytes', body.replace(hash, toBase64(root.slice(0, 31)))),
    refused('a root in base64url', body.replace(hash, hash.replace(/.=$/, '_='))),
    refused('a root without padding', body.replace('=', '')),
    refused('CRLF line ends', body.replaceAll('\n', '\r\n')),
    refused('a blank line and then no signatures', `${body}\nmore\n`, 'note_malformed'),
    refused('a blank line among the extensions of a signed text', signed(`${body}one\n\ntwo\n`)),
    refused('empty', ''),
  ]
}
