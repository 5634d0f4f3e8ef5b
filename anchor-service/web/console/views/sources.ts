import type { SourceAnswer } from '../../../src/http/answers.ts'
import { h } from '../../shared/dom.ts'
import { said } from '../../shared/text.ts'
import { api } from '../api.ts'
import { empty, labelled, moreButton, row, table, view, when } from '../parts.ts'

const HEADS = ['Source', 'Key', 'Curve', 'From', 'Until', 'Signs']

type Page = { sources: SourceAnswer[]; next: string | null }

export async function sources(): Promise<HTMLElement> {
  const first = await api<Page>('/v1/sources')
  const rows = table(HEADS, first.sources.flatMap(keyRows), 'Keys')
  const more = moreButton('More sources', first.next, async (cursor) => {
    const page = await api<Page>(`/v1/sources?cursor=${cursor}`)
    rows.querySelector('tbody')!.append(...page.sources.flatMap(keyRows))
    return page.next
  })
  return view(
    'Sources',
    first.sources.length <= 1 &&
      empty(
        'Only the ledger itself is registered.',
        'Make a key for the first system that records, and register its public part with POST /v1/sources:',
        'npx killick keygen --out billing-api.key.json',
      ),
    rows,
    more,
  )
}

function keyRows({ source, eventSignatures, keys }: SourceAnswer): HTMLElement[] {
  return keys.map(({ kid, jwk, notBefore, notAfter }) =>
    labelled(
      HEADS,
      row(
        h('a', { href: `#/streams?source=${encodeURIComponent(source)}` }, said(source)),
        h('code', {}, kid),
        said(jwk.crv),
        notBefore ? when(notBefore) : 'always',
        notAfter ? when(notAfter) : 'no end',
        eventSignatures === 'required' ? 'each event' : 'batches',
      ),
    ),
  )
}
