import { readFileSync } from 'node:fs'
import { ERROR_CODES } from '@killick/sdk'
import { expect, test } from 'vitest'
import { SERVICE_CODES } from '../../../anchor-service/src/errors.ts'
import { KIT_ERROR_CODES } from '../../../sdk/src/kit/index.ts'

test('docs/ERRORS.md lists every code of the kit with its meaning, and no other', () => {
  const page = readFileSync(new URL('../../../docs/ERRORS.md', import.meta.url), 'utf8')
  const section = page.split('## Codes of the application kit')[1]!.split('\n## ')[0]!
  const listed = [...section.matchAll(/^\| `(\w+)` \| (.+) \|$/gm)].map(([, code, text]) => [code, text])
  expect(listed).toEqual(Object.entries(KIT_ERROR_CODES))
})

test('a code of the kit means nothing else elsewhere', () => {
  const services = Object.fromEntries(Object.entries(SERVICE_CODES).map(([code, [, text]]) => [code, text]))
  const others: Record<string, string> = { ...ERROR_CODES, ...services }
  const shared = Object.entries(KIT_ERROR_CODES).filter(([code]) => code in others)
  for (const [code, text] of shared) expect(others[code]).toBe(text)
  expect(shared.map(([code]) => code)).toEqual(['option_invalid'])
})
