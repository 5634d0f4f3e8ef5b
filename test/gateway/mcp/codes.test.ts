import { readFile } from 'node:fs/promises'
import { GATEWAY_CODES, MCP_CODES } from '@killick/gateway'
import { ERROR_CODES } from '@killick/sdk'
import { expect, test } from 'vitest'

test('docs/ERRORS.md lists every code of the recorder with its number and meaning, and no other', async () => {
  const page = await readFile(new URL('../../../docs/ERRORS.md', import.meta.url), 'utf8')
  const listed = [...page.matchAll(/^\| `(\w+)` \| (-\d+) \| (.+) \|$/gm)].map(([, code, number, text]) => [
    code,
    [Number(number), text],
  ])
  expect(listed).toEqual(Object.entries(MCP_CODES))
  expect(Object.keys(MCP_CODES).filter((code) => code in ERROR_CODES || code in GATEWAY_CODES)).toEqual([])
})
