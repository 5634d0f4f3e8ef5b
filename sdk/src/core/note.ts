/** C2SP signed notes with Ed25519 keys (c2sp.org/signed-note). */
import { concat, equalBytes, fromBase64, fromHex, toBase64, toBase64url, toHex, utf8 } from './bytes.ts'
import { KillickError } from './errors.ts'
import { sha256 } from './hash.ts'
import { verifySignature } from './signature.ts'

const ED25519 = Uint8Array.of(0x01)
const EM_DASH = '\u2014'

/** The spec asks verifiers to take at least 16 and to have a limit. */
const MAX_NOTE_SIGNATURES = 64
const MAX_NOTE_LENGTH = 262_144

/** A parsed C2SP verifier key of type Ed25519: `keyId` is 4 bytes, `publicKey` 32. */
export type Vkey = { readonly name: string; readonly keyId: Uint8Array; readonly publicKey: Uint8Array }
/** A signature on a note, as its line says: `keyId` is 4 bytes, `signature` 64 for Ed25519. */
export type NoteSignature = { readonly name: string; readonly keyId: Uint8Array; readonly signature: Uint8Array }

/** A C2SP signed note whose text at least one of the given keys has signed. */
export type OpenedNote = {
  /** The signed text, final newline included. */
  readonly text: string
  /** Verified signatures by given keys, one for each key. */
  readonly signatures: readonly NoteSignature[]
  /** Signatures by other keys: nothing is known about them. */
  readonly unverified: readonly NoteSignature[]
  /** Names of given keys that are not Ed25519: no signature was checked with them. */
  readonly unsupported: readonly string[]
}

function isKeyName(name: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the spec forbids them in a note
  return name !== '' && !/[\p{White_Space}+\u0000-\u001f]/u.test(name)
}

/** First four bytes of SHA-256(name ‖ LF ‖ 0x01 ‖ public key). */
function keyIdOf(name: string, publicKey: Uint8Array): Uint8Array {
  return sha256(concat(utf8(`${name}\n`), ED25519, publicKey)).slice(0, 4)
}

/**
 * Reads a verifier key (c2sp.org/signed-note): `<name>+<key id, hex>+<base64(0x01 ‖ public key)>`.
 * @throws KillickError `vkey_invalid`; `vkey_unsupported` for a key of another type, such as a witness's (0x04, 0x06)
 */
export function parseVkey(text: string): Vkey {
  const match = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/u.exec(typeof text === 'string' ? text : '')
  const name = match?.[1] ?? ''
  const key = match === null ? null : fromBase64(match[3]!)
  const keyId = match === null ? null : fromHex(match[2]!)
  if (!isKeyName(name) || keyId === null || key === null || key.length < 2) throw new KillickError('vkey_invalid')
  if (key[0] !== ED25519[0]) {
    const type = `0x${toHex(key.subarray(0, 1))}`
    throw new KillickError(
      'vkey_unsupported',
      `The verifier key ${name} is of type ${type}; only 0x01, Ed25519, is supported`,
      {
        name,
        type,
      },
    )
  }
  const publicKey = key.slice(1)
  if (publicKey.length !== 32) throw new KillickError('vkey_invalid')
  if (!equalBytes(keyId, keyIdOf(name, publicKey)))
    throw new KillickError('vkey_invalid', 'The verifier key id does not match its key')
  return { name, keyId, publicKey }
}

/**
 * Splits a list of verifier keys, as C2SP requires, into those of type Ed25519 and the names of the others, with which nothing
 * is checked.
 * @throws KillickError `vkey_invalid`
 */
export function splitVkeys(vkeys: readonly string[]): { supported: string[]; unsupported: string[] } {
  const supported: string[] = []
  const unsupported: string[] = []
  for (const vkey of vkeys) {
    try {
      parseVkey(vkey)
      supported.push(vkey)
    } catch (error) {
      if (!(error instanceof KillickError && error.code === 'vkey_unsupported')) throw error
      unsupported.push(`${error.details.name} (type ${error.details.type})`)
    }
  }
  return { supported, unsupported }
}

/**
 * The verifier key of an Ed25519 key (c2sp.org/signed-note).
 * @param name without white space and plus sign, such as `ledger.example.com`
 * @param publicKey 32 bytes
 * @throws KillickError `vkey_invalid`
 */
export function printVkey(name: string, publicKey: Uint8Array): string {
  if (!isKeyName(name) || publicKey.length !== 32) throw new KillickError('vkey_invalid')
  return `${name}+${toHex(keyIdOf(name, publicKey))}+${toBase64(concat(ED25519, publicKey))}`
}

