import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { entriesOf, readExports } from '../../scripts/docstrings.ts'

const sdk = join(import.meta.dirname, '../../sdk')
const folder = mkdtempSync(join(tmpdir(), 'killick-docstrings-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Names that a module exports, with their docstrings. */
function read(source: string): Record<string, string | null> {
  const entry = join(folder, 'index.ts')
  writeFileSync(entry, source)
  return Object.fromEntries(readExports(entry).map(({ name, doc }) => [name, doc]))
}

describe('docstrings', () => {
  test.each([
    ['a function', '/** What. */\nexport function f() {}'],
    ['an async function', '/** What. */\nexport async function f() {}'],
    ['a constant', '/** What. */\nexport const f = 1'],
    ['a type', '/** What. */\nexport type f = 1'],
    ['an interface', '/** What. */\nexport interface f {}'],
    ['a class', '/** What. */\nexport class f {}'],
    ['what is exported further down', '/** What. */\nfunction f() {}\nexport { f }'],
    ['more than a line', '/**\n * What.\n */\nexport const f = 1'],
    [
      'overloads',
      '/** What. */\nexport function f(a: 1): 1\nexport function f(a: 2): 2\nexport function f(a: 1 | 2) { return a }',
    ],
  ])('that of %s is read', (_, source) => {
    expect(read(source)).toEqual({ f: 'What.' })
  })

  test.each([
    ['none', 'export const f = 1'],
    ['a comment of another kind', '// What.\nexport const f = 1'],
    ['another of the kind', '/* What. */\nexport const f = 1'],
    ['an empty one', '/** */\nexport const f = 1'],
    ['one of its neighbour', '/** What. */\nconst g = 1\nexport const f = g'],
    ['one further up', '/** What. */\n\nimport "node:fs"\nexport type f = 1'],
  ])('%s is missing', (_, source) => {
    expect(read(source)).toEqual({ f: null })
  })

  test('a docstring is found where the name is declared, through other modules', () => {
    writeFileSync(
      join(folder, 'own.ts'),
      '/** One. */\nexport type One = 1\nexport const two = 2\nexport const three = 3',
    )
    writeFileSync(join(folder, 'between.ts'), "export { two as zwei } from './own.ts'")
    expect(read("export { type One } from './own.ts'\nexport * from './between.ts'")).toEqual({
      One: 'One.',
      zwei: null,
    })
  })

  test('a name whose declaration is not found counts as one without a docstring', () => {
    writeFileSync(join(folder, 'own.ts'), 'export const one = 1')
    expect(() => read("export { two } from './own.ts'")).toThrow('exports two')
  })
})

describe('@killick/sdk', () => {
  test('every name of every entry has a docstring', () => {
    const entries = entriesOf(sdk)
    expect(entries).toHaveLength(25)
    const names = entries.flatMap(readExports)
    expect(names.filter(({ doc }) => doc === null)).toEqual([])
    expect(names.length).toBeGreaterThan(100)
  })

  test('the entry for applications has these names; the parts of a ledger belong to /core', () => {
    const names = readExports(join(sdk, 'src/index.ts')).map(({ name }) => name)
    expect(names.sort()).toEqual(
      [
        ...['openAuditLog', 'AuditLog', 'AuditLogOptions', 'BatchLimits', 'Compression'],
        ...['MemoryAuditLog', 'AcceptedEvent', 'AuditLogStatus', 'Failure', 'Left', 'Recorded', 'Receipt'],
        ...['EventInput', 'Party', 'Change', 'Recordable', 'RecordableObject', 'RecordOptions', 'Sealer'],
        ...['RecorderConfig', 'readConfig'],
        ...['generateKey', 'publicJwk', 'readKeyFile', 'writeKeyFile', 'signerOf'],
        ...['Alg', 'PrivateJwk', 'PublicJwk', 'Signer'],
        ...['shareEvent', 'revokeShare', 'Share', 'ShareOptions', 'ShareService'],
        ...['parseProof', 'readAnchors', 'readLogHeads', 'verifyProof', 'Proof', 'Trust', 'Verdict'],
        ...['verifyBundle', 'BundleTrust', 'BundleVerdict', 'NodeBundleOptions'],
        ...['ERROR_CODES', 'ErrorCode', 'KillickError'],
      ].sort(),
    )
  })
})
