// What a command writes is there whole or not at all.
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { EXAMPLE_FILE, writeExample } from '../../../sdk/src/cli/init-files.ts'
import { writeWhole } from '../../../sdk/src/cli/whole-file.ts'
import { type SmallDisk, smallDisk } from '../../support/small-disk.ts'

let disk: SmallDisk
let folder: string
beforeAll(() => {
  disk = smallDisk(1)
  folder = mkdtempSync(join(tmpdir(), 'killick-whole-'))
})
afterAll(() => {
  disk?.remove()
  rmSync(folder, { recursive: true, force: true })
})

test('on a full disk nothing is begun, and what was there before stays', async () => {
  const file = join(disk.folder, 'proof.json')
  await writeWhole(file, 'before')
  disk.fill()
  const large = 'x'.repeat(100_000)
  for (const path of [file, join(disk.folder, 'new.json')])
    await expect(writeWhole(path, large)).rejects.toThrow(`${path}: the disk is full`)
  expect(() => writeExample(disk.folder)).toThrow(`${join(disk.folder, EXAMPLE_FILE)}: the disk is full`)
  expect(readFileSync(file, 'utf8')).toBe('before')
  expect(readdirSync(disk.folder).toSorted()).toEqual(['ballast', 'proof.json'])
  disk.free()
  await writeWhole(file, large)
  expect(readFileSync(file, 'utf8')).toBe(large)
  expect([writeExample(disk.folder), writeExample(disk.folder)]).toEqual([true, false])
})

test('a link stays one, and what is no file is written to', async () => {
  const [file, link] = [join(folder, 'there.json'), join(folder, 'link.json')]
  writeFileSync(file, 'old')
  symlinkSync(file, link)
  await writeWhole(link, 'new')
  expect([readFileSync(file, 'utf8'), lstatSync(link).isSymbolicLink()]).toEqual(['new', true])
  await writeWhole('/dev/null', 'gone')
  expect(existsSync('/dev/null.part')).toBe(false)
  expect(lstatSync('/dev/null').isCharacterDevice()).toBe(true)
  await expect(writeWhole(folder, 'x')).rejects.toThrow(folder)
})
