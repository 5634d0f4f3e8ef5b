/** A bundle: its file is read in slices, checked while it is read, and told of in two answers. */
import { type BundleVerdict, verifyBundle } from '@killick/sdk/bundle'
import { KillickError, readAnchors, readLogHeads } from '@killick/sdk/verify'
import type { IconName } from '../../shared/dom.ts'
import type { Rung, Tone } from '../../shared/summary.ts'
import type { BundleView, Given, Kit } from './kit.ts'
import { signatureChecker } from './signatures.ts'
import { type BundleWords, english, german } from './words.ts'
import { openWorkers } from './workers.ts'

/** Read at a time; between two of them the browser draws. */
const SLICE_BYTES = 1 << 17
/** Gaps and faults that are listed. */
const LISTED = 20
const ICONS: Record<Tone, IconName> = { good: 'passed', word: 'word', bad: 'failed', wait: 'wait', open: 'open' }

type State =
  | { readonly kind: 'reading'; readonly events: number; readonly read: number }
  | { readonly kind: 'stopped' | 'gone' }
  | { readonly kind: 'refused'; readonly error: KillickError }
  | { readonly kind: 'judged'; readonly verdict: BundleVerdict; readonly given: Given }

/** @param code where the script for workers is; null: nowhere */
export function openBundle(file: File, kit: Kit, code: string | null): BundleView {
  const element = kit.h('div', { id: 'bundle' })
  let state: State = { kind: 'reading', events: 0, read: 0 }
  let current = new AbortController()

  function show(next: State): void {
    const isNew = next.kind !== state.kind || element.childElementCount === 0
    state = next
    if (!isNew && next.kind === 'reading') update(element, next, file.size, kit)
    else draw()
  }

  function draw(): void {
    const told = wordsOf(kit)
    element.replaceChildren(...views(state, told, kit, () => view.stop()))
    const headline = element.querySelector('h1')?.textContent ?? ''
    document.title = `${headline} · Killick`
    if (state.kind !== 'reading')
      kit.tell([...element.querySelectorAll('.banner > div')].map(({ textContent }) => textContent).join(' '))
  }

  const view: BundleView = {
    element,
    draw,
    stop() {
      current.abort()
      if (state.kind === 'reading') show({ kind: 'stopped' })
    },
    async verify(given) {
      current.abort()
      const mine = new AbortController()
      current = mine
      let events = 0
      const onRead = (read: number) => mine.signal.aborted || show({ kind: 'reading', events, read })
      onRead(0)
      const { rpcs, ...pins } = given.pins
      const workers = openWorkers(code, file.size)
      try {
        const verdict = await verifyBundle(
          slicesOf(file, mine.signal, onRead),
          {
            ...pins,
            facts: async (anchors) => (rpcs.length > 0 ? readAnchors({ anchors }, rpcs) : []),
            heads: async (logs) => (rpcs.length > 0 ? readLogHeads(logs, rpcs) : []),
          },
          {
            checkSignature: signatureChecker(),
            reader: workers.reader,
            signal: mine.signal,
            onProgress: (progress) => {
              events = progress.events
            },
          },
        )
        if (!mine.signal.aborted) show({ kind: 'judged', verdict, given })
      } catch (error) {
        if (mine.signal.aborted) return
        if (error instanceof KillickError) show({ kind: 'refused', error })
        else if (error instanceof DOMException) show({ kind: 'gone' })
        else throw error
      } finally {
        workers.close()
      }
    },
  }
  return view
}

async function* slicesOf(file: File, signal: AbortSignal, onRead: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < file.size; at += SLICE_BYTES) {
    signal.throwIfAborted()
    const bytes = new Uint8Array(await file.slice(at, at + SLICE_BYTES).arrayBuffer())
    onRead(at)
    yield bytes
  }
}

function wordsOf(kit: Kit): BundleWords {
  const { tag, number, time, list } = kit.words()
  return (tag === 'de' ? german : english)({ number, time, list })
}

