import { expect, test } from 'vitest'
import { Lru } from '../../anchor-service/src/lru.ts'

test('the entry used longest ago is dropped first, and never more are kept than there is room for', () => {
  const kept = new Lru<string>(100)
  kept.set('a', 'A', 40)
  kept.set('b', 'B', 40)
  expect(kept.get('a')).toBe('A')
  kept.set('c', 'C', 30)
  expect([kept.get('a'), kept.get('b'), kept.get('c')]).toEqual(['A', undefined, 'C'])
  expect(kept.counts).toEqual({ hits: 3, misses: 1, bytes: 70, size: 2 })

  kept.set('a', 'larger', 70)
  expect(kept.counts).toMatchObject({ bytes: 100, size: 2 })
  kept.set('too large', 'X', 101)
  expect(kept.get('too large')).toBeUndefined()
  expect(kept.counts).toMatchObject({ bytes: 100, size: 2 })
  kept.set('all', 'Y', 100)
  expect(kept.counts).toMatchObject({ bytes: 100, size: 1 })
  kept.delete('nothing')
  kept.clear()
  expect(kept.counts).toMatchObject({ bytes: 0, size: 0 })
})
