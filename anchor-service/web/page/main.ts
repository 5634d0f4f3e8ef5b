/** The verification page: takes a proof, asks the chain, shows the verdict. No server is asked for the answer. */
import { type AnchorFact, KillickError, type Proof, readAnchors, verifyProof } from '@killick/sdk/verify'
import { h, icon } from '../shared/dom.ts'
import { ENGLISH } from '../shared/english.ts'
import { type Language, speak, words } from '../shared/language.ts'
import { outcomeOf } from '../shared/outcome.ts'
import { record } from '../shared/record.ts'
import { refusal } from '../shared/refusal.ts'
import { type Asked, summarize, type Word } from '../shared/summary.ts'
import { said } from '../shared/text.ts'
import { combine, type Pins } from '../shared/trust.ts'
import { banner, facts, standing } from '../shared/verdict.ts'
import { chainName, isTestChain } from '../shared/words.ts'
import type { BundleView } from './bundle/kit.ts'
import { bundleOpener, isBundle } from './fetched-bundle.ts'
import { wordsOf } from './fetched-words.ts'
import { keepChosen, LANGUAGES, type Offer, preferred, readChosen } from './languages.ts'
import { pathOf } from './path.ts'
import { embeddedPublisher, type Publisher, readPublisher } from './publisher.ts'
import { fromFile, fromFragment, fromService, fromText, LinkError } from './read-proof.ts'
import { type Tampered, tamper } from './tamper.ts'
import { alone } from './views/alone.ts'
import { checks } from './views/checks.ts'
import { header, intake, welcome } from './views/intro.ts'
import { languageSwitch } from './views/languages.ts'
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
  /** Where the page is one file, its icon is in it too. */
  icon: page.dataset.icon ?? `${page.dataset.home ?? ''}icon.svg`,
}

const above = h('div', { id: 'above' })
const below = h('div', { id: 'below' })
/** Screen readers announce what changes in an element that stays; the verdict itself is drawn anew each time. */
const announcer = h('p', { role: 'status', class: 'announcer' })
let form = trustForm(() => verify())
const next = h('div', {})
const drop = {
  file: (file: File) => void isBundle(file).then((is) => (is ? loadBundle(file) : load(() => fromFile(file)))),
  text: (text: string) => load(async () => fromText(text)),
  /** A verdict on one of them would be taken for one on all. */
  many: () =>
    load(async () => {
      throw refusal('proof_malformed', 'many_files')
    }),
}

let publisher: Pins | null = null
/** What stands in its place where it is refused. */
let published: Publisher = null
let proof: Proof | null = null
/** Instead of a proof. */
let bundle: BundleView | null = null
let tampered: Tampered | null = null
/** The share's link, while what it led to is shown. */
let opened: string | null = null
/** Of what is shown now. */
let foot: ReturnType<typeof paper> | null = null
/** Why there is no proof to show, where one was refused. */
let refused: LinkError | KillickError | null = null
/** What is known from the chain about what is shown. */
let known: Asked | null = null
/** Counts what was begun, so that a slow answer never overwrites a later one. */
let turn = 0

/** Puts away what is shown. @returns what is begun now */
function begin(): number {
  tampered = null
  opened = null
  refused = null
  known = null
  bundle?.stop()
  bundle = null
  return ++turn
}

async function loadBundle(file: File): Promise<void> {
  const mine = begin()
  proof = null
  const open = await bundleOpener(settings.home).catch(() => null)
  if (mine !== turn) return
  if (open === null) {
    // What stood there before is no verdict on this file.
    draw()
    announcer.textContent = words.intake.noBundles
    announcer.classList.remove('announcer')
    return
  }
  const tell = (text: string) => {
    announcer.textContent = text
  }
  bundle = open(file, { h, icon, said, isTestChain, chainName, words: () => words, tell })
  above.replaceChildren(bundle.element)
  below.replaceChildren()
  form.element.hidden = false
  next.replaceChildren(intake(drop, false))
  scrollTo({ top: 0 })
  await verify()
}

async function load(read: () => Promise<Proof>): Promise<void> {
  const mine = begin()
  try {
    const taken = await read()
    if (mine !== turn) return
    proof = taken
  } catch (error) {
    if (mine !== turn) return
    proof = null
    if (!(error instanceof LinkError || error instanceof KillickError)) throw error
    refused = error
    draw()
    return
  }
  form.showClaims(proof)
  next.replaceChildren(intake(drop, false))
  await verify()
  if (mine === turn - 1) scrollTo({ top: 0 })
}

