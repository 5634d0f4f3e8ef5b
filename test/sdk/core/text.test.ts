import { expect, test } from 'vitest'
import { printable } from '../../../sdk/src/core/text.ts'

test.each(['\u0000', '\u001b', '\u009b', '\ud800', '\u2028', '\u202e', '\u200b', '\u{e0041}'])(
  'a text with %j is shown with its escape, and stands for the same string',
  escapes,
)

// Drawn as nothing, and of other categories than formatting.
test.each(['\u034f', '\u115f', '\u2800', '\u17b4', '\u180b', '\u3164', '\ufe00', '\ufe0f', '\uffa0', '\u{e0100}'])(
  'two names that differ in nothing but %j do not look the same',
  escapes,
)

function escapes(char: string): void {
  const shown = printable(`ad${char}min`)
  expect(shown).toMatch(/^ad(\\u[0-9a-f]{4})+min$/)
  expect(JSON.parse(`"${shown}"`)).toBe(`ad${char}min`)
}

test.each([
  ...['Zoë 李 ünï', 'e\u0301', 'हिन्दी', '한글', 'می\u200cخواهم', '👩\u200d👩', 'I \u2764\ufe0f it', '1\ufe0f\u20e3'],
  ...['葛\u{e0100}飾', '\u1820\u180b'],
])('%s stays as it is written', (text) => {
  expect(printable(text)).toBe(text)
})
