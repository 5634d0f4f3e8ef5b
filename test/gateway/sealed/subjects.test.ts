// Whose data an outcome holds, its intent has said: that must be known however many intents could not be recorded before.
import { join } from 'node:path'
import { folderSubjectKeys } from '@killick/sdk/sealing'
import { expect, test } from 'vitest'
import { endedBy, isSealedValue, openSealing } from '../../../gateway/src/sealed/sealing.ts'
import { erase, folderOf } from './support.ts'

test('intents that could not be sealed take no place from those that could', async () => {
  const folder = join(folderOf('subjects'), 'keys')
  const subject = { type: 'user', id: '/arguments/user' }
  const settings = { fields: ['arguments', 'result'], keys: { folder, secretFile: null }, subject }
  const { sealer, close } = await openSealing(
    { ...settings, onMissing: 'refuse', timeoutMs: 5_000 },
    { source: 'agents', kind: 'mcp', say: () => {}, withholds: (known) => endedBy(known).length > 0 },
  )
  const names = new Set(['arguments', 'result'])
  const begin = (id: string, user: string) =>
    sealer.seal(
      {
        id,
        fields: [
          ['arguments', { user }],
          ['metadata', { mcp: { isOpen: true } }],
        ],
      },
      names,
    )
  await begin('first', 'ada')
  await erase(await folderSubjectKeys(folder), { type: 'user', id: 'ada' })
  for (let n = 0; n < 20_000; n += 500) {
    const refused = Array.from({ length: 500 }, (_, i) => begin(`${n + i}`, 'ada').catch(({ code }) => code))
    expect(new Set(await Promise.all(refused))).toEqual(new Set(['subject_erased']))
  }
  await begin('intent', 'bob')
  const end = await sealer.seal(
    {
      id: 'end',
      fields: [
        ['result', 'x'],
        ['metadata', { mcp: { intent: 'intent' } }],
      ],
    },
    names,
  )
  expect(isSealedValue(Object.fromEntries(end).result as never)).toBe(true)
  await close()
})
