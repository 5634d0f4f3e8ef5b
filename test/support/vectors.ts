import { expect } from 'vitest'
import { readVectors } from '../../scripts/vectors.ts'

/** The cases of an area, as committed. */
export const vectors = <T>(area: string): T => JSON.parse(readVectors(area)) as T

/** Runs `accept` and expects it to return, or to throw a KillickError with the code of the case. */
export function expectAccepted<T>({ valid, code }: { valid: boolean; code?: string }, accept: () => T): T | undefined {
  if (valid) return accept()
  expect(accept).toThrow(expect.objectContaining({ name: 'KillickError', code }))
  return undefined
}
