import { describe, expect, test } from 'vitest'
import { findBreaches, PARTS } from '../../scripts/imports.ts'
import { readSolidity, readTypeScript } from '../../scripts/lib/modules.ts'

const breaches = (path: string, text: string) =>
  findBreaches([readTypeScript(path, text)]).map(({ where, what }) => `${where} ${what}`)

describe('import boundaries', () => {
  test.each([
    ['a package', "\nimport fs from 'node:fs'", 'sdk/src/core/a.ts:2 core may not import node:fs'],
    ['a type', "import type { X } from '../client/x.ts'", 'core may not import client (sdk/src/client/x.ts)'],
    ['a re-export', "export * from '../verify/index.ts'", 'core may not import verify'],
    ['an import()', "export const x = () => import('merkletreejs')", 'core may not import merkletreejs'],
    ['a type import()', "export type X = import('../cli/main.ts').X", 'core may not import cli'],
    ['a package of ours', "import '@killick/sdk'", 'core may not import sdk (@killick/sdk)'],
    ['Buffer', 'export const x = (b: Uint8Array) => Buffer.from(b)', 'core may not use Buffer'],
    ['the clock', 'export const x = () => Date.now()', 'core may not use Date.now'],
  ])('core is refused %s', (_, text, expected) => {
    expect(breaches('sdk/src/core/a.ts', text)).toEqual([expect.stringContaining(expected)])
  })

  test.each([
    [
      'sdk/src/core/a.ts',
      "import { sha256 } from '@noble/hashes/sha2.js'\nimport { x } from './b.ts'\nexport { x, sha256 }",
    ],
    ['sdk/src/core/a.ts', 'export const x = (y: Record<string, number>) => y.Buffer'],
    ['sdk/src/verify/a.ts', "export { x } from '../core/x.ts'"],
    ['anchor-service/src/anchor/chain/chain.ts', "import { Wallet } from 'ethers'\nexport { Wallet }"],
    ['anchor-service/src/anchor/queue.ts', "import { Queue } from 'bullmq'\nexport { Queue }"],
  ])('%s may %j', (path, text) => {
    expect(breaches(path, text)).toEqual([])
  })

  test('ethers and bullmq may each be imported by one part only', () => {
    expect(breaches('anchor-service/src/anchor/worker.ts', "import 'ethers'\nimport 'bullmq'")).toHaveLength(2)
  })

  test('parts may import only parts of rows above their own, so there is no circle', () => {
    const names = PARTS.map(({ name }) => name)
    for (const [row, { name, may }] of PARTS.entries())
      for (const other of may.filter((each) => names.includes(each)))
        expect(names.indexOf(other), `${name} may import ${other}`).toBeLessThan(row)
  })

  test.each([
    ['ledger/tree/a.ts', '../packs/packer.ts', 'tree may not import packs'],
    ['ledger/read/a.ts', '../ledger.ts', 'read may not import ledger'],
    ['ledger/a.ts', '../http/a.ts', 'ledger may not import http'],
    ['anchor/a.ts', '../config.ts', 'anchor may not import config'],
    ['http/a.ts', './routes/a.ts', 'http may not import routes'],
  ])('in the service %s is refused %s', (path, to, expected) => {
    expect(breaches(`anchor-service/src/${path}`, `import '${to}'`)).toEqual([expect.stringContaining(expected)])
  })

  test('a workspace imports another only by its package name', () => {
    expect(breaches('anchor-service/src/a.ts', "import '@killick/sdk/core'")).toEqual([])
    expect(breaches('anchor-service/src/a.ts', "import '../../sdk/src/core/hash.ts'")).toEqual([
      expect.stringContaining('import it by its name'),
    ])
  })

  test('scripts do not import tests', () => {
    expect(breaches('scripts/a.ts', "import '../test/support/x.ts'")).toEqual([expect.stringContaining('test')])
  })

  test('imports in Solidity are checked too', () => {
    const module = readSolidity('contracts/A.sol', 'import { X } from "./B.sol";\nimport "../sdk/src/core/a.ts";')
    expect(module.imports.map(({ to, line }) => `${to}:${line}`)).toEqual(['contracts/B.sol:1', 'sdk/src/core/a.ts:2'])
    expect(findBreaches([module])).toHaveLength(1)
  })

  test('a cycle is named file by file', () => {
    const modules = [
      readTypeScript('scripts/a.ts', "import './b.ts'"),
      readTypeScript('scripts/b.ts', "import type { C } from './c.ts'"),
      readTypeScript('scripts/c.ts', "export { b } from './b.ts'"),
    ]
    expect(findBreaches(modules)).toEqual([
      { where: 'scripts/b.ts', what: 'imports itself: scripts/b.ts → scripts/c.ts → scripts/b.ts' },
    ])
  })

  test('a file outside every part is reported', () => {
    expect(breaches('elsewhere/a.ts', '')).toEqual([expect.stringContaining('belongs to no part')])
  })
})
