// JSON pointers (RFC 6901), and patterns of them in which `*` stands for any one member or element.

import { escapePointer, unescapePointer } from '../core/pointer.ts'

/** The pointer of a member below another pointer. */
export const below = (pointer: string, name: string | number): string => `${pointer}/${escapePointer(`${name}`)}`

/** The names in a pointer; null if it is none. */
export function namesOf(pointer: unknown): string[] | null {
  if (pointer === '') return []
  if (typeof pointer !== 'string' || pointer[0] !== '/' || /~(?![01])/.test(pointer)) return null
  return pointer.slice(1).split('/').map(unescapePointer)
}

/** Patterns as a tree: at each node the values that end there, and a node for each name that leads on. */
export type PointerTree<T> = { ends: T[]; next: Map<string, PointerTree<T>> }

export function pointerTree<T>(patterns: readonly (readonly [names: readonly string[], value: T])[]): PointerTree<T> {
  const root: PointerTree<T> = { ends: [], next: new Map() }
  for (const [names, value] of patterns) {
    let node = root
    for (const name of names) {
      const next: PointerTree<T> = node.next.get(name) ?? { ends: [], next: new Map() }
      node.next.set(name, next)
      node = next
    }
    node.ends.push(value)
  }
  return root
}

/** Nothing matches here, and nothing below. */
export const NOWHERE: readonly never[] = []

/** The nodes that a name leads to from these, by itself or as a `*`. */
export function step<T>(nodes: readonly PointerTree<T>[], name: string): readonly PointerTree<T>[] {
  if (nodes.length === 0) return NOWHERE
  const found: PointerTree<T>[] = []
  for (const { next } of nodes) {
    const [named, any] = [next.get(name), next.get('*')]
    if (named) found.push(named)
    if (any && any !== named) found.push(any)
  }
  return found
}