function update(
  element: HTMLElement,
  { events, read }: Extract<State, { kind: 'reading' }>,
  size: number,
  kit: Kit,
): void {
  element.querySelector('progress')!.value = size === 0 ? 0 : read / size
  element.querySelector('[data-read]')!.textContent = wordsOf(kit).read(events, Math.floor((100 * read) / (size || 1)))
}

function views(state: State, told: BundleWords, kit: Kit, stop: () => void): Node[] {
  const { h } = kit
  if (state.kind === 'judged') return judged(state.verdict, state.given, told, kit)
  if (state.kind === 'reading')
    return [
      h(
        'section',
        { class: 'banner wait', 'data-state': 'reading' },
        h('span', { class: 'seal' }, kit.icon('wait')),
        h(
          'div',
          {},
          h('h1', {}, told.reading),
          h('progress', { max: 1, value: 0, 'aria-label': told.reading }),
          h('p', { 'data-read': true }, told.read(state.events, 0)),
          h('button', { type: 'button', onclick: stop }, told.stop),
        ),
      ),
    ]
  const [headline, reason] =
    state.kind === 'refused' ? told.unreadable : state.kind === 'gone' ? told.gone : told.stopped
  const detail = state.kind === 'refused' ? `${reason} (${state.error.code}).` : reason
  return [banner({ tone: 'open', state: state.kind, headline, reasons: [detail], caveats: [] }, kit)]
}

type Silences = NonNullable<BundleVerdict['silences']>

type Answer = {
  readonly tone: Tone
  readonly state: string
  readonly headline: string
  readonly reasons: readonly string[]
  readonly caveats: readonly string[]
  readonly rung?: { readonly name: Rung; readonly words: string } | null
}

function banner(
  { tone, state, headline, reasons, caveats, rung = null }: Answer,
  { h, icon, said }: Kit,
  level: 'h1' | 'h2' = 'h1',
): HTMLElement {
  return h(
    'section',
    { class: `banner ${tone}`, 'data-state': state, 'data-trust': rung?.name },
    h('span', { class: 'seal' }, icon(ICONS[tone])),
    h(
      'div',
      {},
      h(
        level,
        {},
        rung !== null &&
          h('span', { class: `rung ${rung.name}` }, said(rung.words), h('span', { class: 'aside' }, ': ')),
        headline,
      ),
      ...reasons.map((reason) => h('p', {}, said(reason))),
      ...caveats.map((caveat) => h('p', { class: 'caveat' }, icon('failure'), ' ', h('span', {}, said(caveat)))),
    ),
  )
}

function judged(verdict: BundleVerdict, given: Given, told: BundleWords, kit: Kit): Node[] {
  const { h, said } = kit
  const first = genuine(verdict, given, told, kit)
  const second = complete(verdict, first.tone, told)
  /** The first of so many. */
  const list = <T>(items: readonly T[], count: number, print: (item: T) => string) => {
    const shown = items.slice(0, LISTED)
    const more = count - shown.length
    const lines = shown.map((item) => h('li', {}, said(print(item))))
    return h('ul', {}, ...lines, more > 0 && h('li', {}, told.complete.more(more)))
  }
  const { faults, faultCount, completeness, silences, fields } = verdict
  const { gaps, gapCount, dropped } = completeness
  const part = (id: string, title: string, body: HTMLElement) =>
    h('section', { 'aria-labelledby': id }, h('h2', { id }, title), body)
  return [
    banner(first, kit),
    banner(second, kit, 'h2'),
    ...(silences !== null && silences.foundCount > 0
      ? [
          banner(silent(silences, told), kit, 'h2'),
          part(
            'silences-title',
            told.silent.title,
            list(silences.found, silences.foundCount, told.phrases.silence.one),
          ),
        ]
      : []),
    ...(faultCount > 0
      ? [
          part(
            'faults-title',
            told.faults,
            list(faults, faultCount, (fault) => faultWords(fault, told)),
          ),
        ]
      : []),
    ...(fields !== null && fields.erasureCount > 0
      ? [part('erasures-title', told.erasures, list(fields.erasures, fields.erasureCount, told.phrases.fields.one))]
      : []),
    ...(gapCount > 0 && second.state === 'incomplete'
      ? [part('missing-title', told.complete.missing, list(gaps, gapCount, told.phrases.gap))]
      : []),
    ...(dropped.foundCount > 0
      ? [part('dropped-title', told.dropped, list(dropped.found, dropped.foundCount, told.phrases.dropped.one))]
      : []),
    facts(verdict, told, kit),
  ]
}

