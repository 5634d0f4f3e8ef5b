import type { SourceAnswer } from '../../../src/http/answers.ts'
import { h } from '../../shared/dom.ts'
import { said } from '../../shared/text.ts'
import { plural } from '../../shared/words.ts'
import { api } from '../api.ts'
import { empty, exactly, labelled, moreButton, row, table, view, when } from '../parts.ts'

const HEADS = ['Source', 'Key', 'Curve', 'From', 'Until', 'Signs', 'Promises']

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
        'npx -p @killick/sdk killick keygen --out billing-api.key.json',
      ),
    rows,
    more,
  )
}

function keyRows({ source, eventSignatures, keys, heartbeat, silence }: SourceAnswer): HTMLElement[] {
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
        promise(heartbeat, silence),
      ),
    ),
  )
}

/** What it promises, and whether it keeps it, as the service has seen. */
function promise(heartbeat: number | null, silence: SourceAnswer['silence']): HTMLElement {
  if (heartbeat === null) return h('span', { class: 'note' }, 'nothing')
  const often = `an event every ${exactly(heartbeat)}`
  if (silence === null) return h('span', {}, often)
  const { streams, since } = silence
  const what = streams === 0 ? 'it has never recorded anything, since ' : `${plural(streams, 'stream')} silent since `
  return h('span', {}, often, h('span', { class: 'bad note below' }, what, when(since)))
}
