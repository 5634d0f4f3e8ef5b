import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '@killick/anchor-service'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadSigner } from '../../anchor-service/src/ledger/signing-keys.ts'
import { loadTokens } from '../../anchor-service/src/tokens.ts'
import { replaceFile } from '../../anchor-service/src/whole-file.ts'
import { type SmallDisk, smallDisk } from '../support/small-disk.ts'

let folder: string
let disk: SmallDisk
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'killick-files-'))
  disk = smallDisk(1)
})
afterAll(async () => {
  disk.remove()
  await rm(folder, { recursive: true, force: true })
})

const config = (data: string) => loadConfig({ KILLICK_DATA: data })

test('on a full disk nothing is left of keys and tokens that could not be made, and what is replaced stays', async () => {
  const { dataFolder, logKeyFile } = config(join(disk.folder, 'data'))
  const keys = join(dataFolder, 'keys')
  await mkdir(keys, { recursive: true })
  const replaced = join(dataFolder, 'replaced')
  await replaceFile(replaced, 'before')
  disk.fill()
  await expect(loadSigner(logKeyFile)).rejects.toThrow('ENOSPC')
  await expect(loadTokens(config(dataFolder))).rejects.toThrow('ENOSPC')
  await expect(replaceFile(replaced, 'after')).rejects.toThrow('ENOSPC')
  expect(await readdir(keys)).toEqual([])
  expect(await readFile(replaced, 'utf8')).toBe('before')

  disk.free()
  const { kid } = await loadSigner(logKeyFile)
  expect((await loadSigner(logKeyFile)).kid).toBe(kid)
  const tokens = await loadTokens(config(dataFolder))
  expect(tokens.admin).toMatch(/^[\w-]{32}$/)
  expect(await loadTokens(config(dataFolder))).toEqual(tokens)
  expect((await readdir(keys)).sort()).toEqual(['admin.token', 'eraser.token', 'log.json', 'reader.token'])
})

test('processes that start at once have the same keys and tokens', async () => {
  const { logKeyFile } = config(folder)
  const signers = await Promise.all(Array.from({ length: 20 }, () => loadSigner(logKeyFile)))
  expect(new Set(signers.map(({ kid }) => kid)).size).toBe(1)
  const tokens = await Promise.all(Array.from({ length: 20 }, () => loadTokens(config(folder))))
  expect(new Set(tokens.map(({ admin }) => admin)).size).toBe(1)
})

test('a service does not start with an empty token, which everybody knows', async () => {
  const { dataFolder } = config(join(folder, 'empty'))
  await mkdir(join(dataFolder, 'keys'), { recursive: true })
  await writeFile(join(dataFolder, 'keys', 'admin.token'), '\n')
  await expect(loadTokens(config(dataFolder))).rejects.toThrow('holds no token')
})
