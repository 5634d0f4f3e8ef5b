/** The front door: how the log stands now. Everything else on it is there without this script. */
import type { FrontAnswer } from '../../src/http/answers.ts'
import { type Child, copyable, h, type IconName, icon } from '../shared/dom.ts'
import { anchoredWords, moment } from '../shared/standing.ts'
import { said } from '../shared/text.ts'
import { chainName, isTestChain } from '../shared/words.ts'

const LOOK_EVERY_MS = 10_000

type Log = NonNullable<FrontAnswer['log']>

const state = document.getElementById('state')!
const count = (n: number): string => n.toLocaleString('en')

function banner(tone: 'word' | 'wait' | 'bad' | 'open', mark: IconName, title: Child[], ...more: Child[]): HTMLElement {
  return h(
    'section',
    { class: `banner ${tone}`, 'data-tone': tone, 'aria-label': 'How the log stands' },
    h('span', { class: 'seal' }, icon(mark)),
    h('div', {}, h('h2', {}, ...title), ...more),
  )
}

function standing(log: Log): HTMLElement {
  const { tone, title, more } = anchoredWords(log)
  const newest = log.anchors.toSorted((a, b) => b.size - a.size)[0]
  return banner(
    tone,
    tone === 'word' ? 'word' : tone,
    title,
    more !== '' && h('p', {}, more),
    h(
      'p',
      {},
      `${count(log.events)} ${log.events === 1 ? 'event' : 'events'} in ${count(log.entries)} log ${log.entries === 1 ? 'entry' : 'entries'}.`,
    ),
    newest !== undefined &&
      h(
        'p',
        { class: 'note' },
        `By this service’s own word: it saw the newest anchor in block ${newest.block} of ${chainName(newest.chainId)}, of `,
        moment(new Date(newest.time * 1000).toISOString()),
        isTestChain(newest.chainId) && ', which whoever runs it can rewrite',
        '. A proof lets anyone check that without believing it.',
      ),
  )
}

function draw({ status, isPrivate, log, origin, version, vkey }: FrontAnswer): void {
  document.getElementById('origin')!.replaceChildren(said(origin))
  document.title = `${origin} · Killick`
  const shown =
    status === 'not ready'
      ? banner(
          'bad',
          'failed',
          ['The service takes no batches now'],
          h('p', {}, 'Recorders keep what they have, and send it later.'),
        )
      : log === null
        ? banner(
            'open',
            'open',
            ['The service takes batches'],
            h(
              'p',
              {},
              isPrivate
                ? 'How the log stands is told to readers: sign in to the console first.'
                : 'How the log stands cannot be read now.',
            ),
          )
        : standing(log)
  state.replaceChildren(shown, ...(status === 'not ready' && log !== null ? [standing(log)] : []))
  document.getElementById('foot')!.replaceChildren(`Killick ${version}. The log’s key: `, copyable(vkey, 'log key'))
}

let drawn = ''
let asking = new AbortController()
async function look(): Promise<void> {
  // What has not come until the next look is no answer.
  asking.abort()
  asking = new AbortController()
  try {
    const answer = await fetch('/', { headers: { accept: 'application/json' }, signal: asking.signal })
    if (!answer.ok) throw new Error(`answered ${answer.status}`)
    const text = await answer.text()
    // Drawn anew only when something has changed, so that nobody loses their place; a time of today is one of yesterday at midnight.
    const now = new Date().toISOString().slice(0, 10) + text
    if (now === drawn) return
    draw(JSON.parse(text) as FrontAnswer)
    drawn = now
  } catch {
    // What something else answers in its place says as little as no answer: what stood here would be old.
    drawn = ''
    state.replaceChildren(
      banner('bad', 'failed', ['The service does not answer'], h('p', {}, 'This page asks again by itself.')),
    )
  }
}

void look()
setInterval(() => document.visibilityState === 'visible' && void look(), LOOK_EVERY_MS)
