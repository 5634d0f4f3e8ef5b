/** The verification page: takes a proof, asks the chain, shows the verdict. No server is asked for the answer. */
import { type AnchorFact, KillickError, type Proof, readAnchors, verifyProof } from '@killick/sdk/verify'
import { h } from '../shared/dom.ts'
import { OUTCOME_WORDS, outcomeOf } from '../shared/outcome.ts'
import { record } from '../shared/record.ts'
import { type Asked, summarize, type Word } from '../shared/summary.ts'
import { combine, type Pins } from '../shared/trust.ts'
import { banner, facts, standing } from '../shared/verdict.ts'
import { pathOf } from './path.ts'
import { embeddedPublisher, readPublisher } from './publisher.ts'
import { fromFile, fromFragment, fromService, fromText, LinkError } from './read-proof.ts'
import { type Tampered, tamper } from './tamper.ts'
import { alone } from './views/alone.ts'
import { checks } from './views/checks.ts'
import { header, intake, welcome } from './views/intro.ts'
import { paper } from './views/paper.ts'
import { path } from './views/path.ts'
import { linkWith, raw } from './views/raw.ts'
import { inputRefusal, linkRefusal } from './views/refusal.ts'
import { tamperControl } from './views/tamper.ts'
import { trustForm } from './views/trust.ts'

const page = document.getElementById('page')!
const settings = {
  trust: page.dataset.trust ?? './trust.json',
  proof: page.dataset.proof,
  home: page.dataset.home ?? '',
}

const above = h('div', { id: 'above' })
const below = h('div', { id: 'below' })
/** Screen readers announce what changes in an element that stays; the verdict itself is drawn anew each time. */
const announcer = h('p', { role: 'status', class: 'announcer' })
const form = trustForm(() => verify())
const next = h('div', {})
const drop = {
  file: (file: File) => load(() => fromFile(file)),
  text: (text: string) => load(async () => fromText(text)),
}

let publisher: Pins | null = null
let proof: Proof | null = null
let tampered: Tampered | null = null
/** The share's link, while what it led to is shown. */
let opened: string | null = null
/** Of what is shown now. */
let foot: ReturnType<typeof paper> | null = null
/** Counts what was begun, so that a slow answer never overwrites a later one. */
let turn = 0

async function load(read: () => Promise<Proof>): Promise<void> {
  const mine = ++turn
  tampered = null
  opened = null
  try {
    const taken = await read()
    if (mine !== turn) return
    proof = taken
  } catch (error) {
    if (mine !== turn) return
    proof = null
    if (error instanceof LinkError) refuse(linkRefusal(error))
    else if (error instanceof KillickError) refuse(inputRefusal(error))
    else throw error
    return
  }
  form.showClaims(proof)
  next.replaceChildren(intake(drop, false))
  await verify()
  if (mine === turn - 1) scrollTo({ top: 0 })
}

function refuse(view: HTMLElement): void {
  document.title = `${view.querySelector('h1')?.textContent} · Killick`
  announcer.textContent = view.textContent
  above.replaceChildren(view)
  below.replaceChildren()
  form.element.hidden = true
  next.replaceChildren(intake(drop, true))
}

/** Shows what can be told without the chain at once, then asks it. */
async function verify(): Promise<void> {
  if (proof === null) return
  const mine = ++turn
  const shown = tampered?.proof ?? proof
  const { rpcs } = combine(form.pins(), publisher)
  const nodes = rpcs.map((url) => new URL(url).host)
  const asking = rpcs.length > 0 && shown.anchors.length > 0
  render(shown, { nodes, asking, facts: [] })
  if (!asking) return
  let requests = 0
  const counted: typeof fetch = (...request) => {
    requests++
    return fetch(...request)
  }
  const read = await readAnchors(shown, rpcs, { fetch: counted })
  if (mine === turn) render(shown, { nodes, asking: false, facts: read, requests })
}

function render(shown: Proof, asked: Asked): void {
  const { trust, by, rpcs } = combine(form.pins(), publisher)
  const word: Word = { by, publisher: publisher?.publisher }
  const verdict = verifyProof(shown, { ...trust, facts: asked.facts as AnchorFact[] })
  const summary = summarize(verdict, shown, asked, word)
  const focused = document.activeElement?.id
  const headline = summary.rung === null ? summary.headline : `${summary.rung.words}: ${summary.headline}`
  document.title = `${headline} · Killick`
  const ending = verdict.event && summary.tone !== 'bad' ? `${OUTCOME_WORDS[outcomeOf(verdict.event)]}. ` : ''
  announcer.textContent = `${headline}. ${ending}${summary.reason} ${summary.caveats.join(' ')}`
  form.element.hidden = false
  const cheat = tamperControl(proof!, tampered, summary, {
    change: (place) => {
      tampered = tamper(proof!, place)
      void verify()
    },
    restore: () => {
      tampered = null
      void verify()
    },
  })
  const views = [
    banner(summary, verdict.event, form.focus),
    facts(verdict, shown, summary.tone === 'bad'),
    record(verdict),
    standing(verdict, shown, asked, word),
    alone({ ...trust, rpcs }, shown, verdict, settings.home, by),
    checks(verdict),
    cheat,
    path(pathOf(shown, verdict)),
  ]
  above.replaceChildren(...views.filter((view) => view !== null))
  if (!asked.asking) performance.mark('verdict')
  const id = verdict.event?.id ?? 'proof'
  foot = paper(id)
  void (opened !== null ? Promise.resolve(opened) : linkWith(shown, settings.home)).then(foot.show)
  below.replaceChildren(raw(shown, id, settings.home, opened), foot.element)
  if (focused) (document.getElementById(focused) ?? document.getElementById('change'))?.focus({ preventScroll: true })
}

/** @param ready until then what is dropped waits, for what the page begins with would take its place */
function takeDrops(ready: Promise<void>): void {
  const over = (on: boolean) => (event: DragEvent) => {
    event.preventDefault()
    document.body.classList.toggle('dropping', on)
  }
  document.addEventListener('dragover', over(true))
  document.addEventListener('dragleave', over(false))
  document.addEventListener('drop', (event) => {
    over(false)(event)
    // Only now does the event tell what was dropped.
    const file = event.dataTransfer?.files[0]
    const text = event.dataTransfer?.getData('text') ?? ''
    void ready.then(() => (file ? drop.file(file) : drop.text(text)))
  })
}

async function start(): Promise<void> {
  // A saved copy of the page holds what it showed then; a verdict is only ever made anew.
  page.replaceChildren(header(settings.home), announcer, above, form.element, below, next)
  form.element.hidden = true
  const { promise: ready, resolve } = Promise.withResolvers<void>()
  takeDrops(ready)
  addEventListener('hashchange', open)
  addEventListener('beforeprint', () => foot?.print())
  publisher = embeddedPublisher() ?? (await readPublisher(settings.trust))
  form.showPublisher(publisher)
  const opening = open()
  resolve()
  await opening
}

async function open(): Promise<void> {
  if (location.hash.length > 1) return load(() => fromFragment(location.hash))
  if (settings.proof) {
    const { proof: url } = settings
    return load(async () => {
      const shared = await fromService(url)
      opened = location.href
      return shared
    })
  }
  above.replaceChildren(welcome())
  next.replaceChildren(intake(drop, true))
}

void start()
