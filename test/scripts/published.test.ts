import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { findFaults, loadTools, type Tools } from '../../scripts/published.ts'

let folder: string
let tools: Tools

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'killick-published-'))
  tools = await loadTools()
}, 120_000)
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A tarball of a package with these exports, of two files, as npm packs it: all is in the folder `package`. */
async function tarball(name: string, exports: object): Promise<string> {
  const at = join(folder, name, 'package')
  await mkdir(at, { recursive: true })
  const manifest = { name, version: '1.0.0', license: 'Apache-2.0', type: 'module', exports }
  await writeFile(join(at, 'package.json'), JSON.stringify(manifest))
  await writeFile(join(at, 'main.js'), 'export const one = 1\n')
  await writeFile(join(at, 'main.d.ts'), 'export declare const one: 1\n')
  const packed = join(folder, `${name}.tgz`)
  const files = ['package.json', 'main.js', 'main.d.ts'].map((file) => `package/${file}`)
  await promisify(execFile)('tar', ['-czf', packed, ...files], { cwd: join(folder, name) })
  return packed
}

test('an ES module with its types has no faults', async () => {
  const path = await tarball('sound', { '.': { types: './main.d.ts', default: './main.js' } })
  expect(await findFaults(path, tools)).toEqual([])
})

test('a file that is not there, and types that nobody finds, are faults', async () => {
  const missing = await tarball('missing', { '.': { types: './main.d.ts', default: './other.js' } })
  expect((await findFaults(missing, tools)).join('\n')).toMatch(/publint: .*other\.js/)
  const untyped = await tarball('untyped', {
    '.': { types: './main.d.ts', default: './main.js' },
    './sub': { types: './sub.d.ts', default: './main.js' },
  })
  expect((await findFaults(untyped, tools)).join('\n')).toMatch(/attw: .*\.\/sub/)
})