/**
 * Text and signatures of a signed note (c2sp.org/signed-note) of at most 256 KiB; nothing is verified.
 * @throws KillickError `note_malformed`, `note_too_many_signatures` (more than 64)
 */
export function parseNote(note: string): { text: string; signatures: NoteSignature[] } {
  const malformed = (why: string): never => {
    throw new KillickError('note_malformed', `Not a signed note: ${why}`)
  }
  if (typeof note !== 'string' || note.length > MAX_NOTE_LENGTH) malformed('not a text, or longer than 256 KiB')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the spec forbids them in a note
  if (/[\u0000-\u0009\u000b-\u001f]|\p{Surrogate}/u.test(note))
    malformed('it holds a control character or half a surrogate pair')
  // The text may hold blank lines itself, so the last one separates.
  const blank = note.lastIndexOf('\n\n')
  if (blank < 0 || !note.endsWith('\n')) malformed('no blank line before the signatures, or no final newline')
  const lines = note.slice(blank + 2, -1).split('\n')
  if (lines.length > MAX_NOTE_SIGNATURES) throw new KillickError('note_too_many_signatures')
  const signatures = lines.map((line) => {
    const [dash, name, base64, ...more] = line.split(' ')
    const bytes = base64 === undefined ? null : fromBase64(base64)
    if (
      dash !== EM_DASH ||
      name === undefined ||
      !isKeyName(name) ||
      bytes === null ||
      bytes.length < 5 ||
      more.length > 0
    ) {
      return malformed('a signature line is not "— <name> <base64>"')
    }
    return { name, keyId: bytes.slice(0, 4), signature: bytes.slice(4) }
  })
  return { text: note.slice(0, blank + 1), signatures }
}

/**
 * Opens a signed note (c2sp.org/signed-note) with trusted keys. One bad signature by such a key makes the note invalid. Keys of
 * unknown types are skipped and named.
 * @param vkeys verifier keys, as text
 * @param verify a platform's own, with the same answers
 * @throws KillickError `note_malformed`, `note_too_many_signatures`, `vkey_invalid`, `signature_invalid`, `note_unverified`
 * @example
 * const { origin, size, root } = parseCheckpoint(openNote(note, ['ledger.example.com+1f2e3d4c+AQ…']).text)
 */
export function openNote(note: string, vkeys: readonly string[], verify = verifySignature): OpenedNote {
  const { supported, unsupported } = splitVkeys(vkeys)
  const keys = supported.map(parseVkey)
  const { text, signatures } = parseNote(note)
  const message = utf8(text)
  const verified: NoteSignature[] = []
  const unverified: NoteSignature[] = []
  for (const signature of signatures) {
    const isBy = (k: { name: string; keyId: Uint8Array }) =>
      k.name === signature.name && equalBytes(k.keyId, signature.keyId)
    const key = keys.find(isBy)
    if (key === undefined) {
      unverified.push(signature)
    } else {
      const jwk = { kty: 'OKP', crv: 'Ed25519', x: toBase64url(key.publicKey) } as const
      if (!verify(jwk, message, signature.signature)) {
        throw new KillickError('signature_invalid', `The note's signature by ${key.name} does not verify`, {
          name: key.name,
        })
      }
      if (!verified.some(isBy)) verified.push(signature)
    }
  }
  if (verified.length === 0) throw new KillickError('note_unverified')
  return { text, signatures: verified, unverified, unsupported }
}

/**
 * A signed note (c2sp.org/signed-note) over a text, with one signature.
 * @param text ends in a newline
 * @param name of the key, as in its verifier key
 * @param publicKey 32 bytes
 * @param sign returns a 64-byte Ed25519 signature
 * @throws KillickError `note_malformed`
 */
export function signNote(
  text: string,
  name: string,
  publicKey: Uint8Array,
  sign: (message: Uint8Array) => Uint8Array,
): string {
  if (!text.endsWith('\n') || !isKeyName(name)) throw new KillickError('note_malformed')
  return `${text}\n${EM_DASH} ${name} ${toBase64(concat(keyIdOf(name, publicKey), sign(utf8(text))))}\n`
}

/** A note over `text` with signatures that exist already. */
export function printNote(text: string, signatures: readonly NoteSignature[]): string {
  const lines = signatures.map(
    ({ name, keyId, signature }) => `${EM_DASH} ${name} ${toBase64(concat(keyId, signature))}\n`,
  )
  return `${text}\n${lines.join('')}`
}
