import { h } from '../../page/dom.ts'
import { said } from '../../page/text.ts'
import { api, type Source, type Stream } from '../api.ts'
import { empty, row, table, view, when } from '../parts.ts'

export async function sources(): Promise<HTMLElement> {
  const [{ sources: all }, { streams }] = await Promise.all([
    api<{ sources: Source[] }>('/v1/sources'),
    api<{ streams: Stream[] }>('/v1/streams'),
  ])
  const keys = all.flatMap(({ source, eventSignatures, keys }) =>
    keys.map(({ kid, jwk, notBefore, notAfter }) =>
      row(
        said(source),
        h('code', {}, kid),
        said(jwk.crv),
        notBefore ? when(notBefore) : 'always',
        notAfter ? when(notAfter) : 'no end',
        eventSignatures === 'required' ? 'each event' : 'batches',
      ),
    ),
  )
  const own = all.length <= 1
  return view(
    'Sources',
    own &&
      empty(
        'Only the ledger itself is registered.',
        'Make a key for the first system that records, and register its public part with POST /v1/sources:',
        'npx killick keygen --out billing-api.key.json',
      ),
    table(['Source', 'Key', 'Curve', 'From', 'Until', 'Signs'], keys, 'Keys'),
    h('h2', {}, 'Streams'),
    h('p', { class: 'note' }, 'A stream has no gaps: the service refuses a batch that does not follow.'),
    table(
      ['Source', 'Stream', 'Events', 'Last batch (UTC)'],
      streams.map((s) =>
        row(
          h('a', { href: `#/events?source=${encodeURIComponent(s.source)}` }, said(s.source)),
          h('a', { href: `#/event/${s.source}/${s.stream}/${Math.max(0, s.events - 1)}` }, said(s.stream)),
          s.events.toLocaleString('en'),
          when(s.lastAt),
        ),
      ),
      'Streams',
    ),
  )
}