function refuse(reason: LinkError | KillickError): void {
  const view = reason instanceof LinkError ? linkRefusal(reason) : inputRefusal(reason)
  document.title = `${view.querySelector('h1')?.textContent} · Killick`
  announcer.textContent = view.textContent
  above.replaceChildren(view)
  below.replaceChildren()
  form.element.hidden = true
  next.replaceChildren(intake(drop, true))
}

/** Shows what can be told without the chain at once, then asks it. */
async function verify(): Promise<void> {
  if (bundle !== null) {
    const { trust, by, rpcs } = combine(form.pins(), publisher)
    const { sourceKeys = [], logKeys = [], logs = [], confirmations } = trust
    const pins = { sourceKeys, logKeys, logs, rpcs, ...(confirmations !== undefined && { confirmations }) }
    await bundle.verify({ pins, by, publisher: publisher?.publisher })
    return
  }
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
  known = asked
  const { trust, by, rpcs } = combine(form.pins(), publisher)
  const word: Word = { by, publisher: publisher?.publisher }
  const verdict = verifyProof(shown, { ...trust, facts: asked.facts as AnchorFact[] })
  const summary = summarize(verdict, shown, asked, word)
  const focused = document.activeElement?.id
  const headline = summary.rung === null ? summary.headline : `${summary.rung.words}: ${summary.headline}`
  document.title = `${headline} · Killick`
  const ending = verdict.event && summary.tone !== 'bad' ? words.outcomes[outcomeOf(verdict.event)] : ''
  announcer.textContent = words.banner.spoken(headline, ending, summary.reason, summary.caveats)
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
    checks(verdict, word),
    cheat,
    path(pathOf(shown, verdict)),
  ]
  above.replaceChildren(...views.filter((view) => view !== null))
  if (!asked.asking) performance.mark('verdict')
  foot = paper(verdict.event?.id ?? 'proof')
  void (opened !== null ? Promise.resolve(opened) : linkWith(shown, verdict, settings.home)).then(foot.show)
  below.replaceChildren(raw(shown, verdict, settings.home, opened), foot.element)
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
    const [file, ...more] = event.dataTransfer?.files ?? []
    const text = event.dataTransfer?.getData('text') ?? ''
    void ready.then(() => (more.length > 0 ? drop.many() : file ? drop.file(file) : drop.text(text)))
  })
}

/** Draws what is there in the language that is spoken. Nothing is asked anew. */
function draw(): void {
  if (refused !== null) refuse(refused)
  else if (bundle !== null) {
    next.replaceChildren(intake(drop, false))
    bundle.draw()
  } else if (proof !== null && known !== null) {
    next.replaceChildren(intake(drop, false))
    render(tampered?.proof ?? proof, known)
  } else {
    document.title = `${words.welcome.title} · Killick`
    above.replaceChildren(welcome())
    below.replaceChildren()
    form.element.hidden = true
    next.replaceChildren(intake(drop, true))
  }
}

/** Says everything on the page in one language. */
function say(language: Language): void {
  speak(language)
  document.documentElement.lang = language.tag
  document.title = `${language.welcome.title} · Killick`
  const draft = form.draft()
  const { hidden } = form.element
  form = trustForm(() => verify(), draft)
  form.element.hidden = hidden
  form.showPublisher(published)
  if (proof !== null) form.showClaims(proof)
  const choose = async (offer: Offer) => {
    const chosen = await wordsOf(offer, settings.home).catch(() => null)
    if (chosen === null) {
      announcer.textContent = words.header.noWords(offer.name)
      announcer.classList.remove('announcer')
      return
    }
    const { id } = document.activeElement ?? {}
    keepChosen(offer.tag)
    say(chosen)
    if (tampered !== null) tampered = tamper(proof!, tampered.place)
    draw()
    document.getElementById(id ?? '')?.focus({ preventScroll: true })
  }
  page.replaceChildren(
    header(settings.icon, languageSwitch(LANGUAGES, choose)),
    announcer,
    above,
    form.element,
    below,
    next,
  )
}

async function start(): Promise<void> {
  // A saved copy of the page holds what it showed then; a verdict is only ever made anew.
  form.element.hidden = true
  const { promise: ready, resolve } = Promise.withResolvers<void>()
  takeDrops(ready)
  const wanted = preferred([...readChosen(), ...navigator.languages])
  // A copy of the page that lacks the words of a language still has its first one.
  say(await wordsOf(wanted, settings.home).catch(() => ENGLISH))
  addEventListener('hashchange', open)
  addEventListener('beforeprint', () => foot?.print())
  published = embeddedPublisher() ?? (await readPublisher(settings.trust))
  publisher = published instanceof KillickError ? null : published
  form.showPublisher(published)
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
  draw()
}

void start()
