// Yarn's Plug'n'Play puts a FileHandle of its own in the place of Node's: it has no sync(), and reads nothing where no length is said.
// Under `node --permission` there is nothing but sync().
import { execFile } from 'node:child_process'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test, vi } from 'vitest'
import { openAuditLog } from '../../../sdk/src/client/index.ts'
import { generateKey, readKeyFile, writeKeyFile } from '../../../sdk/src/client/key.ts'
import { readFileInPlace } from '../../../sdk/src/node/bundle/file.ts'
import { event, key, startLog, tempDir } from '../client/support.ts'

test('a recorder needs no more of a file handle than Yarn has', async () => {
  const own = await open(process.execPath)
  const prototype: FileHandle = Object.getPrototypeOf(own)
  await own.close()
  onTestFinished(() => void vi.restoreAllMocks())
  for (const name of ['sync', 'datasync'] as const)
    vi.spyOn(prototype, name).mockImplementation(() => {
      throw new Error('Method not implemented.')
    })
  const { read } = prototype
  vi.spyOn(prototype, 'read').mockImplementation(function (this: FileHandle, ...args: unknown[]) {
    const [buffer, offset, length = 0, position] = args
    return Reflect.apply(read, this, [buffer, offset, length, position])
  } as never)

  const log = await startLog()
  const file = join(tempDir(), 'key.json')
  await writeKeyFile(file, generateKey())
  const options = { url: log.url, source: 'test', key: file, onError: () => {}, onPin: () => {} }
  const audit = await openAuditLog({ ...options, spool: tempDir() })
  await audit.record(event(1))
  expect((await audit.close()).pending).toBe(0)
  let text = ''
  for await (const chunk of readFileInPlace(file)) text += Buffer.from(chunk).toString()
  expect(JSON.parse(text)).toEqual(await readKeyFile(file))
})

test('a recorder needs no more under --permission than to write its spool', async () => {
  const [log, spool, forbidden] = [await startLog(), tempDir(), tempDir()]
  const flags = ['--permission', '--allow-fs-read=*', `--allow-fs-write=${spool}`, '--input-type=module']
  const options = JSON.stringify({ url: log.url, source: 'test', key })
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, '-e', RECORDER, options, spool, forbidden])
  expect(JSON.parse(stdout)).toEqual({ pending: 0, code: 'spool_failed' })
})

const RECORDER = `
const [options, spool, forbidden] = process.argv.slice(1)
const { openAuditLog } = await import('${new URL('../../../sdk/src/client/index.ts', import.meta.url)}')
const open = (spool) => openAuditLog({ ...JSON.parse(options), spool, onError() {}, onPin() {} })
const { code } = await open(forbidden).catch((error) => error)
const audit = await open(spool)
await audit.record({ action: 'app.run', actor: { type: 'app', id: 'restricted' } })
const { pending } = await audit.close()
console.log(JSON.stringify({ pending, code }))
`
