/** The console: one view per address after `#`, each made anew when the address changes. */
import type { SessionAnswer } from '../../src/http/answers.ts'
import { h } from '../shared/dom.ts'
import { said } from '../shared/text.ts'
import { ApiError, api } from './api.ts'
import { empty, faultOf, pagesIn, turnTo, view } from './parts.ts'
import { anchors } from './views/anchors.ts'
import { approvals } from './views/approvals.ts'
import { audit } from './views/audit.ts'
import { bundles } from './views/bundles.ts'
import { equivocations } from './views/equivocations.ts'
import { event } from './views/event.ts'
import { events } from './views/events.ts'
import { health } from './views/health.ts'
import { thing } from './views/history.ts'
import { home } from './views/home.ts'
import { login } from './views/login.ts'
import { retention } from './views/retention.ts'
import { session } from './views/session.ts'
import { shares } from './views/shares.ts'
import { sources } from './views/sources.ts'
import { streams } from './views/streams.ts'

const VIEWS = {
  home,
  events,
  approvals,
  sources,
  streams,
  anchors,
  shares,
  bundles,
  retention,
  audit,
  equivocations,
  health,
}
/** Of those that are always offered; the overview leads to the others when there is something in them. */
const NAMES: Record<Exclude<keyof typeof VIEWS, 'approvals'>, string> = {
  home: 'Overview',
  events: 'Events',
  sources: 'Sources',
  streams: 'Streams',
  anchors: 'Anchors',
  shares: 'Links',
  bundles: 'Bundles',
  retention: 'Retention',
  audit: 'Audit',
  equivocations: 'Equivocations',
  health: 'Health',
}

/** Where views stand that have no name there. */
const SECTIONS: Readonly<Record<string, string>> = {
  event: 'events',
  sessions: 'events',
  history: 'events',
  approvals: 'home',
}

const top = h('header', { class: 'top' })
const place = h('main', {})
document.getElementById('console')!.replaceChildren(top, place)
let leave = new AbortController()

/** After this long what still stands there would be taken for what was asked for. ms */
const SOON_MS = 1_000

/** Which entry of the browser's list of where it was is shown, by the state that it carries. */
let entry = ''
/** For each entry that was left, how far down one was, and how many pages had been added to its list. */
const left = new Map<string, { top: number; pages: number }>()

function header(origin: string, role: string | null, current: string): void {
  const links = Object.entries(NAMES).map(([name, label]) =>
    h('a', { href: `#/${name}`, 'aria-current': name === current ? 'page' : null }, label),
  )
  const signOut = async () => {
    try {
      await api('/console/session', 'DELETE')
    } catch (error) {
      place.replaceChildren(failed(error, 'You are still signed in'))
      return
    }
    await show()
  }
  top.replaceChildren(
    h('img', { src: '/verify/icon.svg', alt: '', width: 28, height: 28 }),
    h('span', { class: 'brand' }, 'Killick'),
    h('span', { class: 'note' }, said(origin)),
    ...(role === null
      ? []
      : [
          h('nav', { 'aria-label': 'Views' }, ...links),
          h('span', { class: 'note' }, `as ${role}`),
          h('button', { type: 'button', onclick: signOut }, 'Sign out'),
        ]),
  )
  // On small screens the names scroll sideways.
  const [nav, here] = [top.querySelector('nav'), top.querySelector('[aria-current]')]
  if (nav && here) nav.scrollLeft += here.getBoundingClientRect().right - nav.getBoundingClientRect().right
}

/** Signs in with a link that does so once. It is gone from the address, and so from the history, before it is used. */
async function signIn(link: string): Promise<void> {
  history.replaceState(null, '', '#/')
  try {
    await api('/console/session', 'POST', { link })
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    return show(error.message)
  }
  return show()
}

