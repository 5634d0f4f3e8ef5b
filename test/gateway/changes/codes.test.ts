import { readFile } from 'node:fs/promises'
import { CHANGES_CODES, GATEWAY_CODES } from '@killick/gateway'
import { ERROR_CODES } from '@killick/sdk'
import { expect, test } from 'vitest'

test('docs/ERRORS.md lists every code of the recorder of changes with its meaning, and no other', async () => {
  const page = await readFile(new URL('../../../docs/ERRORS.md', import.meta.url), 'utf8')
  const listed = [...page.matchAll(/^\| `(changes_\w+)` \| [^|]+ \| (.+) \|$/gm)].map(([, code, text]) => [code, text])
  expect(listed).toEqual(Object.entries(CHANGES_CODES))
  expect(Object.keys(CHANGES_CODES).filter((code) => code in ERROR_CODES || code in GATEWAY_CODES)).toEqual([])
})
