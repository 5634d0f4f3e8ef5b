/**
 * What events can be searched for: the kinds of terms, the schemes that say which terms of an event get keys, and the filters of
 * a search. A new filter is an entry here, a line in event-reader.ts that reads its field, and a new scheme.
 *
 * The way to make a term's key never changes (event-keys.ts). A scheme never changes once keys have been stored by it: its number
 * is stored beside them, the audit makes them again by it, and test/vectors/search-keys.json pins its bytes.
 */

import { isObject, type JsonValue, meets, type ShownEvent } from '@killick/sdk/core'

/** The first byte of the text that is hashed to a key; no other kind may ever use it. */
export const KIND_BYTES = {
  source: 0x73,
  stream: 0x6d,
  action: 0x61,
  /** The part of an action before one of its first dots: `invoice` of `invoice.send`. */
  prefix: 0x70,
  actor: 0x75,
  target: 0x74,
  outcome: 0x6f,
  /** The member `tenant` of the context. */
  tenant: 0x6e,
} as const

export type TermKind = keyof typeof KIND_BYTES

/** The kinds of terms that get keys, by the scheme's number. */
export const SCHEMES: { readonly [scheme: number]: ReadonlySet<TermKind> } = {
  1: new Set(['source', 'action', 'actor', 'target']),
  2: new Set(['source', 'stream', 'action', 'prefix', 'actor', 'target', 'outcome']),
  3: new Set(['source', 'stream', 'action', 'prefix', 'actor', 'target', 'outcome', 'tenant']),
}

/** The scheme for new keys. */
export const NEWEST = 3

/** Longest tenant that can be searched for, in UTF-16 units. */
const MAX_TENANT = 512

/** How many dots of an action a prefix may end before. */
export const MAX_PREFIXES = 4

export type Term = { kind: TermKind; text: string }

/** The schemes whose keys have terms of all these kinds. */
export const schemesWith = (terms: readonly Term[]): number[] =>
  Object.keys(SCHEMES)
    .map(Number)
    .filter((scheme) => terms.every(({ kind }) => SCHEMES[scheme]!.has(kind)))

/** The terms of the pack itself, which all its events share, in the order of their keys. */
export const packTerms = ({ source, stream }: { source: string; stream: string }): Term[] => [
  { kind: 'source', text: source },
  { kind: 'stream', text: stream },
]

/** The terms of a field of an event, without an action's prefixes, in the order of their keys. */
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
    case 'context':
      return term('tenant', tenantOf(value))
    default:
      return []
  }
}

/** The tenant that a context names, if it can be searched for. */
export function tenantOf(context: JsonValue | undefined): string | undefined {
  const tenant = isObject(context) ? context.tenant : undefined
  return typeof tenant === 'string' && tenant !== '' && tenant.length <= MAX_TENANT ? tenant : undefined
}

/** The id of a party. */
export const idOf = (party: JsonValue | undefined) => (isObject(party) ? party.id : undefined)

type Filter = {
  description: string
  maxLength: number
  /** The only possible values. */
  values?: readonly string[]
  /** Whether the term belongs to a whole pack, since all its events have it. */
  isOfPack: boolean
  /** The term for finding packs; it may find more than was asked for. */
  term(text: string): Term
  /** Whether the event really matches. An event that has lost the field does, since its keys say so. */
  matches(event: ShownEvent, text: string): boolean
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
    matches: meets.action,
  },
  actor: {
    description: 'id of the actor',
    maxLength: 512,
    isOfPack: false,
    term: (text: string): Term => ({ kind: 'actor', text }),
    matches: meets.actor,
  },
  target: {
    description: 'id of one of the targets',
    maxLength: 512,
    isOfPack: false,
    term: (text: string): Term => ({ kind: 'target', text }),
    matches: meets.target,
  },
  outcome: {
    description: 'outcome',
    maxLength: 16,
    values: ['success', 'failure', 'denied'],
    isOfPack: false,
    term: (text: string): Term => ({ kind: 'outcome', text }),
    matches: meets.outcome,
  },
  tenant: {
    description: 'tenant: the member `tenant` of the context',
    maxLength: MAX_TENANT,
    isOfPack: false,
    term: (text: string): Term => ({ kind: 'tenant', text }),
    matches: meets.tenant,
  },
  source: {
    description: 'source',
    maxLength: 64,
    isOfPack: true,
    term: (text: string): Term => ({ kind: 'source', text }),
    matches: meets.source,
  },
  stream: {
    description: 'stream, of any source',
    maxLength: 64,
    isOfPack: true,
    term: (text: string): Term => ({ kind: 'stream', text }),
    matches: meets.stream,
  },
} satisfies { readonly [name: string]: Filter }

export type FilterName = keyof typeof filters
export type Filters = { [name in FilterName]?: string | undefined }

export const FILTERS: { readonly [name in FilterName]: Filter } = filters

/** The filters that are set, each with its text. */
export const asked = (query: Filters): [Filter, string][] =>
  (Object.keys(FILTERS) as FilterName[]).flatMap((name) => {
    const text = query[name]
    return text === undefined ? [] : [[FILTERS[name], text] as [Filter, string]]
  })
