// What the service finds events by, scheme by scheme. The keys are made here a second time, from the words of filters.ts alone, so
// that a scheme whose keys are stored already cannot come to mean something else.

import { createHash } from 'node:crypto'
import { type JsonObject, parseEvent } from '@killick/sdk/core'
import { signerFor } from './keys.ts'
import { INPUTS, makeEvents, SOURCE, STREAM } from './world.ts'

type Id = { id: string }

const OTHERS = [
  {
    action: 'a.b.c.d.e.f',
    actor: { type: 'user', id: 'ü' },
    targets: ['x', 'y', 'x'].map((id) => ({ type: 't', id })),
  },
  { action: '.', actor: { type: 'user', id: '.' }, targets: [], outcome: 'success' as const },
  {
    action: 'of.a.tenant',
    actor: { type: 'user', id: 'x' },
    targets: [],
    context: { tenant: 'acme', ip: '192.0.2.1' },
  },
  {
    action: 'of.none',
    actor: { type: 'user', id: 'x' },
    targets: [],
    context: { of: { tenant: 'acme' }, tenants: 'acme', tenant: 7 },
  },
  { action: 'of.long', actor: { type: 'user', id: 'x' }, targets: [], context: { tenant: 'ü'.repeat(513) } },
  { action: 'of.longest', actor: { type: 'user', id: 'x' }, targets: [], context: { tenant: 'ü'.repeat(512) } },
  { action: 'ünder.dots..', actor: { type: 'user', id: '🎉' }, targets: [] },
]

function term(kind: string, text: string): string {
  const key = createHash('sha256').update(`${kind}${text}`).digest().subarray(0, 8)
  key[0]! |= 0xc0
  return key.toString('hex')
}

/** For each scheme, the keys of a pack and those of a field. */
const SCHEMES: Record<number, { pack: string[]; field(name: string, value: unknown): string[] }> = {
  1: { pack: [term('s', SOURCE)], field: (name, value) => termsOf(name, value, 0) },
  2: { pack: [term('s', SOURCE), term('m', STREAM)], field: (name, value) => termsOf(name, value, 4) },
  3: {
    pack: [term('s', SOURCE), term('m', STREAM)],
    field: (name, value) => [...termsOf(name, value, 4), ...(name === 'context' ? tenantOf(value) : [])],
  },
}

function termsOf(name: string, value: unknown, prefixes: number): string[] {
  if (name === 'action') {
    const parts = String(value).split('.').slice(0, -1).slice(0, prefixes)
    return [term('a', String(value)), ...parts.map((_, i) => term('p', parts.slice(0, i + 1).join('.')))]
  }
  if (name === 'actor') return [term('u', (value as Id).id)]
  if (name === 'targets') return (value as Id[]).map(({ id }) => term('t', id))
  return name === 'outcome' && prefixes > 0 ? [term('o', String(value))] : []
}

function tenantOf(context: unknown): string[] {
  const { tenant } = context as { tenant?: unknown }
  return typeof tenant === 'string' && tenant.length <= 512 ? [term('n', tenant)] : []
}

export async function searchKeys() {
  const inputs = [...INPUTS, ...OTHERS]
  const tokens = await makeEvents(signerFor('source Ed25519'), 0, inputs)
  return Object.entries(SCHEMES).map(([scheme, { pack, field }]) => ({
    scheme: Number(scheme),
    source: SOURCE,
    stream: STREAM,
    pack,
    events: tokens.map((token) => {
      const event = parseEvent(token)
      const leaf = Buffer.from(event.leafHash.subarray(0, 8))
      leaf[0]! &= 0x7f
      const names = [leaf.toString('hex'), event.id.replaceAll('-', '').slice(16)]
      const terms = event.disclosures.flatMap(({ name, value }) => field(name, value))
      return { description: String((event.fields as JsonObject).action), token, keys: [...names, ...terms] }
    }),
  }))
}
