/** What the page is for, and the ways to give it a proof. */
import { h } from '../../shared/dom.ts'
import { words } from '../../shared/language.ts'

export type ProofInput = { file: (file: File) => void; text: (text: string) => void }

/** A paste of this size is refused before the browser lays it out. */
const MAX_PASTE = 1_100_000

/**
 * @param icon - Where it is.
 * @param languages - The switch between them.
 */
export function header(icon: string, languages: HTMLElement): HTMLElement {
  return h(
    'header',
    { class: 'top' },
    h('img', { src: icon, alt: '', width: 28, height: 28 }),
    h('span', { class: 'brand' }, 'Killick'),
    h('span', { class: 'note' }, words.header.question),
    skip(words.header.toChecks, '#checks-title'),
    skip(words.header.toTrust, '#trust-title'),
    languages,
  )
}

/** Seen by those who come to it by keyboard. A button, for what stands behind # in this page's address is a proof. */
export function skip(label: string, to: string): HTMLElement {
  const go = () => {
    const goal = document.querySelector<HTMLElement>(to)
    goal?.setAttribute('tabindex', '-1')
    goal?.focus()
  }
  return h('button', { type: 'button', class: 'skip', onclick: go }, label)
}

/** File button and paste field. The whole page takes dropped files besides. */
export function intake({ file, text }: ProofInput, isFirst: boolean): HTMLElement {
  const told = words.intake
  const input = h('input', { type: 'file', id: 'file', accept: '.json,.bundle,application/json,application/x-tar' })
  input.addEventListener('change', () => {
    const chosen = input.files?.[0]
    input.value = ''
    if (chosen) file(chosen)
  })
  const paste = h('textarea', {
    id: 'paste',
    rows: 3,
    spellcheck: 'false',
    autocomplete: 'off',
    placeholder: '{"format":"killick-proof/1", …}',
  })
  paste.addEventListener('paste', (event) => {
    const pasted = event.clipboardData?.getData('text') ?? ''
    if (pasted.length === 0) return
    event.preventDefault()
    if (pasted.length <= MAX_PASTE) paste.value = pasted
    text(pasted)
  })
  const check = h('button', { type: 'button', onclick: () => text(paste.value) }, told.check)
  return h(
    'section',
    { class: `intake ${isFirst ? 'first' : ''}`, 'aria-labelledby': 'intake-title' },
    h('h2', { id: 'intake-title' }, isFirst ? told.first : told.another),
    h('p', {}, h('label', { for: 'file' }, told.file), input),
    h('p', {}, h('label', { for: 'paste' }, told.paste), paste, check),
  )
}

export function welcome(): HTMLElement {
  return h('section', { class: 'welcome' }, h('h1', {}, words.welcome.title), h('p', {}, words.welcome.text))
}
