import { fromBase64url } from '@killick/sdk/core'
import { unsealEvent } from '@killick/sdk/sealing'
import { expect, test } from 'vitest'
import { vectors } from '../../support/vectors.ts'

type Case = {
  description: string
  state: 'open' | 'sealed' | 'damaged' | 'none'
  event: string
  field: string
  value: unknown
  key: string
  keyId: string
  content?: unknown
}

test.each(vectors<Case[]>('sealed'))('$description', async ({ state, event, field, value, key, keyId, content }) => {
  const find = async (id: string) => (id === keyId ? { id, key: fromBase64url(key)! } : null)
  const { fields, sealed } = await unsealEvent({ id: event, fields: { action: 'read', [field]: value } }, { find })
  expect(sealed[field]?.state ?? 'none').toBe(state)
  // What cannot be read is in no place where a value would be.
  const shown = state === 'open' ? content : state === 'none' ? value : undefined
  expect(fields).toEqual({ action: 'read', ...(shown !== undefined && { [field]: shown }) })
})
