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
  const value = Buffer.alloc(constants.MAX_STRING_LENGTH + 1)
  const head = Buffer.concat([Buffer.from('I'), number(7, 4), Buffer.from('N'), number(1, 2), Buffer.from('t')])
  const read = reader.read(Buffer.concat([head, number(value.length, 4), value]))
  const sha256 = createHash('sha256').update(value).digest('hex')
  expect(read).toMatchObject({ kind: 'insert', new: { body: { sha256, bytes: value.length } } })
  expect(() => reader.read(Buffer.concat([head, number(9, 4), Buffer.from('short')]))).toThrow(
    'A message of pgoutput cannot be read: the message ends within a value',
  )
})
