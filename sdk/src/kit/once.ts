const KEY = Symbol.for('killick.kit/1')
const home = globalThis as { [KEY]?: Map<string, unknown> }

/**
 * What there is once in a process, however often this module is loaded: bundlers give each entry of an application a copy of its
 * own, and a context that one copy has begun must be there for all.
 */
export function once<T>(name: string, make: () => T): T {
  home[KEY] ??= new Map()
  if (!home[KEY].has(name)) home[KEY].set(name, make())
  return home[KEY].get(name) as T
}
