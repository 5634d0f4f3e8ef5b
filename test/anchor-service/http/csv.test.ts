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

test('what the columns do not name is told in full, and none of it begins a formula', () => {
  const text = csvLine({
    ...{ id: 'id', recordedAt: 't', source: 's', stream: 't', seq: 0, logIndex: 1, leafHash: 'h' },
    fields: {
      action: 'x',
      actor: { type: 'user', id: '1', name: '=Zoë', email: 'zoe@example.com' },
      targets: [
        { type: 'a', id: '2' },
        { type: 'b', id: '3', name: 'B' },
      ],
      changes: [
        { path: '/n', before: -1, after: { m: [2] } },
        { path: '=p', after: '=1' },
        { path: '/q', before: null },
      ],
      context: { ip: '::1', '+x': true },
      metadata: {},
      colour: ['red'],
    },
  } as unknown as Parameters<typeof csvLine>[0])
  expect(text).toContain(`,"'=Zoë","zoe@example.com","; B",`)
  expect(text).toContain(
    `,"/n: -1 → {""m"":[2]};' =p: (nothing) → =1; /q: null → (nothing)","ip: ::1;' +x: true","","colour: [""red""]",`,
  )
})