/** What was there is genuine all the same: so it stands beside the two answers, and changes neither. */
const silent = ({ foundCount, pairs, streams }: Silences, { silent }: BundleWords): Answer => ({
  ...{ tone: 'bad', state: 'silent', headline: silent.headline, caveats: [] },
  reasons: [silent.reason(foundCount, pairs, streams)],
})

/** As for a proof: green is for what the reader pinned. */
function genuine(verdict: BundleVerdict, { by, publisher }: Given, told: BundleWords, kit: Kit): Answer {
  const { outcome, missing, faultCount, anchors, origin, unanchored, keysOutside, fields } = verdict
  if (outcome === 'failed') {
    const [headline, reason] = told.genuine.no(faultCount)
    return { tone: 'bad', state: 'failed', headline, reasons: [reason], caveats: [] }
  }
  const words = kit.words()
  const held = anchors.filter((anchor) => anchor.held)
  const isTest = held.length > 0 && held.every(({ chainId }) => kit.isTestChain(chainId))
  const caveats = [
    ...(isTest ? [told.test(kit.chainName(held[0]!.chainId))] : []),
    ...(unanchored ? [told.phrases.unanchored(unanchored)] : []),
    ...(keysOutside.foundCount > 0 ? [told.phrases.keysOutside.found(keysOutside.foundCount)] : []),
  ]
  // Where log and contract are vouched for, which key is the source's is the log's word, where nobody pinned it.
  if (missing.some((each) => each !== 'source_key')) {
    const [headline, reason] = told.genuine.open(missing.map((each) => words.verdict.missing[each]))
    const rung = { name: 'unchecked', words: words.rungs.unchecked } as const
    return { tone: 'open', state: 'undecided', headline, reasons: [reason], caveats, rung }
  }
  const isOwn = missing.length === 0 && Object.values(by).every((who) => who === 'you')
  const whose = Object.values(by).includes('publisher') ? (publisher ?? words.anonymous) : (origin ?? '')
  const isPartial = fields !== null && fields.erased + fields.expired + fields.hidden + fields.undecided > 0
  const [headline, reason] = told.genuine.yes(isPartial)
  const since = isTest || unanchored ? '.' : told.genuine.since(kit.chainName(held[0]!.chainId))
  return {
    ...{ tone: isOwn ? 'good' : 'word', state: 'genuine', headline, caveats },
    reasons: [`${reason}${since}${told.genuine.claim}`],
    rung: isOwn ? { name: 'pinned', words: words.rungs.pinned } : { name: 'word', words: words.rungs.word(whose) },
  }
}

