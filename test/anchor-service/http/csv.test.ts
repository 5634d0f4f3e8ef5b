import { expect, test } from 'vitest'
import { csvLine } from '../../../anchor-service/src/http/csv.ts'

const line = (action: string) =>
  csvLine({
    ...{
      id: 'id',
      recordedAt: '2026-01-01T00:00:00.000Z',
      source: 's',
      stream: 't',
      seq: 0,
      logIndex: 1,
      leafHash: 'h',
    },
    fields: { action },
  } as unknown as Parameters<typeof csvLine>[0])

test.each(['=1+1', '+1', '-1', '@x', '\t=1', '\r=1', ' =1', '＝1+1', '＋1', '－1', '＠x'])(
  'a cell that begins like a formula is text: %j',
  (text) => expect(line(text)).toContain(`,"'`),
)

test.each(['a;=1+1', 'a,=1', 'a\t=1', 'a\n=1', 'a\r\n＝1', 'a"=1', 'a|@x', 'a; -1'])(
  'nor does it begin another, where it is split elsewhere: %j',
  (text) => expect(line(text)).toMatch(/[;,|\t\r\n"]'\s*[=@＝-]/),
)

test('every cell is quoted, and what is harmless stays as it is', () => {
  expect(line('say "a-b", c=d')).toContain(',"say ""a-b"", c=d",')
  expect(
    line('x')
      .trim()
      .split(',')
      .every((cell) => /^".*"$/.test(cell)),
  ).toBe(true)
})
