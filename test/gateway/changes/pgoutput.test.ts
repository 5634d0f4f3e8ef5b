import { constants } from 'node:buffer'
import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { PgoutputReader } from '../../../gateway/src/changes/pgoutput.ts'

const number = (value: number, bytes: number) => {
  const written = Buffer.alloc(bytes)
  written.writeIntBE(value, 0, bytes)
  return written
}

test('a value that is longer than the longest string is held as its hash', () => {
  const reader = new PgoutputReader()
  const column = Buffer.concat([Buffer.from('\0body\0'), number(17, 4), number(-1, 4)])
  reader.read(Buffer.concat([Buffer.from('R'), number(7, 4), Buffer.from('public\0a\0f'), number(1, 2), column]))
  const bytes = constants.MAX_STRING_LENGTH + 1
  const head = Buffer.concat([Buffer.from('I'), number(7, 4), Buffer.from('N'), number(1, 2), Buffer.from('t')])
  // Zeros that nobody writes take no memory.
  const message = Buffer.alloc(head.length + 4 + bytes)
  head.copy(message)
  message.writeUInt32BE(bytes, head.length)
  const sha256 = createHash('sha256').update(message.subarray(-bytes)).digest('hex')
  expect(reader.read(message)).toMatchObject({ kind: 'insert', new: { body: { sha256, bytes } } })
  expect(() => reader.read(Buffer.concat([head, number(9, 4), Buffer.from('short')]))).toThrow(
    'A message of pgoutput cannot be read: the message ends within a value',
  )
})
