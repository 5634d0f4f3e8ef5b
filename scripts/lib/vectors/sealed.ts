// Sealed values: good ones, then one slip at a time. Made with node:crypto alone, so that the library is held to them too.
import { createCipheriv, hkdfSync } from 'node:crypto'
import { seed } from './keys.ts'
import { mintOf } from './world.ts'

type Json = Record<string, unknown>

const EVENT = mintOf(0).id
const KEY = seed('subject key')
const KEY_ID = seed('subject key id').subarray(0, 16).toString('base64url')
const encode = (value: string | Buffer) => Buffer.from(value).toString('base64url')
const HEADER = { alg: 'dir', enc: 'A256GCM', kid: KEY_ID }

type Twist = { event?: string; field?: string; key?: Buffer; header?: Json | string; text?: string; fill?: number }

function jweOf(field: string, value: unknown, twist: Twist = {}): string {
  const text = twist.text ?? JSON.stringify(value)
  const padded = Buffer.alloc(Math.ceil(Buffer.byteLength(text) / 64) * 64, ' ')
  padded.write(text)
  const info = `killick-sealed/1 ${twist.event ?? EVENT} ${twist.field ?? field}`
  const key = Buffer.from(hkdfSync('sha256', twist.key ?? KEY, '', info, 32))
  const { header: given = HEADER } = twist
  const header = encode(typeof given === 'string' ? given : JSON.stringify(given))
  const nonce = seed(`nonce ${field} ${text}`).subarray(0, 12)
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(header))
  const sealed = Buffer.concat([cipher.update(padded), cipher.final()])
  return [header, '', encode(nonce), encode(sealed), encode(cipher.getAuthTag())].join('.')
}

const sealed = (jwe: string, id = KEY_ID) => ({ type: 'sealed', id, jwe })
const common = { event: EVENT, key: encode(KEY), keyId: KEY_ID }
const ADA = { type: 'user', id: 'ada', name: 'Ada Lovelace' }

const open = (
  description: string,
  field: string,
  content: unknown,
  wrap: (value: Json) => unknown = (value) => value,
) => ({
  ...{ description, state: 'open', ...common, field, value: wrap(sealed(jweOf(field, content))), content },
})
const actor = (description: string, state: 'damaged' | 'sealed' | 'none', value: Json) => ({
  ...{ description, state, ...common, field: 'actor', value },
})
const twisted = (description: string, twist: Twist) => actor(description, 'damaged', sealed(jweOf('actor', ADA, twist)))

export function sealedValues() {
  const good = jweOf('actor', ADA)
  const [head, , nonce, text, tag] = good.split('.') as [string, string, string, string, string]
  const otherId = seed('other subject key id').subarray(0, 16).toString('base64url')
  return [
    open('an actor', 'actor', ADA),
    open('a context', 'context', { ip: '192.0.2.7', userAgent: 'Zoë 🎉' }),
    open('metadata of more than 64 bytes', 'metadata', { note: 'x'.repeat(100) }),
    open('targets stand in an array', 'targets', [ADA, { type: 'invoice', id: '42' }], (value) => [value]),
    open(
      'changes stand in one change of the whole',
      'changes',
      [{ path: '/email', before: 'a@example.com' }],
      (value) => [{ path: '', after: value }],
    ),
    open('a field of the application’s own', 'tenant', 'north'),
    actor(
      'a key that the reader does not have',
      'sealed',
      sealed(good.replace(head, encode(JSON.stringify({ ...HEADER, kid: otherId }))), otherId),
    ),
    twisted('sealed for another event', { event: mintOf(1).id }),
    twisted('sealed for another field', { field: 'context' }),
    twisted('sealed under another key', { key: seed('other subject key') }),
    twisted('no value of an actor', { text: '{"type":"user"}' }),
    twisted('a member twice', { text: '{"type":"user","type":"user","id":"ada"}' }),
    twisted('no JSON', { text: 'ada' }),
    twisted('a header with members in another order', { header: { enc: 'A256GCM', alg: 'dir', kid: KEY_ID } }),
    twisted('a header with white space', { header: JSON.stringify(HEADER).replace(',', ', ') }),
    twisted('a header with one member more', { header: { ...HEADER, zip: 'DEF' } }),
    twisted('a header that names another key', { header: { ...HEADER, kid: otherId } }),
    twisted('another encryption', { header: { ...HEADER, enc: 'A128GCM' } }),
    actor('a member that names another key', 'damaged', sealed(good, otherId)),
    actor('an id that is no id', 'damaged', sealed(good, 'ada')),
    actor(
      'a changed tag',
      'damaged',
      sealed([head, '', nonce, text, `${tag[0] === 'A' ? 'B' : 'A'}${tag.slice(1)}`].join('.')),
    ),
    actor(
      'a changed text',
      'damaged',
      sealed([head, '', nonce, `${text[0] === 'A' ? 'B' : 'A'}${text.slice(1)}`, tag].join('.')),
    ),
    actor('a tag that is cut', 'damaged', sealed([head, '', nonce, text, tag.slice(0, 16)].join('.'))),
    actor('an encrypted key', 'damaged', sealed([head, encode('key'), nonce, text, tag].join('.'))),
    actor('base64url that is not canonical', 'damaged', sealed([head, '', nonce, `${text}=`, tag].join('.'))),
    actor('nothing encrypted', 'damaged', sealed([head, '', nonce, '', tag].join('.'))),
    actor('no JWE', 'damaged', sealed('ada')),
    actor('a member more is no sealed value', 'none', { ...sealed(good), name: 'Ada' }),
    actor('another type is no sealed value', 'none', { ...sealed(good), type: 'user' }),
  ]
}