function complete({ completeness, fields, scope, origin }: BundleVerdict, tone: Tone, told: BundleWords): Answer {
  const { verdict, after, by, streams, ended, gapCount, absent, dropped, isReached, heads } = completeness
  const words = told.complete
  const means = told.phrases.completeness
  const isSource = scope?.kind === 'source'
  const isOnlyDropped = gapCount === 0 && dropped.events > 0 && verdict === 'incomplete'
  const more = [
    ...(verdict === 'incomplete' && gapCount > 0 ? [means.absent(absent.events, absent.entries)] : []),
    ...(dropped.events > 0 && !isOnlyDropped ? [told.phrases.dropped.found(dropped.events)] : []),
    ...(verdict === 'incomplete' && !isReached ? [means.notReached] : []),
    ...(after === null ? [] : [means.after(after)]),
    ...(by === null ? [] : [means.by(by)]),
    ...heads.map(means.head),
    ...(isSource && streams > ended ? [means.notEnded(streams - ended, streams)] : []),
    ...(['erased', 'expired', 'undecided'] as const)
      .filter((name) => (fields?.[name] ?? 0) > 0)
      .map((name) => told.phrases.fields[name](fields![name])),
  ]
  const answer = (
    tone: Tone,
    state: string,
    [headline, reason]: readonly [string, string],
    caveats: string[] = [],
  ) => ({
    ...{ tone, state, headline },
    reasons: [reason, ...more],
    caveats: [...caveats, ...(fields !== null && fields.hidden > 0 ? [told.phrases.fields.hidden(fields.hidden)] : [])],
  })
  switch (verdict) {
    case 'complete':
      return answer(
        tone,
        'complete',
        isSource ? words.source : words.stream,
        tone === 'open' ? [words.onCondition] : [],
      )
    case 'incomplete':
      // That it was dropped is the log's word, and no proof that it may have been.
      if (isOnlyDropped) return answer(tone === 'open' ? 'open' : 'word', 'dropped', words.dropped(dropped.events))
      return answer('bad', 'incomplete', words.incomplete(gapCount))
    case 'open':
      return answer('open', 'open', words.open)
    case 'as_index_says':
      return answer(tone === 'open' ? 'open' : 'word', 'as-index-says', words.index(origin))
    default:
      return { tone: 'open', state: 'not-judged', headline: words.unknown[0], reasons: [words.unknown[1]], caveats: [] }
  }
}

function faultWords(fault: BundleVerdict['faults'][number], told: BundleWords): string {
  const { file, line, reason, code, logIndex, source, stream, seq } = fault
  const what = [
    line === undefined ? null : told.line(line),
    logIndex === undefined ? null : told.entry(logIndex),
    source === undefined ? null : `${source}/${stream}${seq === undefined ? '' : ` ${seq}`}`,
    code ?? null,
  ].filter((each) => each !== null)
  return `${file} ${told.phrases.reasons[reason]}${what.length > 0 ? ` (${what.join(', ')})` : ''}`
}

function facts(verdict: BundleVerdict, told: BundleWords, { h, said, chainName, words }: Kit): HTMLElement {
  const {
    outcome,
    scope,
    events,
    registrations,
    entries,
    origin,
    size,
    sources,
    signatures,
    anchors,
    silences,
    made,
    forPeople,
  } = verdict
  const { number, time, list } = words()
  const text = told.facts
  const held = anchors.filter((anchor) => anchor.held)
  const newest = held.at(-1)
  const strong = (value: string) => h('strong', {}, said(value))
  const note = (value: string) => h('span', { class: 'note' }, value)
  const rows: [string, ...(Node | string)[]][] = []
  if (scope !== null) rows.push([text.of, said(told.phrases.scope(scope))])
  rows.push([text.events, strong(number(events)), note(text.registrations(registrations))])
  if (origin !== null) rows.push([text.log, strong(origin), note(text.size(entries, size ?? 0))])
  const names = sources.map(({ source }) => source).filter((source) => source !== 'killick')
  if (names.length > 0) rows.push([text.sources, strong(names.slice(0, LISTED).join(', '))])
  rows.push([text.signatures, text.verified(signatures)])
  rows.push([
    text.anchors,
    text.held(held.length, anchors.length, held.filter(({ final }) => !final).length),
    ...(newest === undefined
      ? []
      : [note(text.newest(new Date(1000 * newest.time).toISOString(), chainName(newest.chainId)))]),
  ])
  if (silences !== null && silences.pairs > 0 && silences.foundCount === 0)
    rows.push([told.silent.fact, told.silent.none(silences.pairs, silences.streams)])
  if (made !== null) rows.push([text.made, time(made.at), note(text.from), said(made.url)])
  if (forPeople.length > 0) rows.push([text.forPeople, text.notChecked(list(forPeople.map(({ name }) => name)))])
  const isBad = outcome === 'failed'
  return h(
    'section',
    { class: 'facts', 'aria-labelledby': 'facts-title' },
    h('h2', { id: 'facts-title', class: isBad ? '' : 'quiet' }, isBad ? text.claims : text.title),
    h('dl', {}, ...rows.flatMap(([name, ...value]) => [h('dt', {}, name), h('dd', {}, ...value)])),
  )
}
