/**
 * What events can be searched for: the kinds of terms that there are, the schemes that say which of them an event is found by,
 * and the filters of a search. A new filter is an entry here, a line where event-reader.ts reads its field, and a new scheme.
 *
 * A term's key is made in one way for good (event-keys.ts). A scheme never changes once keys have been stored by it: its number
 * stands beside them, the audit makes them again by it, and test/vectors/search-keys.json pins its bytes.
 */

import { isObject, type JsonObject, type JsonValue } from '@killick/sdk/core'

/** The first byte of what is hashed to a key; no other kind may ever have it. */
export const KIND_BYTES = {
  source: 0x73,
  stream: 0x6d,
  action: 0x61,
  /** What stands before one of the first dots of an action: `invoice` of `invoice.send`. */
  prefix: 0x70,
  actor: 0x75,
  target: 0x74,
  outcome: 0x6f,
} as const

export type TermKind = keyof typeof KIND_BYTES

/** By number, the kinds of terms that are keys of a pack. */
export const SCHEMES: { readonly [scheme: number]: ReadonlySet<TermKind> } = {
  1: new Set(['source', 'action', 'actor', 'target']),
  2: new Set(['source', 'stream', 'action', 'prefix', 'actor', 'target', 'outcome']),
}

/** The scheme that keys are made by. */
export const NEWEST = 2

/** Dots of an action that a prefix may end before. */
export const MAX_PREFIXES = 4

export type Term = { kind: TermKind; text: string }

/** The schemes whose keys have terms of all these kinds. */
export const schemesWith = (terms: readonly Term[]): number[] =>
  Object.keys(SCHEMES)
    .map(Number)
    .filter((scheme) => terms.every(({ kind }) => SCHEMES[scheme]!.has(kind)))

/** What the events of a pack have in common, as it is found by: its own terms, in the order of their keys. */
export const packTerms = ({ source, stream }: { source: string; stream: string }): Term[] => [
  { kind: 'source', text: source },
  { kind: 'stream', text: stream },
]

/** The terms of a field of an event, but for an action's prefixes, in the order of their keys. */
export function fieldTerms(name: string, value: JsonValue): Term[] {
  const term = (kind: TermKind, text: JsonValue | undefined): Term[] =>
    typeof text === 'string' ? [{ kind, text }] : []
  switch (name) {
    case 'action':
      return term('action', value)
    case 'actor':
      return term('actor', idOf(value))
    case 'targets':
      return (value as JsonValue[]).flatMap((target) => term('target', idOf(target)))
    case 'outcome':
      return term('outcome', value)
    default:
      return []
  }
}

/** The id of a party. */
export const idOf = (party: JsonValue | undefined) => (isObject(party) ? party.id : undefined)

/** An event as filters look at it. */
type Filtered = { source: string; stream: string; fields: JsonObject }

type Filter = {
  description: string
  maxLength: number
  /** The only values that it can have. */
  values?: readonly string[]
  /** Whether a whole pack has the term, as all its events do. */
  isOfPack: boolean
  /** What packs are found by; it may find more than is asked for. */
  term(text: string): Term
  /** The last word. An event that has lost the field matches: its keys say so. */
  matches(event: Filtered, text: string): boolean
}

const isPrefix = (text: string) => text.endsWith('.*')

const filters = {
  action: {
    description: 'action, or `invoice.*`: every action that begins with `invoice.`',
    maxLength: 258,
    isOfPack: false,
    term(text: string): Term {
      if (!isPrefix(text)) return { kind: 'action', text }
      const parts = text.slice(0, -2).split('.')
      return { kind: 'prefix', text: parts.slice(0, MAX_PREFIXES).join('.') }
    },
    matches: ({ fields: { action } }: Filtered, text: string) =>
      action === undefined || (isPrefix(text) ? String(action).startsWith(text.slice(0, -1)) : action === text),
  },
  actor: {
    description: 'id of the actor',
    maxLength: 512,
    isOfPack: false,
    term: (text: string): Term => ({ kind: 'actor', text }),
    matches: ({ fields: { actor } }: Filtered, text: string) => actor === undefined || idOf(actor) === text,
  },
  target: {
    description: 'id of one of the targets',
    maxLength: 512,
    isOfPack: false,
    term: (text: string): Term => ({ kind: 'target', text }),
    matches: ({ fields: { targets } }: Filtered, text: string) =>
      targets === undefined || (targets as JsonValue[]).some((target) => idOf(target) === text),
  },
  outcome: {
    description: 'outcome',
    maxLength: 16,
    values: ['success', 'failure', 'denied'],
    isOfPack: false,
    term: (text: string): Term => ({ kind: 'outcome', text }),
    matches: ({ fields: { outcome } }: Filtered, text: string) => outcome === undefined || outcome === text,
  },
  source: {
    description: 'source',
    maxLength: 64,
    isOfPack: true,
    term: (text: string): Term => ({ kind: 'source', text }),
    matches: ({ source }: Filtered, text: string) => source === text,
  },
  stream: {
    description: 'stream, of whatever source',
    maxLength: 64,
    isOfPack: true,
    term: (text: string): Term => ({ kind: 'stream', text }),
    matches: ({ stream }: Filtered, text: string) => stream === text,
  },
} satisfies { readonly [name: string]: Filter }

export type FilterName = keyof typeof filters
export type Filters = { [name in FilterName]?: string | undefined }

export const FILTERS: { readonly [name in FilterName]: Filter } = filters

/** Those of some filters that ask for something, each with what it asks for. */
export const asked = (query: Filters): [Filter, string][] =>
  (Object.keys(FILTERS) as FilterName[]).flatMap((name) => {
    const text = query[name]
    return text === undefined ? [] : [[FILTERS[name], text] as [Filter, string]]
  })