/** @param refusal - Why nobody was signed in. */
async function show(refusal = ''): Promise<void> {
  leave.abort()
  leave = new AbortController()
  const { signal } = leave
  if (place.firstChild !== waiting) left.set(entry, { top: scrollY, pages: pagesIn(place) })
  const late = setTimeout(() => signal.aborted || wait(), SOON_MS)
  const [path = '', search = ''] = location.hash.replace(/^#\/?/, '').split('?')
  const [name = '', ...rest] = path.split('/')
  if (name === 'sign-in') return signIn(rest[0] ?? '')
  const made = await within(name, rest, new URLSearchParams(search), refusal, signal).catch((error) => failed(error))
  clearTimeout(late)
  if (signal.aborted) return
  // What waits in place of a view has lost its place, also of the entry that was shown before.
  const isLost = place.firstChild === waiting
  place.replaceChildren(made)
  const before = entry
  entry = typeof history.state === 'string' ? history.state : `${performance.timeOrigin} ${left.size}`
  history.replaceState(entry, '')
  document.title = `${made.querySelector('h1')!.textContent} · Killick console`
  made.querySelector('h1')!.focus({ preventScroll: true })
  if (before !== '' && (before !== entry || isLost)) await comeTo(made, signal)
}

/** Stands where a view takes long to come. */
const waiting = view(
  'Waiting for the service',
  h('p', {}, 'What was asked for is shown here once it answers.'),
  h('p', {}, h('button', { type: 'button', onclick: () => void show() }, 'Ask again')),
)

function wait(): void {
  place.replaceChildren(waiting)
  // Whoever stood in what is gone now is told; whoever stands above stays there.
  if (document.activeElement === document.body) waiting.querySelector('h1')!.focus({ preventScroll: true })
}

/** A view that was opened from the end of a long one begins at its own beginning. Whoever goes back finds it as it was left. */
async function comeTo(made: HTMLElement, signal: AbortSignal): Promise<void> {
  const { top, pages } = left.get(entry) ?? { top: 0, pages: 0 }
  if (pages > 0) await turnTo(made, pages)
  if (!signal.aborted) scrollTo(0, top)
}

/** What is shown to whoever is signed in, or the form for it. */
async function within(
  name: string,
  rest: readonly string[],
  search: URLSearchParams,
  refusal: string,
  signal: AbortSignal,
): Promise<HTMLElement> {
  const { role, origin } = await api<SessionAnswer>('/console/session')
  // Answers come in any order: above stands the view that was asked for last.
  if (!signal.aborted) header(origin, role, SECTIONS[name] ?? (name || 'home'))
  if (role === null) return login(() => void show(), refusal)
  if (refusal === '') return make(name, rest, search, signal)
  return view(
    'Signed in before',
    h('p', { role: 'alert' }, said(refusal)),
    h('p', {}, h('a', { href: '#/home' }, 'Go on')),
  )
}

/** In place of a view: what stood there before would be taken for what was asked for. */
function failed(error: unknown, title = 'That did not work'): HTMLElement {
  return view(
    title,
    h('p', { role: 'alert' }, said(faultOf(error))),
    h('p', {}, h('button', { type: 'button', onclick: () => void show() }, 'Try again')),
  )
}

const nothing = () => view('Nothing here', empty('There is no such view.', 'Choose one above.'))

/** A browser takes such a part of a path for a way up, so something else would be asked for. */
const leadsUp = (part: string) => part.includes('\\') || /^(?:\.|%2e){1,2}$/i.test(part)

async function make(
  name: string,
  rest: readonly string[],
  search: URLSearchParams,
  signal: AbortSignal,
): Promise<HTMLElement> {
  try {
    if (rest.some(leadsUp)) return nothing()
    if (name === 'event') return await event(rest)
    if (name === 'history') return await thing(rest, search)
    if (name === 'sessions') return await session(rest, signal)
    const known = Object.hasOwn(VIEWS, name || 'home') ? VIEWS[(name || 'home') as keyof typeof VIEWS] : null
    return known === null ? nothing() : await known(search, signal)
  } catch (error) {
    // A % in the address that begins no escape.
    if (error instanceof URIError) return nothing()
    throw error
  }
}

// A browser goes back to where it was before the view is there, and before the list in it is as long as it was.
history.scrollRestoration = 'manual'
addEventListener('pagehide', () => {
  history.scrollRestoration = 'auto'
})
addEventListener('hashchange', () => void show())
void show()
