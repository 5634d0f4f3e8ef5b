// What is told of a step: what its event says of a doubt or of a loss is not left out.
import type { JsonObject } from '@killick/sdk/core'
import { readStep, tellStep } from '@killick/sdk/words'
import { expect, test } from 'vitest'

const tell = (action: string, metadata: JsonObject, target: JsonObject = { type: 'mcp-tool', id: 'pay' }) => {
  const event = { id: 'e', fields: { action, outcome: 'success', targets: [target], metadata } }
  return tellStep(event, readStep(event))
    .map((part) => (typeof part === 'string' ? part : part.said))
    .join('')
}

test.each([
  [
    'mcp.session.end',
    { mcp: { by: 'client', exitCode: 0, unrecorded: 4 } },
    /exit code 0; 4 events of it were not recorded$/,
  ],
  ['mcp.session.end', { mcp: { by: 'client', exitCode: 0, unrecorded: 0 } }, /exit code 0$/],
  ['mcp.tools.call.result', { mcp: { kind: 'outcome', isLate: true } }, /^tool pay, after it was cancelled$/],
  [
    'mcp.tools.call.result',
    { mcp: { kind: 'outcome', isDuplicateId: true } },
    /^tool pay, or another request with the same id$/,
  ],
  ['command.run', { command: ['ls'], unrecordedCommands: 1 }, /^runs ls; 1 command before it was not recorded$/],
  [
    'command.end',
    { result: 'exited', exitCode: 0, session: { unrecordedChunks: 2 }, stdout: { bytes: 3, error: 'EPIPE' } },
    /; stdout 3 bytes, cut off by EPIPE; 2 chunks of its terminal were not recorded$/,
  ],
])('%s, %j', (action, metadata, told) => {
  expect(tell(action, metadata)).toMatch(told)
})

test('a sealed field is one that is not shown, and what it says is not told as something else', () => {
  const sealed = { type: 'sealed', id: 'key', jwe: 'a..b.c.d' }
  const fields = { action: 'postgres.statement', statement: sealed, metadata: sealed }
  const step = readStep({ id: 'e', fields })
  expect(step).toMatchObject({ role: 'other', ending: 'hidden' })
  expect(tellStep({ id: 'e', fields }, step)).toEqual(['a statement that is not shown'])
  const open = { action: 'mcp.tools.call', metadata: { mcp: { kind: 'intent' } } }
  const call = { id: 'e', fields: { ...open, arguments: sealed, targets: [sealed] } }
  expect(JSON.stringify(tellStep(call))).not.toContain('jwe')
  // Whose name is sealed has done the same, and what it was asked for without is not hidden.
  const { actor, ...named } = { actor: sealed, action: 'mcp.tools.call', targets: [{ type: 'mcp-tool', id: 'pay' }] }
  const intent = { id: 'e', fields: { ...named, actor, metadata: open.metadata } }
  expect(readStep(intent)).toMatchObject({ role: 'intent', ending: 'none' })
  expect(tellStep(intent)).toEqual(tellStep({ id: 'e', fields: { ...named, metadata: open.metadata } }))
  expect(tellStep({ id: 'e', fields: { action: 'a.b', diagnosis: sealed } }).at(-1)).toBe('what is not shown')
})
